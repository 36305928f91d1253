"""No link of the documents is dead; the README stands for itself on a package index."""

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.documents import links, texts

README = REPOSITORY / "README.md"


@pytest.mark.parametrize(
    "page", [*texts.PAGES, REPOSITORY / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_no_link_is_dead(page: Path) -> None:
    assert list(links.dead(page)) == []


@pytest.mark.parametrize("target", ["docs/gone.md", "../gone.png", "other.md#gone", "#gone"])
def test_a_dead_link_is_noticed(tmp_path: Path, target: str) -> None:
    (tmp_path / "other.md").write_text("# Here\n\n```\n# gone\n```\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n[x](other.md#here) [y](#a-page) [z]({target})", encoding="utf-8")
    assert list(links.dead(page)) == [target]


def test_every_page_is_reached_from_the_first() -> None:
    """docs/index.md names every page; the README names those of the reader's questions."""
    index = set(links.LINK.findall((REPOSITORY / "docs" / "index.md").read_text("utf-8")))
    assert {page.name for page in (REPOSITORY / "docs").glob("*.md")} <= {*index, "index.md"}
    readme = README.read_text(encoding="utf-8")
    for name in (
        *("results", "method", "python", "training", "corpora", "evaluation", "studies"),
        *("performance", "compatibility", "troubleshooting", "gpu-acceptance"),
    ):
        assert f"](docs/{name}.md)" in readme


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 240


def test_the_package_index_gets_no_link_into_the_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing lies beside the README there: names are left of such links, and no picture."""
    given: dict[str, str] = {}
    monkeypatch.setattr("setuptools.setup", lambda **options: given.update(options))
    path = REPOSITORY / "setup.py"
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), {"__file__": str(path)})
    text = given["long_description"]
    assert "docs/training.md" in text and "](https://" in text
    assert not re.search(r"\]\((?!https://)|!\[", text)
