"""The command `labo prepare`, mostly on a tiny Multi30k in the release's layout."""

import errno
import gzip
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fairseq.data.data_utils import post_process

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.files import read_json, read_lines
from tests.conftest import REPOSITORY
from tests.experiments.data import broken, releases
from tests.experiments.data.releases import TINY_COUNTS as COUNTS
from tests.experiments.data.releases import tiny_multi30k

SCRIPTS = [f"prepare-{name}.sh" for name in CORPORA]
LAYOUT = "data/task1/raw"
NAMES = dict(zip(["train", "valid", "test", "test1", "test2"], COUNTS, strict=True))


@pytest.mark.usefixtures("in_process_fairseq")
def test_end_to_end(
    tiny: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = tiny
    destdir = tmp_path / "multi30k"
    arguments = ["multi30k", "--destdir", str(destdir), "--source-dir", str(folder)]
    arguments += ["--bpe-merges", "90"]
    corpus = tiny_multi30k("en-de")
    assert releases.main(arguments, corpus=corpus, sources=sources) == 0
    printed = capsys.readouterr().out
    assert "  test_2017_mscoco  " in printed and "vocabulary: " in printed
    for split, name in NAMES.items():
        for lang in ("de", "en"):
            archive = folder / LAYOUT / f"{name}.{lang}.gz"
            raw = destdir / "raw" / f"{split}.{lang}"
            assert raw.read_bytes() == gzip.decompress(archive.read_bytes())
            tokens = list(read_lines(destdir / "tok" / raw.name))
            assert len(tokens) == COUNTS[name]
            subwords = list(read_lines(destdir / "bpe" / raw.name))
            assert [post_process(line, "subword_nmt") for line in subwords] == tokens
            assert (destdir / "bin" / f"{split}.en-de.{lang}.bin").stat().st_size > 0
    manifest = read_json(destdir / "manifest.json")
    assert manifest["corpus"] == "multi30k"
    assert (manifest["source_lang"], manifest["target_lang"]) == ("en", "de")
    assert manifest["splits"]["test1"]["name"] == "test_2017_flickr"
    # The folder that holds the archives themselves will do as well, and nothing is new.
    arguments[4] = str(folder / LAYOUT)
    assert releases.main(arguments, corpus=corpus, sources=sources) == 0
    assert "is up to date" in capsys.readouterr().out


def test_wrong_count(
    tiny: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = tiny
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    assert releases.main(arguments, corpus=tiny_multi30k(test1=1_000), sources=sources) == 1
    error = capsys.readouterr().err
    assert "test_2017_flickr.de.gz" in error
    assert "expected 1,000 lines, found 4; " in error and "fetch them again" in error
    assert not (tmp_path / "dest" / "manifest.json").exists()


@pytest.mark.usefixtures("in_process_fairseq")
def test_wrong_count_accepted(tiny: tuple[Path, list[Source]], tmp_path: Path) -> None:
    folder, sources = tiny
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    arguments += ["--accept-counts", "--bpe-size", "60"]
    assert releases.main(arguments, corpus=tiny_multi30k(test1=1_000), sources=sources) == 0
    test1 = read_json(tmp_path / "dest" / "manifest.json")["splits"]["test1"]
    assert (test1["lines"], test1["expected_lines"]) == (4, 1_000)


def test_wrong_hash(
    tiny: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = tiny
    path = folder / LAYOUT / "val.en.gz"
    changed = gzip.compress(b"another text\n" * COUNTS["val"])
    path.write_bytes(changed)
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    assert releases.main(arguments, corpus=tiny_multi30k(), sources=sources) == 1
    error = capsys.readouterr().err
    (expected,) = [source.hash for source in sources if source.file == "val.en.gz"]
    assert f"val.en.gz: expected {expected}" in error
    assert hashlib.sha256(changed).hexdigest() in error
    assert path.read_bytes() == changed


def test_offline(
    tiny: tuple[Path, list[Source]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest")]
    assert releases.main(arguments, corpus=tiny_multi30k(), sources=tiny[1]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:9/train.de.gz: the download failed")
    assert error.count("  from  http://127.0.0.1:9/") == 10
    assert error.endswith("then add --source-dir DIR\n")


def test_every_corpus_has_its_script() -> None:
    found = {path.name for path in (REPOSITORY / "data-prep").glob("prepare-*.sh")}
    assert found == set(SCRIPTS)


def test_script_ends_with_an_error_and_no_traceback(tmp_path: Path) -> None:
    script = REPOSITORY / "data-prep" / "prepare-multi30k.sh"
    command = [str(script), "--destdir", "dest", "--source-dir", "no where"]
    environment = os.environ | {"VENV": sys.prefix}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: no where: expected 10 files" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_of_each_corpus_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """All flags of the scripts that there were before the command."""
    common = ["--destdir", "--workers", "--bpe", "--bpe-size", "--bpe-merges", "--force"]
    common += ["--joined-dictionary", "--no-joined-dictionary", "--dry-run", "--pair"]
    of_releases = ["--archive", "--source-dir", "--keep-case", "--accept-counts"]
    special = {
        "iwslt17": ["--test-set", "--valid-set"],
        "multi30k": ["--source-lang", "--target-lang"],
        "microworld": ["--seed"],
        "wmt14": ["--news-commentary"],
    }
    for name in CORPORA:
        with pytest.raises(SystemExit) as caught:
            cli.main(["prepare", name, "-h"])
        printed = capsys.readouterr().out
        assert caught.value.code == 0
        expected = {*common, *special.get(name, []), *(of_releases if name != "own" else [])}
        assert expected <= set(re.findall(r"--[a-z-]+", printed)), name


def test_default_folder_is_named_after_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABO_HOME", str(tmp_path))
    assert cli.main(["prepare", "microworld", "--dry-run"]) == 0
    assert f"microworld de-en in {tmp_path / 'data' / 'microworld'}\n" in capsys.readouterr().out


def test_what_the_options_ask_for() -> None:
    given = ["--keep-case", "--bpe", "sentencepiece", "--bpe-size", "9", "--joined-dictionary"]
    before, after = releases.declared("iwslt14"), releases.declared("iwslt14", *given)
    assert before.recipe.lowercase and not before.recipe.joined_dictionary
    assert after.recipe == replace(
        before.recipe,
        lowercase=False,
        subwords="sentencepiece",
        bpe_size=9,
        joined_dictionary=True,
    )
    # Published lines stay what is expected; tokens and types belong to the published subwords.
    assert after.counts == replace(before.counts, tokens={}, dictionary={})
    joined = releases.declared("iwslt14", "--joined-dictionary")
    assert joined.counts == replace(before.counts, dictionary={})
    # Where nothing is lowercased, nothing changes.
    assert releases.declared("wmt14", "--keep-case") == releases.declared("wmt14")
    # Where cleaning comes after BPE, other subwords leave other pairs.
    wmt14 = releases.declared("wmt14", "--news-commentary", "v12", "--bpe-size", "9")
    assert wmt14.counts.splits == {}


def test_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "train.de")

    folder = tmp_path / "release"
    releases.write_multi30k(folder)
    monkeypatch.setattr("fairseq_labo.experiments.data.extract.write_lines", full)
    error = broken.refused("multi30k", folder, capsys)
    assert "No space left on device: 'train.de'" in error and "free some space" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases.write_multi30k(tmp_path / "release")
    (tmp_path / "closed").mkdir(mode=0o500)
    destdir = tmp_path / "closed" / "dest"
    assert releases.run("multi30k", tmp_path / "release", destdir) == 1
    assert "give permission" in capsys.readouterr().err


def test_read_only_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "dest")

    releases.write_multi30k(tmp_path / "release")
    monkeypatch.setattr(Path, "mkdir", read_only)
    assert releases.run("multi30k", tmp_path / "release", tmp_path / "dest") == 1
    error = capsys.readouterr().err
    assert "Read-only file system" in error and "choose another folder" in error


def test_dry_run_writes_nothing(
    tiny: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = tiny
    arguments = ["multi30k", "--destdir", str(tmp_path / "dest"), "--dry-run"]
    assert releases.main(arguments, corpus=tiny_multi30k(), sources=sources) == 0
    printed = capsys.readouterr().out
    assert "train.de.gz: would be downloaded from http://127.0.0.1:9/" in printed
    given = [*arguments, "--source-dir", str(folder)]
    assert releases.main(given, corpus=tiny_multi30k(), sources=sources) == 0
    printed = capsys.readouterr().out
    assert "stage: extract: would run" in printed and "bpe_size: 8000" in printed
    assert not (tmp_path / "dest").exists()
    assert releases.main([*arguments, "--source-dir", "/nowhere"], corpus=tiny_multi30k()) == 1


@pytest.mark.usefixtures("in_process_fairseq")
def test_dry_run_says_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases.write_tatoeba(tmp_path / "release", size=300)
    assert releases.run("tatoeba", tmp_path / "release", tmp_path / "dest") == 0
    words = (tmp_path / "release", tmp_path / "dest", "--dry-run")
    for flag, state in (("--joined-dictionary", "done"), ("--no-joined-dictionary", "would run")):
        capsys.readouterr()
        assert releases.run("tatoeba", *words, flag) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "stage: clean: done" in lines and f"stage: binarize: {state}" in lines
