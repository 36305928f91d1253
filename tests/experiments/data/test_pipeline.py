"""Raw text to fairseq's data, with its real preprocessor; a few seconds for each run of it."""

import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fairseq.data.data_utils import post_process

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import binarize, bpe, pipeline
from fairseq_labo.experiments.data.recipe import Corpus, Part, Recipe
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, read_lines, sealed, write_lines
from tests.experiments.data import releases

LANGUAGES = ("de", "en")
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


def _prepare(raw: Path, destdir: Path, *options: str) -> int:
    """`labo prepare own` of the text in `raw`; options that are given again count."""
    words = ["prepare", "own", "--name", "tiny", "--pair", "de-en", "--bpe-size", "80"]
    for split in SIZES:
        words += [f"--{split.rstrip('1')}", str(raw / split)]
    return cli.main([*words, "--destdir", str(destdir), *options])


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
    assert _prepare(raw, destdir) == 0
    return destdir


@pytest.mark.slow
def test_layout_and_alignment(raw: Path, prepared: Path) -> None:
    for split, size in SIZES.items():
        for lang in LANGUAGES:
            name = f"{split}.{lang}"
            assert (prepared / "raw" / name).read_bytes() == (raw / name).read_bytes()
            tokens = list(read_lines(prepared / "tok" / name))
            subwords = list(read_lines(prepared / "bpe" / name))
            assert len(tokens) == len(subwords) == size
            assert [post_process(line, "subword_nmt") for line in subwords] == tokens
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


@pytest.mark.slow
def test_manifest(prepared: Path) -> None:
    manifest = read_json(prepared / "manifest.json")
    names = {split: entry["name"] for split, entry in manifest["splits"].items()}
    assert names == {split: split for split in SIZES}
    assert {split: entry["lines"] for split, entry in manifest["splits"].items()} == SIZES
    assert manifest["splits"]["train"]["expected_lines"] is None
    assert (manifest["corpus"], manifest["tokenizer"]) == ("tiny", "moses")
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
    assert _prepare(raw, prepared, "--workers", "2") == 0
    printed = capsys.readouterr().out
    assert "is up to date" in printed
    assert f"labo train --data {prepared} --save-dir runs/tiny --criterion" in printed
    rows = {line.split()[0]: line.split() for line in printed.split("\n") if line}
    assert rows["train"][:5] == ["train", "train", "de", "60", "-"]
    assert rows["valid"][:5] == ["valid", "valid", "de", "7", "-"]
    assert _content(prepared) == before


@pytest.mark.parametrize("change", ["merges", "force", "raw", "file"])
def test_a_change_prepares_again(
    raw: Path,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise UserError("a stage ran")

    destdir = tmp_path / "dest"
    shutil.copytree(prepared, destdir)
    monkeypatch.setattr(binarize, "binarize", stop)
    options = {"merges": ["--bpe-size", "40"], "force": ["--force"]}.get(change, [])
    if change == "raw":
        raw = Path(shutil.copytree(raw, tmp_path / "raw"))
        write_lines(raw / "test1.en", ["Another dog."])
    if change == "file":
        (destdir / "bin" / "test1.de-en.en.bin").unlink()
    assert _prepare(raw, destdir, *options) == 1
    assert "a stage ran" in capsys.readouterr().err
    assert not (destdir / "manifest.json").exists()


@pytest.mark.slow
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
        assert _prepare(raw, destdir) == 128 + signal.SIGINT
    assert (destdir / "work" / "codes" / "codes").exists()
    assert not (destdir / "work" / "subwords").exists()
    assert not (destdir / "manifest.json").exists()
    (destdir / "work" / ".partial-left-over").mkdir()
    capsys.readouterr()
    assert _prepare(raw, destdir, "--workers", "3") == 0
    printed = capsys.readouterr().out
    assert "apply BPE: " in printed and "learn BPE: " not in printed
    assert _content(destdir) == _content(prepared)


def test_bad_text_leaves_the_prepared_folder_alone(
    raw: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _content(prepared)
    bad = Path(shutil.copytree(raw, tmp_path / "raw"))
    write_lines(bad / "train.en", ["one line"])
    assert _prepare(bad, prepared) == 1
    assert f"{bad / 'train.de'}, line 2 has no partner" in capsys.readouterr().err
    for option, most in (("--bpe-size", 1_000_000), ("--workers", 1024)):
        for value in (0, most + 1, 10**30):
            assert _prepare(raw, prepared, option, str(value)) == 1
            wanted = f"{option}: expected a number of at least 1, at most {most}, found {value}"
            assert wanted in capsys.readouterr().err
    assert _content(prepared) == before


def test_another_name_is_written_down(raw: Path, prepared: Path, tmp_path: Path) -> None:
    destdir = Path(shutil.copytree(prepared, tmp_path / "dest"))
    before = read_json(destdir / "manifest.json")
    assert _prepare(raw, destdir, "--name", "other") == 0
    assert read_json(destdir / "manifest.json") == sealed(before | {"corpus": "other"})


def test_another_pair_is_not_put_in_its_place(
    raw: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default folder of a corpus is the same for both directions."""
    before = _content(prepared)
    for more in ((), ("--dry-run",)):
        assert _prepare(raw, prepared, "--pair", "en-de", *more) == 1
        wanted = "en-de, or no corpus yet, found tiny de-en; choose another --destdir"
        assert f"expected tiny {wanted}" in capsys.readouterr().err
    assert _prepare(raw, prepared, "--pair", "en-de", "--dry-run", "--force") == 0
    capsys.readouterr()
    assert _prepare(raw, prepared / "raw" / "inner") == 1
    assert f"expected a folder outside of {prepared}, which holds" in capsys.readouterr().err
    assert _content(prepared) == before
    assert _prepare(raw, prepared / ".." / "beside", "--dry-run") == 0  # not inside of it


def test_neither_another_corpus_nor_pair_in_the_place_of_what_was_begun(
    raw: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    released = ["prepare", "microworld", "--dry-run", "--destdir"]
    assert cli.main([*released, str(prepared)]) == 1
    assert (
        "expected microworld de-en, or no corpus yet, found tiny de-en" in capsys.readouterr().err
    )
    destdir = Path(shutil.copytree(prepared, tmp_path / "dest"))
    (destdir / "bin" / "dict.en.txt").unlink()
    monkeypatch.setattr(binarize, "run_logged", interrupted)
    assert _prepare(raw, destdir) == 128 + signal.SIGINT
    capsys.readouterr()
    assert not (destdir / "manifest.json").exists()
    assert _prepare(raw, destdir, "--pair", "en-de", "--dry-run") == 1
    assert "found tiny de-en; choose another" in capsys.readouterr().err
    assert cli.main([*released, str(destdir)]) == 1
    assert _prepare(raw, destdir, "--dry-run") == 0


def test_a_folder_of_other_content_is_refused(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine" / "raw" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("keep me", encoding="utf-8")
    (tmp_path / "mine" / "manifest.json").write_text('{"format": "other"}', encoding="utf-8")
    assert _prepare(raw, tmp_path / "mine", "--force") == 1
    error = capsys.readouterr().err
    assert "expected an empty folder, none, or one prepared before, found other content" in error
    assert own.read_text(encoding="utf-8") == "keep me"


def test_text_in_the_folders_that_are_made_again_is_refused(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _content(prepared)
    assert _prepare(prepared / "raw", prepared, "--force") == 1
    assert "train.de: expected the text outside" in capsys.readouterr().err
    assert _content(prepared) == before


@pytest.mark.parametrize(
    "names", [["train"], ["valid", "train"], ["train", "valid", "test1"], ["train", "test"]]
)
def test_splits_must_be_in_fairseqs_order(names: list[str]) -> None:
    corpus = Corpus("tiny", "de-en", {name: Part(name, ()) for name in names}, Recipe())
    with pytest.raises(UserError, match="expected the splits train, valid and then test"):
        pipeline.check_settings(corpus)


def test_without_fairseq(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert _prepare(raw, tmp_path / "dest") == 1
    assert "pip install 'fairseq_labo[fairseq]'" in capsys.readouterr().err
    assert not (tmp_path / "dest").exists()


@pytest.mark.slow
def test_killed_command_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """A whole preparation, with processes and fairseq, killed as it binarizes and before."""
    releases.write_multi30k(tmp_path / "release")
    code = "import sys; from tests.experiments.data import releases; from pathlib import Path\n"
    code += "sys.exit("
    code += f"releases.run('multi30k', Path({str(tmp_path / 'release')!r}), Path(sys.argv[1]),"
    code += " '--workers', '2'))"

    def start(destdir: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(destdir)],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    running = start(whole)
    for sign in ("work/text", "logs/preprocess.log"):
        process = start(killed)
        while not (killed / sign).exists() and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None, sign
        process.kill()
        process.wait()
        assert not (killed / "manifest.json").exists()
    assert start(killed).wait() == 0
    assert running.wait() == 0
    results = [_content(destdir) for destdir in (whole, killed)]
    assert results[0] == results[1] and "manifest.json" in results[0]
