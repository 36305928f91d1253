"""Shared by the tests of studies: a corpus and a study without files, committed results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.studies import run
from fairseq_labo.experiments.studies.method import Method
from fairseq_labo.experiments.studies.results import Results, RunResult, read_results
from fairseq_labo.experiments.studies.study import Search, Study
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "results" / "studies"
GRID = {"label_smoothing": ["0.1", "0.2"], "labo_beta": ["2"]}


def corpus_of(
    name: str = "toy",
    hashes: dict[str, str] | None = None,
    languages: tuple[str, str] = ("de", "en"),
) -> PreparedCorpus:
    """A corpus that nobody reads."""
    nowhere = Path("nowhere")
    manifest = {"corpus": name, "raw_sha256": hashes}
    splits = {"test": "x", "valid": "y"}
    return PreparedCorpus(nowhere, nowhere / "bin", name, languages, splits, manifest)


CORPUS = corpus_of()


@pytest.fixture(autouse=True)
def no_dictionaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus that nobody reads has none."""
    record = run.corpus_record

    def corpus_record(corpus: PreparedCorpus) -> dict[str, Any]:
        return record(corpus) if corpus.bin_dir.exists() else {"dictionaries": {}}

    monkeypatch.setattr(run, "corpus_record", corpus_record)


def scores_of(**changes: Any) -> dict[str, Any]:
    """The scores.json of a committed run, with some entries changed."""
    content = json.loads((RESULTS / "microworld" / "results.json").read_text(encoding="utf-8"))
    return {**content["runs"][0]["scores"]["test"], **changes}


def make_study(metric: str = "nll", seeds: tuple[int, ...] = (1, 2)) -> Study:
    """Label smoothing, and LABO with a grid of two settings."""
    smooth = Method.model_validate({"criterion": "label_smoothed_cross_entropy"})
    labo = Method.model_validate({"criterion": "labo_cross_entropy", "grid": GRID})
    return Study.model_construct(
        name="s",
        corpus=Path("nowhere"),
        methods={"smooth": smooth, "labo": labo},
        baseline="smooth",
        seeds=(1, 2),
        search=Search(metric=metric, seeds=seeds),
    )


@pytest.fixture
def microworld() -> Results:
    """The committed results of study microworld: four methods, two seeds, TSLA has a switch."""
    return read_results(RESULTS / "microworld" / "results.json")


@pytest.fixture
def changed(microworld: Results) -> Callable[..., Results]:
    """`changed(run, **of_results)`: those results, each run replaced by `run(it)`."""

    def change(
        run: Callable[[RunResult], RunResult] = lambda each: each, **of_results: Any
    ) -> Results:
        runs = tuple(map(run, microworld.runs))
        return microworld.model_copy(update={"runs": runs, **of_results})

    return change
