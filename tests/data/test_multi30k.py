"""The commands: Multi30k on a tiny corpus in the release's layout, and the microworld."""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from labo_data import bpe, multi30k, pipeline, prepare_microworld
from labo_data.download import Source
from labo_data.text import Split, read_json, read_lines, write_lines

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = ["prepare-multi30k.sh", "prepare-microworld.sh"]
COUNTS = {"train": 50, "val": 6, "test_2016_flickr": 5, "test_2017_flickr": 4}
COUNTS["test_2017_mscoco"] = 3
SPLITS = {split: Split(entry.name, COUNTS[entry.name]) for split, entry in multi30k.SPLITS.items()}
SENTENCES = {
    "de": "Ein Mann, der {} Hüte\u2028 trägt, sagt: 'Nein' & geht.",
    "en": "A man wearing {} hats\x0c says 'no' & doesn't stay.",
}


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
            sources.append(Source("multi30k", file, url, len(data), digest))
    return tmp_path / "release", sources


def test_counts_of_the_release() -> None:
    found = {entry.name: entry.expected_lines for entry in multi30k.SPLITS.values()}
    assert found == {
        "train": 29_000,
        "val": 1_014,
        "test_2016_flickr": 1_000,
        "test_2017_flickr": 1_000,
        "test_2017_mscoco": 461,
    }
    assert list(multi30k.SPLITS) == ["train", "valid", "test", "test1", "test2"]


def test_end_to_end(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    destdir = tmp_path / "multi30k"
    arguments = ["--destdir", str(destdir), "--source-dir", str(folder), "--bpe-merges", "90"]
    arguments += ["--source-lang", "en", "--target-lang", "de"]
    assert multi30k.main(arguments, sources=sources, splits=SPLITS) == 0
    printed = capsys.readouterr().out
    assert "  test_2017_mscoco  " in printed and "vocabulary: " in printed
    for split, entry in SPLITS.items():
        for lang in ("de", "en"):
            archive = folder / multi30k.LAYOUT / f"{entry.name}.{lang}.gz"
            raw = destdir / "raw" / f"{split}.{lang}"
            assert raw.read_bytes() == gzip.decompress(archive.read_bytes())
            tokens = list(read_lines(destdir / "tok" / raw.name))
            assert len(tokens) == entry.expected_lines
            subwords = list(read_lines(destdir / "bpe" / raw.name))
            assert [bpe.decode(line) for line in subwords] == tokens
            assert (destdir / "bin" / f"{split}.en-de.{lang}.bin").stat().st_size > 0
    manifest = read_json(destdir / "manifest.json")
    assert manifest["corpus"] == "multi30k"
    assert (manifest["source_lang"], manifest["target_lang"]) == ("en", "de")
    assert manifest["splits"]["test1"]["name"] == "test_2017_flickr"
    assert not (destdir / ".incoming").exists()
    # The folder that holds the archives themselves will do as well, and nothing is new.
    arguments[3] = str(folder / multi30k.LAYOUT)
    assert multi30k.main(arguments, sources=sources, splits=SPLITS) == 0
    assert "is up to date" in capsys.readouterr().out


def test_wrong_count(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    splits = SPLITS | {"test1": Split("test_2017_flickr", 1_000)}
    arguments = ["--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    assert multi30k.main(arguments, sources=sources, splits=splits) == 1
    error = capsys.readouterr().err
    assert "test_2017_flickr.de.gz" in error
    assert "expected 1,000 lines, found 4; " in error and "fetch them again" in error
    assert not (tmp_path / "dest" / "manifest.json").exists()


def test_wrong_hash(
    release: tuple[Path, list[Source]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sources = release
    path = folder / multi30k.LAYOUT / "val.en.gz"
    changed = gzip.compress(b"another text\n" * COUNTS["val"])
    path.write_bytes(changed)
    arguments = ["--destdir", str(tmp_path / "dest"), "--source-dir", str(folder)]
    assert multi30k.main(arguments, sources=sources, splits=SPLITS) == 1
    error = capsys.readouterr().err
    (expected,) = [source.sha256 for source in sources if source.file == "val.en.gz"]
    assert f"val.en.gz: expected sha256 {expected}" in error
    assert hashlib.sha256(changed).hexdigest() in error
    assert path.read_bytes() == changed


def test_offline(
    release: tuple[Path, list[Source]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    arguments = ["--destdir", str(tmp_path / "dest")]
    assert multi30k.main(arguments, sources=release[1], splits=SPLITS) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:9/train.de.gz: the download failed")
    assert error.count("\n  http://127.0.0.1:9/") == 10


def test_microworld_is_generated_aside_and_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(destination: Path, *, seed: int, **sizes: int) -> None:
        for split, size in sizes.items():
            for lang in ("de", "en"):
                lines = [f"{lang} {seed} {i}" for i in range(size)]
                write_lines(destination / f"{split}.{lang}", lines)

    def prepare(raw_dir: Path, destdir: Path, **options: Any) -> None:
        assert list(read_lines(raw_dir / "valid.de")) == ["de 7 0", "de 7 1"]
        assert raw_dir.parent == destdir and raw_dir.name not in pipeline.STAGES
        seen.append((destdir, options))

    seen: list[tuple[Path, dict[str, Any]]] = []
    monkeypatch.setattr(prepare_microworld.microworld, "write", write)
    monkeypatch.setattr(pipeline, "prepare", prepare)
    sizes = {"train": 9, "valid": 2, "test": 2}
    destdir = tmp_path / "micro"
    arguments = ["--destdir", str(destdir), "--seed", "7", "--bpe-merges", "700"]
    assert prepare_microworld.main(arguments, sizes=sizes) == 0
    ((seen_destdir, options),) = seen
    assert seen_destdir == destdir and options["bpe_merges"] == 700
    assert options["splits"]["train"] == Split("seed 7", 9)
    assert not (destdir / ".incoming").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert prepare_microworld.main(["--destdir", str(tmp_path / "full")], sizes=sizes) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'full'}: expected an empty")


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_prints_usage_from_any_folder(script: str, tmp_path: Path) -> None:
    command = [str(REPOSITORY / "data-prep" / script), "-h"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: data-prep/{script} [-h]")
    assert "--bpe-merges N" in done.stdout


def test_script_ends_with_an_error_and_no_traceback(tmp_path: Path) -> None:
    script = REPOSITORY / "data-prep" / "prepare-multi30k.sh"
    command = [str(script), "--destdir", "dest", "--source-dir", "no where"]
    environment = os.environ | {"VENV": sys.prefix}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert " -m labo_data.multi30k --destdir dest --source-dir no\\ where\n" in done.stderr
    assert "\nerror: no where: expected 10 files" in done.stderr
    assert "Traceback" not in done.stderr
    environment["VENV"] = str(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"error: expected a virtual environment in {tmp_path}" in done.stderr
