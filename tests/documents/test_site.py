"""The site of docs/ builds with warnings as errors, and asks nothing of a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("mkdocs", reason="needs pip install '.[docs]'")
pytestmark = pytest.mark.slow


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", site],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    done = build(REPOSITORY, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = [*(REPOSITORY / "docs").rglob("*.md")]
    for page in pages:
        html = tmp_path / page.relative_to(REPOSITORY / "docs").with_suffix(".html")
        fetched = r"<(?:script|img|iframe)[^>]* src=\"?https?:|<link[^>]* href=\"?https?:"
        assert not re.search(fetched, html.read_text(encoding="utf-8")), html
    assert (tmp_path / "results" / "digits" / "digits.svg").is_file()
    assert "Raises:" in (tmp_path / "python.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "planted, warning",
    [
        ("[x](gone.md)", "gone.md"),
        ("[x](method.md#gone)", "does not contain an anchor"),
        ("[x](../results/gone.json)", "gone.json"),
        ("::: fairseq_labo.ops.labo_los", "labo_los"),
    ],
)
def test_a_dead_link_fails_the_build(tmp_path: Path, planted: str, warning: str) -> None:
    root = tmp_path / "repository"
    ignored = shutil.ignore_patterns(".*", "site", "data", "runs", "tests", "__pycache__")
    shutil.copytree(REPOSITORY, root, ignore=ignored)
    page = root / "docs" / "training.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n\n{planted}\n", encoding="utf-8")
    done = build(root, tmp_path / "site")
    assert done.returncode != 0
    assert warning in done.stderr
