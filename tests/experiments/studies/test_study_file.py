"""From a file to a study: where it is found, what is no YAML, what `prepare:` may be."""

import inspect
import re
import shutil
from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.studies import study
from fairseq_labo.experiments.studies.study_file import (
    EMBEDDED,
    find_study,
    read_study,
    read_yaml,
)
from tests.conftest import REPOSITORY
from tests.experiments.studies.test_study import MULTI30K, read


@pytest.mark.parametrize("first", ["multi30k", MULTI30K], ids=["new form", "old form"])
def test_a_preparation(first: str, tmp_path: Path) -> None:
    found = read(tmp_path, prepare=f"{first} --pair en-fr --bpe-size 4000")
    assert found.prepare == ("multi30k", "--pair", "en-fr", "--bpe-size", "4000")


def test_embedded_studies_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name in the current folder is preferred; data lie where the commands' do."""
    monkeypatch.chdir(tmp_path)
    assert find_study("microworld") == EMBEDDED / "microworld.yaml"
    monkeypatch.setenv("LABO_HOME", "/home/of/labo")
    found = read_study(find_study("microworld"))
    assert found.corpus == Path("/home/of/labo/data/microworld")
    assert found.prepare == ("microworld",)
    shutil.copy(EMBEDDED / "microworld.yaml", tmp_path / "microworld")
    assert find_study("microworld") == Path("microworld")
    with pytest.raises(UserError, match="x: expected a study file, or one of microworld; found"):
        find_study("x")


def test_the_documents_show_every_entry(tmp_path: Path) -> None:
    """The example of docs is that of the module, and is a study."""
    page = (REPOSITORY / "docs" / "studies.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)\n```", page, re.DOTALL)
    described = inspect.cleandoc(study.__doc__ or "")
    assert inspect.cleandoc(described.partition("yaml\n")[2].partition("\n\nA method")[0]) == shown
    (tmp_path / "shown.yaml").write_text(shown, encoding="utf-8")
    read_study(tmp_path / "shown.yaml")
    without = set(study.Study.model_fields) - set(re.findall(r"^\w+", shown, re.MULTILINE))
    # The description of a study, its tests' samples, and what a folder of fairseq's own needs.
    assert without == {"description", "significance", "subwords", "tokenizer", "references"}


def test_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a", encoding="utf-8")
    with pytest.raises(UserError, match="the file: expected entries with names"):
        read_study(tmp_path / "list.yaml")


BOMB = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi"))  # noqa: B905


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: [", "expected YAML, found an error"),
        ("a: &a [1]\n" + BOMB, "aliases .* are not taken"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("name: a\nname: b", "name is there twice, again in line 2; leave one out"),
        ("[" * 100_000, "expected YAML, found an error: maximum recursion"),
        ("a: 2020-13-45", "expected YAML, found an error: month"),
        ("a: \xff", "expected YAML, found an error: .* can't decode"),
        (r'a: "x \ud800 y"', r"expected YAML, .* a lone surrogate.*'x \\ud800 y'"),
        ("a: 1\n" * 300_000, "expected at most 1000000 bytes, found more"),
    ],
    ids=["broken", "aliases", "tag", "twice", "deep", "date", "encoding", "surrogate", "long"],
)
def test_files_that_are_refused(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=match):
        read_study(path)


def test_numbers_are_decimal(tmp_path: Path) -> None:
    """YAML 1.1 would read 8, 90, 31, 2, 90.5 and 10.5: what is written stays as it is."""
    path = tmp_path / "numbers.yaml"
    texts = ["010", "1:30", "0x1F", "0b10", "1:30.5", "1_0.5"]
    path.write_text(f"[{', '.join(texts)}, 0, 1_0, -3, +4, 0.10, .5, 1.5e+3, -.inf]", "utf-8")
    found = read_yaml(path)
    assert found == [*texts, 0, 10, -3, 4, 0.1, 0.5, 1500.0, float("-inf")]
    assert [type(each) for each in found[6:]] == [int] * 4 + [float] * 4


def test_on_and_no_are_texts(tmp_path: Path) -> None:
    """YAML 1.1 would read truth values, also where they are names of methods."""
    path = tmp_path / "words.yaml"
    path.write_text("{on: off, yes: no, y: true, n: False}", encoding="utf-8")
    assert read_yaml(path) == {"on": "off", "yes": "no", "y": True, "n": False}


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("seeds: [1, 2]", "seeds: [010, 2]", "seeds.0: expected a valid integer, found '010'"),
        ("epochs: 2", "epochs: 1:30", "train.epochs: expected a whole number.*, found '1:30'"),
    ],
)
def test_numbers_of_a_study_are_decimal(
    before: str, after: str, match: str, tmp_path: Path
) -> None:
    text = (EMBEDDED / "microworld.yaml").read_text(encoding="utf-8")
    assert before in text
    (tmp_path / "a.yaml").write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(UserError, match=match):
        read_study(tmp_path / "a.yaml")
