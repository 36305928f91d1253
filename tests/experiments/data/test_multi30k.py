"""The commands: Multi30k on a tiny corpus in the release's layout, and the microworld."""

import gzip
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import bpe, prepare
from fairseq_labo.experiments.data.corpora import CORPORA, microworld, multi30k
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.data.recipe import Corpus, Member, Part
from fairseq_labo.experiments.files import read_json, read_lines

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPTS = [f"prepare-{name}.sh" for name in CORPORA]
COUNTS = {"train": 50, "val": 6, "test_2016_flickr": 5, "test_2017_flickr": 4}
COUNTS["test_2017_mscoco"] = 3
SENTENCES = {
    "de": "Ein Mann, der {} Hüte\u2028 trägt, sagt: 'Nein' & geht.",
    "en": "A man wearing {} hats\x0c says 'no' & doesn't stay.",
}
NAMES = {split: name for split, (name, _) in multi30k.PARTS.items()}


def _corpus(pair: str = "de-en", **counts: int) -> Corpus:
    """Multi30k with the counts of the tiny release, or others."""
    arguments = ["multi30k", "--destdir", "x", "--pair", pair]
    corpus = multi30k.corpus(prepare.parser().parse_args(arguments))
    parts = {
        split: Part(
            name,
            (
                Member(
                    f"{multi30k.LAYOUT}/{name}.{{lang}}.gz",
                    expected_lines=counts.get(split, COUNTS[name]),
                ),
            ),
        )
        for split, name in NAMES.items()
    }
    return replace(corpus, parts=parts)


@pytest.fixture
def release(tmp_path: Path) -> tuple[Path, list[Source]]:
    """A folder in the original layout, and the rows of its files."""
    folder = tmp_path / "release" / "data" / "task1" / "raw"
    folder.mkdir(parents=True)
    sources = []
    for name, size in COUNTS.items():
        for lang, sentence in SENTENCES.items():
            text = "".join(sentence.format(name[-6:] + str(i)) + "\n" for i in range(size))
            data = gzip.compress(text.encode(), mtime=0)
            file = f"{name}.{lang}.gz"
            (folder / file).write_bytes(data)
            url = f"http://127.0.0.1:9/{file}"
            digest = hashlib.sha256(data).hexdigest()
            sources.append(Source("multi30k", file, (url,), len(data), f"sha256:{digest}"))
    return tmp_path / "release", sources


def test_counts_of_the_release() -> None:
    assert multi30k.PARTS == {
        "train": ("train", 29_000),
        "valid": ("val", 1_014),
        "test": ("test_2016_flickr", 1_000),
        "test1": ("test_2017_flickr", 1_000),
        "test2": ("test_2017_mscoco", 461),
    }
    for pair in multi30k.PAIRS:
        arguments = ["multi30k", "--destdir", "x", "--pair", pair]
        corpus = multi30k.corpus(prepare.parser().parse_args(arguments))
        assert corpus.languages == tuple(pair.split("-"))
        assert [corpus.expected_lines(split) for split in corpus.splits] == [
            29_000, 1_014, 1_000, 1_000, 461,
        ]  # fmt: skip


@pytest.mark.usefixtures("in_process_fairseq")
def test_end_to_end(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    destdir = tmp_path / "multi30k"
    arguments = ["multi30k", "--destdir", str(destdir), "--source-dir", str(folder)]
    arguments += ["--bpe-merges", "90"]
    corpus = _corpus("en-de")
    assert prepare.main(arguments, corpus=corpus, sources=sources) == 0
    printed = capsys.readouterr().out
    assert "  test_2017_mscoco  " in printed and "vocabulary: " in printed
    for split, name in NAMES.items():
        for lang in ("de", "en"):
            archive = folder / multi30k.LAYOUT / f"{name}.{lang}.gz"
            raw = destdir / "raw" / f"{split}.{lang}"
            assert raw.read_bytes() == gzip.decompress(archive.read_bytes())
            tokens = list(read_lines(destdir / "tok" / raw.name))
            assert len(tokens) == COUNTS[name]
            subwords = list(read_lines(destdir / "bpe" / raw.name))
            assert [bpe.decode(line) for line in subwords] == tokens
            assert (destdir / "bin" / f"{split}.en-de.{lang}.bin").stat().st_size > 0
    manifest = read_json(destdir / "manifest.json")
    assert manifest["corpus"] == "multi30k"
    assert (manifest["source_lang"], manifest["target_lang"]) == ("en", "de")
    assert manifest["splits"]["test1"]["name"] == "test_2017_flickr"
    # The folder that holds the archives themselves will do as well, and nothing is new.
    arguments[4] = str(folder / multi30k.LAYOUT)
    assert prepare.main(arguments, corpus=corpus, sources=sources) == 0
    assert "is up to date" in capsys.readouterr().out


def test_wrong_count(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    assert prepare.main(arguments, corpus=_corpus(test1=1_000), sources=sources) == 1
    error = capsys.readouterr().err
    assert "test_2017_flickr.de.gz" in error
    assert "expected 1,000 lines, found 4; " in error and "fetch them again" in error
    assert not (tmp_path / "dest" / "manifest.json").exists()


@pytest.mark.usefixtures("in_process_fairseq")
def test_wrong_count_accepted(release: tuple[Path, list[Source]], tmp_path: Path) -> None:
    folder, sources = release
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    arguments += ["--accept-counts", "--bpe-size", "60"]
    assert prepare.main(arguments, corpus=_corpus(test1=1_000), sources=sources) == 0
    test1 = read_json(tmp_path / "dest" / "manifest.json")["splits"]["test1"]
    assert (test1["lines"], test1["expected_lines"]) == (4, 1_000)


def test_wrong_hash(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    path = folder / multi30k.LAYOUT / "val.en.gz"
    changed = gzip.compress(b"another text\n" * COUNTS["val"])
    path.write_bytes(changed)
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    assert prepare.main(arguments, corpus=_corpus(), sources=sources) == 1
    error = capsys.readouterr().err
    (expected,) = [source.hash for source in sources if source.file == "val.en.gz"]
    assert f"val.en.gz: expected {expected}" in error
    assert hashlib.sha256(changed).hexdigest() in error
    assert path.read_bytes() == changed


def test_offline(
    release: tuple[Path, list[Source]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest")]
    assert prepare.main(arguments, corpus=_corpus(), sources=release[1]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:9/train.de.gz: the download failed")
    assert error.count("  from  http://127.0.0.1:9/") == 10
    assert error.endswith("then add --source-dir DIR\n")


def test_dry_run_writes_nothing(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--dry-run"]
    assert prepare.main(arguments, corpus=_corpus(), sources=sources) == 0
    printed = capsys.readouterr().out
    assert "train.de.gz: would be downloaded from http://127.0.0.1:9/" in printed
    given = [*arguments, "--source-dir", str(folder)]
    assert prepare.main(given, corpus=_corpus(), sources=sources) == 0
    printed = capsys.readouterr().out
    assert "stage: extract: would run" in printed and "bpe_size: 8000" in printed
    assert not (tmp_path / "dest").exists()
    assert prepare.main([*arguments, "--source-dir", "/nowhere"], corpus=_corpus()) == 1


@pytest.mark.usefixtures("in_process_fairseq")
def test_microworld_is_generated_and_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(microworld, "SIZES", {"train": 60, "valid": 4, "test": 3})
    destdir = tmp_path / "micro"
    arguments = ["microworld", "--destdir", str(destdir), "--seed", "7", "--bpe-merges", "100"]
    assert prepare.main(arguments) == 0
    manifest = read_json(destdir / "manifest.json")
    assert manifest["splits"]["train"]["name"] == "seed 7" and manifest["bpe_merges"] == 100
    assert len(list(read_lines(destdir / "raw" / "train.de"))) == 60
    capsys.readouterr()
    assert prepare.main(arguments) == 0
    assert "is up to date" in capsys.readouterr().out
    before = (destdir / "raw" / "train.de").read_bytes()
    arguments[4] = "8"
    assert prepare.main(arguments) == 0
    assert (destdir / "raw" / "train.de").read_bytes() != before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert prepare.main(["microworld", "--destdir", str(tmp_path / "full")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'full'}: expected an empty")


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_prints_usage_from_any_folder(script: str, tmp_path: Path) -> None:
    command = [str(REPOSITORY / "data-prep" / script), "-h"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: data-prep/{script} [-h]")
    # The usage is written twice, in shell and in Python: both name the same options.
    name = script.removeprefix("prepare-").removesuffix(".sh")
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        texts: list[str] = []
        patch.setattr(
            "argparse.ArgumentParser._print_message", lambda _, text, __: texts.append(text)
        )
        prepare.parser().parse_args([name, "-h"])
    options = set(re.findall(r"--[a-z][a-z-]+", texts[0])) - {"--help"}
    assert set(re.findall(r"--[a-z][a-z-]+", done.stdout)) == options


def test_every_corpus_has_its_script() -> None:
    found = {path.name for path in (REPOSITORY / "data-prep").glob("prepare-*.sh")}
    assert found == set(SCRIPTS)


def test_script_ends_with_an_error_and_no_traceback(tmp_path: Path) -> None:
    script = REPOSITORY / "data-prep" / "prepare-multi30k.sh"
    command = [str(script), "--destdir", "dest", "--source-dir", "no where"]
    environment = os.environ | {"VENV": sys.prefix}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        " fairseq_labo.experiments.data.prepare multi30k --destdir dest --source-dir no\\ where\n"
        in done.stderr
    )
    assert "\nerror: no where: expected 10 files" in done.stderr
    assert "Traceback" not in done.stderr
    environment["VENV"] = str(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"error: expected a virtual environment in {tmp_path}" in done.stderr
