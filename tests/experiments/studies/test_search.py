"""Hyper-parameters are chosen by the validation set alone, and once."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json, write_lines
from fairseq_labo.experiments.studies import gather as gather_module
from fairseq_labo.experiments.studies import search, workflow
from fairseq_labo.experiments.studies.gather import gather
from fairseq_labo.experiments.studies.method import Method
from fairseq_labo.experiments.studies.records import TRAINED, Records
from fairseq_labo.experiments.studies.run import Run, possible_names, search_runs
from fairseq_labo.experiments.studies.runner import Runner
from fairseq_labo.experiments.studies.study import Evaluation, setting_name
from tests.experiments.studies.conftest import CORPUS, make_study, scores_of
from tests.experiments.studies.test_runner import DONE


class FakeRunner(Runner):
    """Instead of training: scores by setting, and a list of what was asked for."""

    def __init__(self, valid: dict[str, float], metric: str = "nll") -> None:
        super().__init__(CORPUS, jobs=1, threads=1)
        self.valid, self.metric = valid, metric
        self.done: list[tuple[str, tuple[str, ...]]] = []

    def complete(self, runs: Sequence[Run], *, evaluations: Sequence[str]) -> None:
        for run in runs:
            run.claim(CORPUS)
            write_json(run.folder / TRAINED, {"seconds": 1})
            self.done.append((run.name, tuple(evaluations)))
            for subset in evaluations:
                run.scores_folder(subset).mkdir(exist_ok=True)
                value = self.valid.get(setting_name(run.setting), 0.0) + run.seed / 100
                if subset == "test":  # what must not matter: test says the opposite
                    value = -value
                scores = scores_of()
                scores[self.metric] = {**scores[self.metric], "score": value}
                write_json(run.scores_folder(subset) / "scores.json", scores)


def recorded(runs: Sequence[Run], folder: Path) -> Records:
    """Records of runs that FakeRunner left: with what else a training leaves."""
    records = Records(folder, CORPUS)
    for run in runs:
        (run.folder / "environment.json").write_text("{}", encoding="utf-8")
        (run.folder / "train.log").write_text(DONE, encoding="utf-8")
        hypotheses = ["x"] * scores_of()["subset"]["sentences"]
        write_lines(run.scores_folder("valid") / "hyp.en", hypotheses)
        records.keep(run, ["valid"])
    return records


FIRST, SECOND = "label_smoothing=0.1,labo_beta=2", "label_smoothing=0.2,labo_beta=2"


@pytest.mark.parametrize(
    ("metric", "chosen"), [("nll", "label_smoothing=0.1"), ("bleu", "label_smoothing=0.2")]
)
def test_chosen_by_valid_and_only_the_choice_is_tested(
    metric: str, chosen: str, tmp_path: Path
) -> None:
    """Lower NLL wins, higher BLEU wins; the other setting is never run on the test set."""
    runner = FakeRunner({FIRST: 1.0, SECOND: 2.0}, metric)
    assert workflow.run_study(make_study(metric), tmp_path, runner, only=[])
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
    FakeRunner({FIRST: 1.0, SECOND: 2.0}).complete(
        search_runs(study, tmp_path), evaluations=["valid"]
    )
    first, second = search.candidates(study, tmp_path, "labo", CORPUS, choices={}) or []
    assert first.values == (1.01, 1.02) and first.mean == pytest.approx(1.015)
    assert second.mean == pytest.approx(2.015)
    scores = scores_of()  # what FakeRunner leaves, but for the metric
    for each in (first, second):
        assert each.measures["score"] == scores["bleu"]["score"]
        assert each.measures["ece"] == scores["calibration"]["ece"]
        assert each.measures["nll_bits"] == scores["calibration"]["nll_bits"]


def test_nothing_is_chosen_before_the_search_is_complete(tmp_path: Path) -> None:
    study = make_study()
    runner = FakeRunner({FIRST: 1.0, SECOND: 2.0})
    assert not workflow.run_study(study, tmp_path, runner, only=["labo/*0.1*/seed-1", "smooth/*"])
    assert search.choose(study, tmp_path, CORPUS) == {}
    assert not any("labo" in name and "test" in subsets for name, subsets in runner.done)


def test_a_search_that_is_recorded_is_complete_whatever_is_asked_for(tmp_path: Path) -> None:
    """Else parts of a study on several machines would leave out the methods with a grid."""
    first = FakeRunner({FIRST: 2.0, SECOND: 1.0})
    assert workflow.run_study(make_study(), tmp_path / "first", first, only=[])
    records = recorded(search_runs(make_study(), tmp_path / "first"), tmp_path / "records")
    again = FakeRunner({})
    again.records = records
    assert not workflow.run_study(make_study(), tmp_path / "again", again, only=["*/seed-2"])
    assert ("labo/" + SECOND + "/seed-2", ("test",)) in again.done


def test_names_that_runs_may_have() -> None:
    """Of the search's seeds, too."""
    names = possible_names(make_study(seeds=(7,)), ["labo"])
    assert {*names} == {f"labo/{each}/seed-{n}" for each in (FIRST, SECOND) for n in (1, 2, 7)}


def test_what_records_teach_is_taken_over_at_once(tmp_path: Path) -> None:
    """A grid that is taught by a grid: its runs are known when its teacher's choice is."""
    study = make_study()
    entries = {"criterion": "tsla_cross_entropy", "grid": {"label_smoothing": ["0.3", "0.5"]}}
    pre = Method.model_validate({**entries, "teacher": "labo"})
    study = study.model_copy(update={"methods": {**study.methods, "pre": pre}})
    first = tmp_path / "first"
    assert workflow.run_study(study, first, FakeRunner({FIRST: 1.0, SECOND: 2.0}), only=[])
    choices = search.choose(study, first, CORPUS)
    records = recorded(search_runs(study, first, choices=choices), tmp_path / "records")
    again = FakeRunner({})
    again.records = records
    assert workflow.take_over_searches(study, tmp_path / "again", again) == choices
    assert choices.keys() == {"labo", "pre"}


def test_a_pattern_of_no_run_is_refused(tmp_path: Path) -> None:
    """Beside one that has runs, which are run; the names are told."""
    runner = FakeRunner({FIRST: 1.0, SECOND: 2.0})
    message = r"--only: expected .*, found loba/\*, which no run has; there are .*smooth/seed-1"
    with pytest.raises(UserError, match=message):
        workflow.run_study(make_study(), tmp_path, runner, only=["smooth/*", "loba/*"])
    assert {name.partition("/")[0] for name, _ in runner.done} == {"smooth"}


def test_a_choice_stays(tmp_path: Path) -> None:
    """A larger grid with a better setting does not get the test set a second time."""
    study = make_study()
    assert workflow.run_study(study, tmp_path, FakeRunner({FIRST: 1.0, SECOND: 2.0}), only=[])
    grid = {"label_smoothing": ("0.1", "0.2", "0.3"), "labo_beta": ("2",)}
    larger = study.methods["labo"].model_copy(update={"grid": grid})
    changed = study.model_copy(update={"methods": {**study.methods, "labo": larger}})
    third = {FIRST: 1.0, SECOND: 2.0, "label_smoothing=0.3,labo_beta=2": 0.5}
    with pytest.raises(UserError, match=r"expected label_smoothing=0.1,labo_beta=2 to stay"):
        workflow.run_study(changed, tmp_path, FakeRunner(third), only=[])


def test_runs_of_no_study_choose_nothing(tmp_path: Path) -> None:
    study = make_study()
    runs = search_runs(study, tmp_path)
    FakeRunner({FIRST: 1.0}).complete(runs, evaluations=["valid"])
    (runs[0].folder / "config.json").unlink()
    assert search.choose(study, tmp_path, CORPUS) == {}


def test_a_part_without_the_teacher_of_a_grid_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()
    entries = {"criterion": "tsla_cross_entropy", "grid": {"label_smoothing": ["0.3", "0.5"]}}
    pre = Method.model_validate({**entries, "teacher": "labo"})
    study = study.model_copy(update={"methods": {**study.methods, "pre": pre}})
    assert workflow.run_study(study, tmp_path, FakeRunner({FIRST: 1.0}), only=[])
    found: list[Any] = []
    monkeypatch.setattr(gather_module, "_compare", lambda *_: ({}, {"bs": "", "ar": ""}, {}))
    monkeypatch.setattr(gather_module, "SearchResult", lambda **entries: found.append(entries))
    with pytest.raises(KeyError):  # the rest is not there
        gather(study, tmp_path, CORPUS, only=["smooth/*", "pre/*"])
    assert [len(each) for each in found[0]["methods"].values()] == [2]


def test_runs_of_other_settings_choose_nothing(tmp_path: Path) -> None:
    """Those of a study that was changed, whatever is asked for."""
    study = make_study()
    FakeRunner({FIRST: 1.0}).complete(search_runs(study, tmp_path), evaluations=["valid"])
    changed = study.model_copy(update={"evaluate": Evaluation(beam=12)})
    runner = FakeRunner({})
    with pytest.raises(UserError, match="expected a run with the study's present settings"):
        workflow.run_study(changed, tmp_path, runner, only=["smooth/*"])
    assert runner.done == [] and not (tmp_path / "choices.json").exists()


@pytest.mark.parametrize("is_complete", [True, False])
def test_no_report_of_runs_of_other_settings(is_complete: bool, tmp_path: Path) -> None:
    """Its rows would name settings that were never trained."""
    study, runner = make_study(), FakeRunner({FIRST: 1.0, SECOND: 2.0})
    smooth = study.methods["smooth"]
    only = [] if is_complete else ["smooth/*"]
    assert workflow.run_study(study, tmp_path, runner, only=only) == is_complete
    other = Method.model_validate({**smooth.flags, "label_smoothing": 0.9})
    changed = study.model_copy(update={"methods": {**study.methods, "smooth": other}})
    message = "smooth/seed-1: expected a run with the study's present settings, found one with"
    with pytest.raises(UserError, match=message):
        gather(changed, tmp_path, CORPUS, only=["smooth/*"])
    before = len(runner.done)
    with pytest.raises(UserError, match=message):
        workflow.run_study(changed, tmp_path, runner, only=["labo/*0.1*/seed-1"])
    assert {name.partition("/")[0] for name, _ in runner.done[before:]} == {"labo"}


def test_the_choice_of_a_map_may_change(tmp_path: Path) -> None:
    """No test set is scored for it, so a larger grid costs nothing."""
    study = make_study().model_copy(update={"tests": ("valid",)})
    assert workflow.run_study(study, tmp_path, FakeRunner({FIRST: 1.0, SECOND: 2.0}), only=[])
    assert workflow.run_study(study, tmp_path, FakeRunner({FIRST: 3.0, SECOND: 2.0}), only=[])
    assert search.choose(study, tmp_path, CORPUS)["labo"]["label_smoothing"] == "0.2"


def test_a_teacher_is_chosen_before_its_students_are_searched(tmp_path: Path) -> None:
    study = make_study()
    entries = {"criterion": "tsla_cross_entropy", "grid": {"label_smoothing": ["0.3", "0.5"]}}
    pre = Method.model_validate({**entries, "teacher": "labo"})
    last = Method.model_validate({"criterion": "tsla_cross_entropy", "teacher": "pre"})
    methods = {**study.methods, "pre": pre, "last": last}
    study = study.model_copy(update={"methods": methods})
    runner = FakeRunner({FIRST: 1.0, SECOND: 2.0, "label_smoothing=0.3": 1.0})
    assert not workflow.run_study(study, tmp_path, runner, only=["pre/*", "last/*"])
    assert runner.done == []  # there is no choice for their teacher yet
    assert not workflow.run_study(study, tmp_path, runner, only=["pre/*=0.5/seed-2"])
    for name in ("labo/*/seed-3", "pre/*=0.7/*", "smooth/*/seed-1"):
        with pytest.raises(UserError, match=re.escape(f"found {name}, which no run has")):
            workflow.run_study(study, tmp_path, runner, only=[name])
    assert runner.done == []  # nor for its own runs at the end
    assert workflow.run_study(study, tmp_path, runner, only=[])
    assert search.choose(study, tmp_path, CORPUS)["pre"] == {"label_smoothing": "0.5"}
    searched = [name.partition("/")[0] for name, (subset,) in runner.done if subset == "valid"]
    assert searched == ["labo"] * 4 + ["pre"] * 4
    taught = read_json(tmp_path / "runs" / "last" / "seed-2" / "config.json")["teacher"]
    assert (taught["method"], taught["seed"]) == ("pre", 2)
    assert taught["teacher"]["setting"] == {"label_smoothing": "0.1", "labo_beta": "2"}
    assert any(line.startswith("pre/label_smoothing=0.5, valid: ")
               for line in workflow.scores_so_far(study, tmp_path, CORPUS))  # fmt: skip
