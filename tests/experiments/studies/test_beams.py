"""Widths of the search: each is an evaluation of its own, of the same checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies import workflow
from fairseq_labo.experiments.studies.beams import BeamScore, beam_scores
from fairseq_labo.experiments.studies.run import Run, final_runs
from tests.experiments.studies.conftest import CORPUS, make_study, scores_of
from tests.experiments.studies.test_run import parsed
from tests.experiments.studies.test_search import FakeRunner
from tests.experiments.studies.test_study import read


def run_with(root: Path, **texts: str) -> Run:
    """A run with widths 5 (the study's) and 20, and what BLEU said of each evaluation."""
    study = make_study().model_copy(update={"beams": (20, 1)})
    run = Run(study, "smooth", {}, 1, root)
    for number, (name, text) in enumerate(texts.items()):
        bleu = {"label": "x", "signature": "y", "score": 30.5 + number, "text": text}
        run.scores_folder(name.replace("_", "-")).mkdir(parents=True)
        write_json(run.scores_folder(name.replace("_", "-")) / "scores.json", scores_of(bleu=bleu))
    return run


def said(hypotheses: int, references: int) -> str:
    return f"BLEU = 3 4/3/2/1 (BP = 1 ratio = 9 hyp_len = {hypotheses} ref_len = {references})"


def test_commands_differ_in_the_beam_and_the_folder(tmp_path: Path) -> None:
    study = read(tmp_path, beams=[1, 20])
    assert list(study.evaluations) == [
        "test", "test1", "test-beam1", "test-beam20", "test1-beam1", "test1-beam20",
    ]  # fmt: skip
    run = final_runs(study, tmp_path, choices={})[0]
    own, other = (parsed(run.evaluate_command(name)) for name in ("test1", "test1-beam20"))
    assert (own.subset, own.beam, other.subset, other.beam) == ("test1", 4, "test1", 20)
    assert other.output == run.folder / "test1-beam20-scores"
    of_one = {"beam": 0, "output": 0}
    assert {**vars(own), **of_one} == {**vars(other), **of_one}
    assert parsed(run.evaluate_command("valid")).beam == 4
    # A study that is done stays done when widths are added.
    assert run.config(CORPUS) == final_runs(read(tmp_path), tmp_path, choices={})[0].config(CORPUS)


@pytest.mark.parametrize(
    ("beams", "match"),
    [
        ([4], "beams: expected other widths than evaluate.beam, found 4, too"),
        ([2, 2], r"beams: expected different values, found \[2, 2\]"),
        ([0], "beams.0: expected a whole number of at least 1, at most 10000, found 0"),
    ],
)
def test_refusals(beams: list[int], match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match):
        read(tmp_path, beams=beams)


def test_only_final_runs_are_searched_with_other_widths(tmp_path: Path) -> None:
    runner = FakeRunner({})
    study = make_study().model_copy(update={"beams": (20,)})
    assert workflow.run_study(study, tmp_path, runner, only=[])
    evaluations = {names for _, names in runner.done}
    assert evaluations == {("valid",), ("test", "test-beam20")}


def test_scores_and_lengths_by_width(tmp_path: Path) -> None:
    texts = {"test": said(97, 100), "test_beam20": said(90, 100), "test_beam1": said(101, 100)}
    assert beam_scores(run_with(tmp_path, **texts), "test") == {
        1: BeamScore(score=32.5, length_ratio=1.01),
        5: BeamScore(score=30.5, length_ratio=0.97),
        20: BeamScore(score=31.5, length_ratio=0.9),
    }


def test_a_study_with_one_width_has_none(tmp_path: Path) -> None:
    run = Run(make_study(), "smooth", {}, 1, tmp_path)
    assert beam_scores(run, "test") == {}


@pytest.mark.parametrize("text", ["", "chrF2 = 59"])
def test_scores_without_lengths(text: str, tmp_path: Path) -> None:
    texts: dict[str, Any] = {"test": said(1, 1), "test_beam20": said(1, 1), "test_beam1": text}
    run = run_with(tmp_path, **texts)
    with pytest.raises(UserError, match=r"beam1-scores/scores.json: bleu.text: expected BLEU with"):
        beam_scores(run, "test")
