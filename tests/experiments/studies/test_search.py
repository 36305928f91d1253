"""Hyper-parameters are chosen by the validation set alone, and once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies import compare, report, search
from fairseq_labo.experiments.studies.document import Paragraph, Table
from fairseq_labo.experiments.studies.results import Results
from fairseq_labo.experiments.studies.run import Run, final_runs, search_runs
from fairseq_labo.experiments.studies.runner import TRAINED, Runner
from fairseq_labo.experiments.studies.study import (
    Evaluation,
    Method,
    Search,
    Significance,
    Study,
    setting_name,
)

CORPUS = Corpus(Path("nowhere"), {"corpus": "toy", "splits": {"test": {"name": "x"}}})
GRID = {"label_smoothing": ("0.1", "0.2"), "labo_beta": ("2",)}


def make_study(metric: str = "nll", seeds: tuple[int, ...] = (1, 2)) -> Study:
    return Study(
        name="s",
        corpus=Path("nowhere"),
        methods=(
            Method("smooth", {"criterion": "label_smoothed_cross_entropy"}),
            Method("labo", {"criterion": "labo_cross_entropy"}, grid=GRID),
        ),
        baseline="smooth",
        seeds=(1, 2),
        tests=("test",),
        score="bleu",
        train_flags={},
        train_extra=(),
        evaluation=Evaluation(),
        search=Search(metric, seeds),
        significance=Significance(),
    )


class FakeRunner(Runner):
    """Instead of training: scores by setting, and a list of what was asked for."""

    def __init__(self, valid: dict[str, float], metric: str = "nll") -> None:
        super().__init__(CORPUS, jobs=1, threads=1)
        self.valid, self.metric = valid, metric
        self.done: list[tuple[str, tuple[str, ...]]] = []

    def complete(self, runs: Sequence[Run], *, subsets: Sequence[str]) -> None:
        for run in runs:
            run.claim(CORPUS)
            write_json(run.folder / TRAINED, {})
            self.done.append((run.name, tuple(subsets)))
            for subset in subsets:
                run.scores_folder(subset).mkdir(exist_ok=True)
                value = self.valid.get(setting_name(run.setting), 0.0) + run.seed / 100
                if subset == "test":  # what must not matter: test says the opposite
                    value = -value
                scores: dict[str, Any] = {self.metric: {"score": value}}
                write_json(run.scores_folder(subset) / "scores.json", scores)


FIRST, SECOND = "label_smoothing=0.1,labo_beta=2", "label_smoothing=0.2,labo_beta=2"


@pytest.mark.parametrize(
    ("metric", "chosen"), [("nll", "label_smoothing=0.1"), ("bleu", "label_smoothing=0.2")]
)
def test_chosen_by_valid_and_only_the_choice_is_tested(
    metric: str, chosen: str, tmp_path: Path
) -> None:
    """Lower NLL wins, higher BLEU wins; the other setting is never run on the test set."""
    runner = FakeRunner({FIRST: 1.0, SECOND: 2.0}, metric)
    assert compare.run_study(make_study(metric), tmp_path, runner, only=[])
    searched, tested = runner.done[:4], runner.done[4:]
    assert all(subsets == ("valid",) for _, subsets in searched)
    assert all(subsets == ("test",) for _, subsets in tested)
    assert [name for name, _ in tested if name.startswith("labo")] == [
        f"labo/{chosen},labo_beta=2/seed-{seed}" for seed in (1, 2)
    ]
    assert read_json(tmp_path / "choices.json")["labo"] == {
        "label_smoothing": chosen.removeprefix("label_smoothing="),
        "labo_beta": "2",
    }


def test_means_over_the_searchs_seeds(tmp_path: Path) -> None:
    study = make_study()
    FakeRunner({FIRST: 1.0, SECOND: 2.0}).complete(search_runs(study, tmp_path), subsets=["valid"])
    first, second = search.candidates(study, tmp_path, "labo") or []
    assert first.values == (1.01, 1.02) and first.mean == pytest.approx(1.015)
    assert second.mean == pytest.approx(2.015)


def test_nothing_is_chosen_before_the_search_is_complete(tmp_path: Path) -> None:
    study = make_study()
    runner = FakeRunner({FIRST: 1.0, SECOND: 2.0})
    assert not compare.run_study(study, tmp_path, runner, only=["labo/*0.1*/seed-1", "smooth/*"])
    assert search.choose(study, tmp_path) == {}
    assert not any("labo" in name and "test" in subsets for name, subsets in runner.done)


def test_a_choice_stays(tmp_path: Path) -> None:
    """A larger grid with a better setting does not get the test set a second time."""
    study = make_study()
    assert compare.run_study(study, tmp_path, FakeRunner({FIRST: 1.0, SECOND: 2.0}), only=[])
    larger = replace(
        study.methods[1], grid={"label_smoothing": ("0.1", "0.2", "0.3"), "labo_beta": ("2",)}
    )
    changed = replace(study, methods=(study.methods[0], larger))
    third = {FIRST: 1.0, SECOND: 2.0, "label_smoothing=0.3,labo_beta=2": 0.5}
    with pytest.raises(UserError, match=r"expected label_smoothing=0.1,labo_beta=2 to stay"):
        compare.run_study(changed, tmp_path, FakeRunner(third), only=[])


def test_a_folder_belongs_to_one_config(tmp_path: Path) -> None:
    study = make_study()
    run = search_runs(study, tmp_path)[0]
    run.claim(CORPUS)
    run.claim(CORPUS)
    other = replace(study, train_flags={"epochs": "9"}, evaluation=Evaluation(beam=1))
    with pytest.raises(UserError, match="found one with another train, evaluate"):
        search_runs(other, tmp_path)[0].claim(CORPUS)
    foreign = search_runs(study, tmp_path)[2]
    foreign.folder.mkdir(parents=True)
    (foreign.folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="found other content"):
        foreign.claim(CORPUS)


def test_scores_of_the_runs_that_are_done(tmp_path: Path) -> None:
    """With --only: the seeds' mean, of a searched setting on the validation set alone."""
    study = make_study()
    runs = final_runs(study, tmp_path, choices={})
    assert compare.scores_so_far(study, tmp_path) == []
    searched = search_runs(study, tmp_path)[2]
    for run, subset, score in (
        (runs[0], "test", 30.0),
        (runs[1], "test", 32.0),
        (searched, "valid", 20.0),
    ):
        scores = {
            "bleu": {"score": score, "label": "sacreBLEU", "signature": "tok:13a"},
            "nll": {"score": 2.5},
        }
        run.scores_folder(subset).mkdir(parents=True)
        write_json(run.scores_folder(subset) / "scores.json", scores)
    assert compare.scores_so_far(study, tmp_path) == [
        f"labo/{SECOND}, valid: 20.00, NLL 2.500 bits (seeds 1; sacreBLEU, tok:13a)",
        "smooth, test: 31.00 ± 1.41, NLL 2.500 ± 0.000 bits (seeds 1, 2; sacreBLEU, tok:13a)",
    ]


@pytest.mark.parametrize(
    ("seeds", "text", "cells"),
    [
        ((1, 2), "mean ± standard deviation over seeds 1, 2", ["2.0000 ± 1.4142", "4.0000"]),
        ((1,), "with seed 1", ["2.0000", "4.0000"]),
    ],
)
def test_report_of_one_method_and_its_search(
    seeds: tuple[int, ...], text: str, cells: list[str]
) -> None:
    study = make_study(seeds=seeds)
    study = replace(study, methods=study.methods[1:], baseline="labo")
    corpus = Corpus(Path("nowhere"), {"corpus": "toy", "source_lang": "de", "target_lang": "en"})
    values = [(1.0, 3.0) if len(seeds) > 1 else (2.0,), (4.0,)]
    found = [
        search.Candidate(setting, value)
        for setting, value in zip(study.methods[0].settings(), values, strict=True)
    ]
    results = Results(study, corpus, {}, {"labo": found}, {}, {})
    assert report.introduction(results).startswith("One method on toy (de-en), seeds 1, 2. Values")
    _, paragraph, table = report.searches(results)
    assert isinstance(paragraph, Paragraph) and f"alone, {text}. The tests" in paragraph.text
    assert isinstance(table, Table) and [row[1] for row in table.rows] == cells
    assert [row[0].endswith(" (chosen)") for row in table.rows] == [True, False]
