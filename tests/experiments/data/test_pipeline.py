"""Raw text to fairseq's data, with its real preprocessor; a few seconds for each run of it."""

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.data import binarize, bpe, pipeline
from fairseq_labo.experiments.data.splits import Split
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, read_lines, write_lines

LANGUAGES = ("de", "en")
SPLITS = {
    "train": Split("training", 60),
    "valid": Split("dev"),
    "test": Split("eval_2016"),
    "test1": Split("eval_2017"),
}
SIZES = {"train": 60, "valid": 7, "test": 5, "test1": 1}
ODD = ["\x0c", "\x85", "\u2028", "\x1c", "\r"]
DATA_FILES = 2 + 4 * 2 * 2  # dictionaries; splits x languages x (bin, idx)


def _write_raw(folder: Path) -> Path:
    folder.mkdir()
    for split, size in SIZES.items():
        german = [f"Ein{ODD[i % 5]}Hund, der {i} Männer's Hüte trägt." for i in range(size)]
        english = [f"A dog-{i} wearing{ODD[i % 5]} {i} men's hats & caps." for i in range(size)]
        if split == "valid":
            english[3] = "A 鼠 wearing caps."  # a character that is not in the training text
            english[4] = german[4] = ""
        write_lines(folder / f"{split}.de", german)
        write_lines(folder / f"{split}.en", english)
    return folder


def _prepare(raw: Path, destdir: Path, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"source_lang": "de", "target_lang": "en", "splits": SPLITS}
    settings |= {"corpus": "tiny", "bpe_merges": 80}
    return pipeline.prepare(raw, destdir, **(settings | options))


def _content(destdir: Path) -> dict[str, bytes]:
    """The bytes of every file but the logs, which hold times and paths."""
    return {
        str(path.relative_to(destdir)): path.read_bytes()
        for path in destdir.rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_raw(tmp_path_factory.mktemp("source") / "raw")


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    destdir = tmp_path_factory.mktemp("prepared") / "tiny"
    _prepare(raw, destdir)
    return destdir


def test_layout_and_alignment(raw: Path, prepared: Path) -> None:
    for split, size in SIZES.items():
        for lang in LANGUAGES:
            name = f"{split}.{lang}"
            assert (prepared / "raw" / name).read_bytes() == (raw / name).read_bytes()
            tokens = list(read_lines(prepared / "tok" / name))
            subwords = list(read_lines(prepared / "bpe" / name))
            assert len(tokens) == len(subwords) == size
            assert [bpe.decode(line) for line in subwords] == tokens
            index = prepared / "bin" / f"{split}.de-en.{lang}.idx"
            words = sum(len(line.split(" ")) for line in subwords if line)
            assert binarize.read_index(index) == (size, words + size)
    assert list(read_lines(prepared / "tok" / "test.de"))[4] == (
        "Ein Hund , der 4 Männer &apos; s Hüte trägt ."
    )
    assert len([p for p in (prepared / "bin").iterdir() if p.suffix != ".log"]) == DATA_FILES
    assert sorted(entry.name for entry in prepared.iterdir()) == [
        "bin", "bpe", "logs", "manifest.json", "raw", "tok", "work",
    ]  # fmt: skip


def test_manifest(prepared: Path) -> None:
    manifest = read_json(prepared / "manifest.json")
    names = {split: entry["name"] for split, entry in manifest["splits"].items()}
    assert names == {split: entry.name for split, entry in SPLITS.items()}
    assert {split: entry["lines"] for split, entry in manifest["splits"].items()} == SIZES
    assert manifest["splits"]["train"]["expected_lines"] == 60
    valid = manifest["splits"]["valid"]
    assert valid["tokens"] == {"de": 6 * 11, "en": 5 * 10 + 5}
    assert valid["unknown_tokens"] == {"de": 0, "en": 1}
    assert manifest["bpe_merges"] == 80 >= manifest["bpe_merges_learned"] > 20
    assert (prepared / "bin" / "dict.de.txt").read_bytes() == (
        prepared / "bin" / "dict.en.txt"
    ).read_bytes()
    symbols = len(list(read_lines(prepared / "bin" / "dict.en.txt")))
    assert manifest["vocabulary_size"] == symbols + 4
    assert set(manifest["versions"]) == {"python", "sacremoses", "subword-nmt", "fairseq", "torch"}
    assert set(manifest["raw_sha256"]) == {f"{s}.{lang}" for s in SIZES for lang in LANGUAGES}


def test_second_run_is_skipped(
    raw: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a stage ran")

    monkeypatch.setattr(binarize, "binarize", never)
    monkeypatch.setattr(importlib.util, "find_spec", never)
    before = _content(prepared)
    _prepare(raw, prepared, workers=2)
    printed = capsys.readouterr().out
    assert "is up to date" in printed
    assert f"scripts/train.sh --data {prepared} --save-dir runs/tiny --criterion" in printed
    rows = {line.split()[0]: line.split() for line in printed.split("\n") if line}
    assert rows["train"][:5] == ["train", "training", "de", "60", "60"]
    assert rows["valid"][:5] == ["valid", "dev", "de", "7", "-"]
    assert _content(prepared) == before


@pytest.mark.parametrize("change", ["merges", "direction", "force", "raw", "file"])
def test_a_change_prepares_again(
    raw: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise UserError("a stage ran")

    destdir = tmp_path / "dest"
    shutil.copytree(prepared, destdir)
    monkeypatch.setattr(binarize, "binarize", stop)
    options: dict[str, Any] = {
        "merges": {"bpe_merges": 40},
        "direction": {"source_lang": "en", "target_lang": "de"},
        "force": {"force": True},
    }.get(change, {})
    if change == "raw":
        raw = Path(shutil.copytree(raw, tmp_path / "raw"))
        write_lines(raw / "test1.en", ["Another dog."])
    if change == "file":
        (destdir / "bin" / "test1.de-en.en.bin").unlink()
    with pytest.raises(UserError, match="a stage ran"):
        _prepare(raw, destdir, **options)
    assert not (destdir / "manifest.json").exists()


def test_interrupted_run_goes_on_and_gives_the_same_bytes(
    raw: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destdir = tmp_path / "dest"
    with pytest.MonkeyPatch.context() as patch:
        original, calls = bpe.encode_with, []

        def interrupted(codes: str, line: str) -> str:
            calls.append(line)
            if len(calls) == 70:
                raise KeyboardInterrupt
            return original(codes, line)

        patch.setattr(bpe, "encode_with", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _prepare(raw, destdir)
    assert (destdir / "work" / "codes" / "codes").exists()
    assert not (destdir / "work" / "subwords").exists()
    assert not (destdir / "manifest.json").exists()
    (destdir / "work" / ".partial-left-over").mkdir()
    capsys.readouterr()
    _prepare(raw, destdir, workers=3)
    printed = capsys.readouterr().out
    assert "apply BPE: " in printed and "learn BPE: " not in printed
    assert _content(destdir) == _content(prepared)


def test_bad_text_leaves_the_prepared_folder_alone(
    raw: Path, prepared: Path, tmp_path: Path
) -> None:
    before = _content(prepared)
    bad = Path(shutil.copytree(raw, tmp_path / "raw"))
    write_lines(bad / "train.en", ["one line"])
    with pytest.raises(UserError, match=r"train\.de, line 2 has no partner"):
        _prepare(bad, prepared)
    with pytest.raises(UserError, match="expected 60 lines, found 5"):
        _prepare(raw, prepared, splits=SPLITS | {"test": Split("eval_2016", 60)})
    for option in ("bpe_merges", "workers"):
        with pytest.raises(UserError, match="expected a number of at least 1, found 0"):
            _prepare(raw, prepared, **{option: 0})
    assert _content(prepared) == before


def test_a_folder_of_other_content_is_refused(raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine" / "raw" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("keep me", encoding="utf-8")
    (tmp_path / "mine" / "manifest.json").write_text('{"format": "other"}', encoding="utf-8")
    for attempt in (
        lambda: _prepare(raw, tmp_path / "mine", force=True),
        lambda: pipeline.claim(tmp_path / "mine"),
    ):
        with pytest.raises(UserError, match="expected an empty folder, none, or one prepared"):
            attempt()
    assert own.read_text(encoding="utf-8") == "keep me"


def test_raw_text_in_the_folders_that_are_made_again_is_refused(prepared: Path) -> None:
    before = _content(prepared)
    with pytest.raises(UserError, match="expected the raw text outside"):
        _prepare(prepared / "raw", prepared, force=True)
    assert _content(prepared) == before


def test_without_fairseq(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'fairseq_labo\[fairseq\]'"):
        _prepare(raw, tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_failure_of_fairseq_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any program that fails will do, and starts faster.
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nseq 1 100\necho No space left >&2\nexit 3\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    log = tmp_path / "preprocess.log"
    with pytest.raises(UserError, match=r"status 3, expected 0; .*preprocess\.log") as caught:
        binarize.binarize(
            tmp_path, tmp_path / "bin", source_lang="de", target_lang="en",
            splits=["train", "valid"], workers=1, log_file=log,
        )  # fmt: skip
    assert "\n100\nNo space left\n" in str(caught.value)
    assert "\n50\n" not in str(caught.value)


def test_index_that_does_not_match_the_text(prepared: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(prepared, tmp_path / "copy"))
    languages = {"source_lang": "de", "target_lang": "en"}
    measured = binarize.measure(copy / "bpe", copy / "bin", "test", "de", **languages)
    assert measured == (binarize.read_index(copy / "bin" / "test.de-en.de.idx")[1] - 5, 0)
    write_lines(copy / "bpe" / "test.de", ["Ein Hund"])
    with pytest.raises(UserError, match="expected 1 sentences and 3 tokens as in"):
        binarize.measure(copy / "bpe", copy / "bin", "test", "de", **languages)
    (copy / "bin" / "test.de-en.de.idx").write_bytes(b"no index")
    with pytest.raises(UserError, match="expected an index of fairseq's mmap data"):
        binarize.read_index(copy / "bin" / "test.de-en.de.idx")
