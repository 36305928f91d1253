"""The corpus that comes with the package."""

import json
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import extract
from fairseq_labo.experiments.data.corpora import microworld
from fairseq_labo.experiments.data.locate import locate
from fairseq_labo.experiments.files import read_json, read_lines, sha256_of
from tests.conftest import REPOSITORY
from tests.experiments.data import releases


def test_it_is_the_text_of_the_finished_study(tmp_path: Path) -> None:
    corpus = releases.declared("microworld")
    located = locate(corpus, tmp_path / "dest")
    extract.extract(corpus, located.containers, tmp_path)
    study = REPOSITORY / "results" / "studies" / "microworld" / "results.json"
    recorded = json.loads(study.read_text(encoding="utf-8"))["corpus"]["raw_sha256"]
    assert {name: sha256_of(tmp_path / name) for name in recorded} == recorded


@pytest.mark.usefixtures("in_process_fairseq")
def test_prepared_in_both_directions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(microworld, "SIZES", {"train": 60, "valid": 4, "test": 3})
    lines = []
    for pair in ("de-en", "en-de"):
        destdir = tmp_path / pair
        words = ["prepare", "microworld", "--destdir", str(destdir), "--seed", "1"]
        words += ["--pair", pair, "--bpe-merges", "100"]
        assert cli.main(words) == 0
        manifest = read_json(destdir / "manifest.json")
        assert manifest["splits"]["train"]["name"] == "seed 1" and manifest["bpe_merges"] == 100
        assert len(list(read_lines(destdir / "raw" / "train.de"))) == 60
        lines.append([next(read_lines(destdir / "raw" / f"train.{x}")) for x in ("de", "en")])
        capsys.readouterr()
        assert cli.main(words) == 0
        assert "is up to date" in capsys.readouterr().out
    assert lines[0] == lines[1] == [
        "Die Limonade steht in meinem Kühlschrank.", "The lemonade is in my fridge.",
    ]  # fmt: skip


def test_another_seed_says_how_to_generate(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", "microworld", "--seed", "7", "--dry-run"]) == 1
    error = capsys.readouterr().err
    assert "--seed: expected 1" in error and "python -m microworld --seed 7" in error
    assert "labo prepare own --pair de-en --train DIR/train" in error


def test_another_text_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in microworld.SHA256:
        (tmp_path / name).write_bytes((microworld.FOLDER / name).read_bytes())
    monkeypatch.setattr(microworld, "FOLDER", tmp_path)
    assert cli.main(["prepare", "microworld", "--dry-run"]) == 0
    (tmp_path / "valid.tsv.gz").write_bytes((tmp_path / "test.tsv.gz").read_bytes())
    assert cli.main(["prepare", "microworld", "--dry-run"]) == 1
    assert "valid.tsv.gz: expected the text that comes with" in capsys.readouterr().err
    (tmp_path / "valid.tsv.gz").unlink()
    assert cli.main(["prepare", "microworld", "--dry-run"]) == 1


def test_files_of_the_user_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", "microworld", "--source-dir", "x", "--dry-run"]) == 1
    assert "expected neither --archive nor --source-dir" in capsys.readouterr().err
