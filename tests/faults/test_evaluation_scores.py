"""Scores of one evaluation are not replaced by another's, nor by one that fails."""

import shutil
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.evaluation import generation
from fairseq_labo.experiments.files import locked, read_json, write_json, write_lines
from tests.faults.evaluations import BEST, SENTENCES, changed, refused, translated, words


@pytest.mark.usefixtures("fast")
def test_scores_of_another_setting_are_never_replaced(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = save / "test-scores" / "scores.json"
    assert cli.main(words(corpus, save)) == 0
    first = scores.read_bytes()
    for options, named in (
        (["--beam", 2], "--beam (5, now 2)"),
        (["--lenpen", 0.5], "--lenpen (1.0, now 0.5)"),
        (["--max-tokens", 300], "--max-tokens (4000, now 300)"),
        (["--", "--nbest", "2"], "flags behind --"),
        (["--average", 1, "--output", scores.parent], "checkpoint"),
        (["--subset", "valid", "--output", scores.parent], "subset (test, now valid)"),
    ):
        shutil.copyfile(save / BEST, save / "checkpoint1.pt")
        changed(save, lambda state: None) if options[0] != "--average" else None
        said = refused(words(corpus, save, *options), capsys)
        assert named in said and "give another --output" in said, options
        assert scores.read_bytes() == first
    assert not (scores.parent / "averaged.pt").exists()


@pytest.mark.usefixtures("fast")
def test_scores_of_a_training_that_went_on_are_kept(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under a second name; the same command again replaces."""
    for _ in range(2):
        assert cli.main(words(corpus, save)) == 0
    scores = read_json(save / "test-scores" / "scores.json")
    changed(save, lambda state: state["model"]["decoder.embed_tokens.weight"].mul_(2))
    assert cli.main(words(corpus, save)) == 0
    kept = f"scores.{scores['checkpoint']['sha256'][:8]}.json"
    assert f"kept as {kept}" in capsys.readouterr().err
    assert read_json(save / "test-scores" / kept) == scores
    assert read_json(save / "test-scores" / "scores.json")["checkpoint"] != scores["checkpoint"]


@pytest.mark.usefixtures("fast")
def test_scores_of_another_model_are_never_replaced(
    corpus: Path, save: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trainings call their best checkpoints alike."""
    output = tmp_path / "scores"
    assert cli.main(words(corpus, save, "--output", output)) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    other = shutil.copytree(save, tmp_path / "other")
    changed(other, lambda state: state["model"]["decoder.embed_tokens.weight"].mul_(2))
    assert "content of the checkpoint" in refused(words(corpus, other, "--output", output), capsys)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


@pytest.mark.usefixtures("fast")
def test_scores_of_another_source_are_never_replaced(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words(corpus, save)) == 0
    binarized = corpus / "bin" / "test.de-en.de.bin"
    content = binarized.read_bytes()
    binarized.write_bytes(content[2:4] + content[:2] + content[4:])  # two words change places
    assert binarized.read_bytes() != content
    assert "binarized text" in refused(words(corpus, save), capsys)


@pytest.mark.usefixtures("fast")
def test_the_score_of_comet_outlives_an_evaluation_without_it(corpus: Path, save: Path) -> None:
    assert cli.main(words(corpus, save)) == 0
    path = save / "test-scores" / "scores.json"
    score = {"label": "COMET", "score": 81.2, "signature": "by hand", "text": ""}
    write_json(path, {**read_json(path), "comet": score})
    assert cli.main(words(corpus, save)) == 0
    assert read_json(path)["comet"] == score
    write_lines(path.with_name("hyp.en"), ["other"] * SENTENCES)
    assert cli.main(words(corpus, save)) == 0
    assert "comet" not in read_json(path)


@pytest.mark.usefixtures("fast")
def test_what_fails_leaves_earlier_files(
    corpus: Path, save: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words(corpus, save)) == 0
    output = save / "test-scores"
    shutil.copyfile(save / BEST, save / "checkpoint1.pt")
    averaged = words(corpus, save, "--average", 1, "--output", save / "averaged")
    assert cli.main(averaged) == 0
    model = (save / "averaged" / "averaged.pt").read_bytes()
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    monkeypatch.setattr(generation, "_fairseq_generate", lambda words: 1 / 0)
    assert "fairseq-generate failed, ZeroDivisionError" in refused(words(corpus, save), capsys)
    changed(save, lambda state: state["model"]["decoder.embed_tokens.weight"].mul_(2))
    shutil.copyfile(save / BEST, save / "checkpoint1.pt")
    assert "ZeroDivisionError" in refused(averaged, capsys)
    assert (save / "averaged" / "averaged.pt").read_bytes() == model
    assert "Traceback" in (output / ".part" / "generate.log").read_text(encoding="utf-8")
    after = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    assert after == before


def test_a_checkpoint_that_is_replaced_meanwhile(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the training that goes on: BLEU would be of one model, NLL of another."""

    def train_on(words: list[str]) -> None:
        translated(words)
        changed(save, lambda state: state["extra_state"].update(best=1.0))

    monkeypatch.setattr(generation, "_fairseq_generate", train_on)
    assert "that a training has replaced it" in refused(words(corpus, save), capsys)
    assert not (save / "test-scores" / "scores.json").exists()


def test_one_at_a_time_in_a_folder(
    corpus: Path, save: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(save / "test-scores"):
        assert "expected to be alone in this folder" in refused(words(corpus, save), capsys)
