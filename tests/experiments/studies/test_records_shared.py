"""Records that are written again, cut off, or shared by several processes."""

import os
import shutil
from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies import records as records_module
from fairseq_labo.experiments.studies.records import Records
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.runner import Runner, is_done
from tests.experiments.studies.conftest import CORPUS
from tests.experiments.studies.test_records import complete, run_in, trainings
from tests.experiments.studies.test_runner import SCORES


def test_a_choice_stays_on_another_machine(tmp_path: Path) -> None:
    """Else a larger grid would get the test set a second time, without the error."""
    first = run_in(tmp_path / "first")
    first.root.mkdir()
    write_json(first.root / "choices.json", {"labo": {"labo_beta": "2"}})
    complete(first, tmp_path / "records", "test")
    records, again = Records(tmp_path / "records", CORPUS), tmp_path / "again"
    again.mkdir()
    write_json(again / "choices.json", {"tsla": {"smoothing_updates": "5"}})
    both = {"labo": {"labo_beta": "2"}, "tsla": {"smoothing_updates": "5"}}
    records.share_choices(first.study, again)  # also by a process that made another search
    assert read_json(again / "choices.json") == both == read_json(records.folder / "choices.json")
    write_json(again / "choices.json", {"labo": {"labo_beta": "4"}})
    with pytest.raises(UserError, match=r"expected labo_beta=2 as the choice for labo, as in "):
        records.share_choices(first.study, again)
    records.share_choices(first.study.model_copy(update={"tests": ("valid",)}), again)
    assert read_json(records.folder / "choices.json") == {**both, "labo": {"labo_beta": "4"}}


@pytest.mark.parametrize("after", ["hyp.en", "scores.json"])
def test_a_record_is_replaced_whole(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, it is what it was: else other machines would refuse it, or mix two."""
    run = run_in(tmp_path / "out")
    complete(run, tmp_path / "records", "valid")
    Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=["valid", "test"])
    copy = records_module._copy

    def killed(source: Path, target: Path) -> None:
        copy(source, target)
        if target.parent.name == "test-scores" and target.name == after:
            raise KeyboardInterrupt

    records = Records(tmp_path / "records", CORPUS)
    with monkeypatch.context() as patch:
        patch.setattr(records_module, "_copy", killed)
        with pytest.raises(KeyboardInterrupt):
            records.keep(run, ["valid", "test"])
    again = run_in(tmp_path / "again")
    again.claim(CORPUS)
    assert records.take_over(again)
    assert is_done(again, ["valid"]) and not is_done(again, ["test"])
    records.keep(run, ["valid", "test"])
    assert not list((tmp_path / "records").rglob("*.part"))
    third = run_in(tmp_path / "third")
    third.claim(CORPUS)
    assert records.take_over(third) and is_done(third, ["valid", "test"])


def test_a_record_that_is_up_to_date_is_not_written(tmp_path: Path) -> None:
    run = run_in(tmp_path / "out")
    complete(run, tmp_path / "records", "test")
    record = tmp_path / "records" / run.name
    before = {path: path.stat().st_ino for path in record.rglob("*")}
    complete(run, tmp_path / "records", "test")
    assert {path: path.stat().st_ino for path in record.rglob("*")} == before


def test_a_record_of_an_earlier_training_keeps_nothing_of_it(tmp_path: Path) -> None:
    run = run_in(tmp_path / "out")
    complete(run, tmp_path / "records", "test", "test1")
    write_json(run.folder / "train.json", {"seconds": 7.0})  # trained again
    Records(tmp_path / "records", CORPUS).keep(run, ["test"])
    assert not (tmp_path / "records" / run.name / "test1-scores").exists()


def test_a_record_that_cannot_be_written_costs_no_other_run(tmp_path: Path) -> None:
    runs = [run_in(tmp_path / "out", seed=seed) for seed in (1, 2)]
    record = tmp_path / "records" / runs[0].name
    record.parent.mkdir(parents=True)
    record.with_name(f"{record.name}.new.part").write_text("in its place")  # rmtree leaves a file
    runner = Runner(CORPUS, jobs=1, threads=1, records=Records(tmp_path / "records", CORPUS))
    with pytest.raises(UserError, match="expected a record that can be written, found an error"):
        runner.complete(runs, evaluations=["test"])
    assert is_done(runs[1], ["test"]) and is_done(runs[0], ["test"])


def test_two_processes_share_the_records(tmp_path: Path) -> None:
    """Hundreds of times each, with two states of a run; a reader sees one of them, and whole."""
    runs = [run_in(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=["test"])
    write_json(runs[1].folder / "train.json", {"seconds": 7.0})
    records = Records(tmp_path / "records", CORPUS)
    records.keep(runs[0], ["test"])
    children = []
    for run in runs:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(150):
                    records.keep(run, ["test"])
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for number in range(60):
        again = run_in(tmp_path / f"again-{number}")
        again.claim(CORPUS)
        assert records.take_over(again) and is_done(again, ["test"])
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_a_copy_gets_what_its_record_has_come_to_hold(tmp_path: Path) -> None:
    """Evaluations made later where the checkpoints are; or all, of a run trained again there."""
    records, first, copy = tmp_path / "records", run_in(tmp_path / "a"), run_in(tmp_path / "b")
    complete(first, records, "valid")
    complete(copy, records, "valid")
    complete(first, records, "test")
    complete(copy, records, "test")
    assert is_done(copy, ["valid", "test"]) and trainings(copy.root) == 0
    write_json(first.folder / "train.json", {"seconds": 7.0})  # trained again
    write_json(first.folder / "test-scores/scores.json", {**SCORES, "of": "another"})
    complete(first, records, "test")
    complete(copy, records, "test")
    assert (copy.scores("test") or {}).get("of") == "another"
    assert read_json(records / first.name / "train.json") == {"seconds": 7.0}


def test_what_is_recorded_of_a_training_does_not_touch_its_log(tmp_path: Path) -> None:
    """The record holds the reports of the validations alone."""
    run = run_in(tmp_path / "a")
    complete(run, tmp_path / "records", "test")
    shutil.rmtree(run.scores_folder("test"))
    log = (run.folder / "train.log").read_text("utf-8")
    complete(run, tmp_path / "records", "test")
    assert is_done(run, ["test"]) and trainings(run.root) == 1
    assert (run.folder / "train.log").read_text("utf-8") == log
    assert log != (tmp_path / "records" / run.name / "train.log").read_text("utf-8")


def test_a_copy_of_an_earlier_training_is_not_recorded(tmp_path: Path) -> None:
    records, first, copy = tmp_path / "records", run_in(tmp_path / "a"), run_in(tmp_path / "b")
    complete(first, records, "test")
    complete(copy, records, "test")
    write_json(first.folder / "train.json", {"seconds": 7.0})
    complete(first, records, "test")
    Records(records, CORPUS).keep(copy, ["test"])
    assert read_json(records / first.name / "train.json") == {"seconds": 7.0}


def test_what_another_process_trains_meanwhile_is_taken_over(tmp_path: Path) -> None:
    runs = [run_in(tmp_path / "a", seed=seed) for seed in (1, 2)]
    others = [run_in(tmp_path / "b", seed=seed) for seed in (1, 2)]
    records = Records(tmp_path / "records", CORPUS)

    class Late(Runner):
        def _train(self, run: Run) -> None:
            Runner(CORPUS, jobs=1, threads=1, records=records).complete(
                [others[1]], evaluations=["test"]
            )
            super()._train(run)

    Late(CORPUS, jobs=1, threads=1, records=records).complete(runs, evaluations=["test"])
    assert all(is_done(run, ["test"]) for run in runs) and trainings(tmp_path / "a") == 1


def test_a_kill_between_two_names_loses_no_record(tmp_path: Path) -> None:
    run, again = run_in(tmp_path / "a"), run_in(tmp_path / "b")
    complete(run, tmp_path / "records", "test")
    record = tmp_path / "records" / run.name
    record.rename(record.with_name(f"{record.name}.old.part"))
    complete(again, tmp_path / "records", "test")
    assert trainings(again.root) == 0 and record.exists()
