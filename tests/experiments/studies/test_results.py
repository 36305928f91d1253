"""results.json: what is written is read again; what is no such file is refused by place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies.results import (
    Results,
    mean_with_deviation,
    read_results,
)
from tests.experiments.studies.conftest import RESULTS


def test_results_are_read_as_they_were_written(microworld: Results, tmp_path: Path) -> None:
    write_json(tmp_path / "results.json", microworld.model_dump(mode="json"))
    assert read_results(tmp_path / "results.json") == microworld
    assert microworld.seeds == [1, 2] and microworld.tests == ["test"]
    assert list(microworld.methods) == ["cross_entropy", "label_smoothing", "tsla", "labo"]
    assert [run.name for run in microworld.methods["labo"]] == ["labo/seed-1", "labo/seed-2"]


def test_files_from_before_have_no_note_and_no_translations(
    microworld: Results, tmp_path: Path
) -> None:
    content = microworld.model_dump(mode="json")
    for name in ("paper", "translations", "note"):
        del content[name]
    write_json(tmp_path / "results.json", content)
    read = read_results(tmp_path / "results.json")
    assert (read.paper, read.translations, read.note) == (None, {}, "")


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.pop(name)


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (without("runs"), "results.json: runs: expected an entry, found none"),
        (lambda content: content.update(runs=[]), "runs: expected at least one, found"),
        (
            lambda content: content.update(baselin="x"),
            "baselin: .*; did you mean baseline",
        ),
        (lambda content: content["runs"][1].update(seed="one"), "runs.1.seed: expected .* 'one'"),
        (lambda content: content["runs"][0]["scores"].update(test=[]), "runs.0.scores.test: "),
        (
            lambda content: content["runs"][0]["compared"]["test"].pop("score"),
            "runs.0.compared.test.score: expected an entry, found none",
        ),
    ],
)
def test_results_that_were_edited_are_refused(
    edit: Callable[[dict[str, Any]], Any], match: str, tmp_path: Path
) -> None:
    content = json.loads((RESULTS / "microworld" / "results.json").read_text(encoding="utf-8"))
    edit(content)
    write_json(tmp_path / "results.json", content)
    with pytest.raises(UserError, match=match):
        read_results(tmp_path / "results.json")


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a study's results.json, found none"):
        read_results(tmp_path / "results.json")


def test_means_and_deviations() -> None:
    assert mean_with_deviation([1.0, 3.0], 2) == "2.00 ± 1.41"
    assert mean_with_deviation([1.0], 3) == "1.000"
