"""Records: a study that lost its machine goes on from what was committed."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies import run as run_module
from fairseq_labo.experiments.studies.records import Records, is_without_checkpoint
from fairseq_labo.experiments.studies.run import final_runs, search_runs
from fairseq_labo.experiments.studies.runner import Runner, is_done
from fairseq_labo.experiments.studies.study_file import read_study
from fairseq_labo.experiments.training.log import read_training_log
from tests.conftest import REPOSITORY
from tests.experiments.studies.conftest import CORPUS, RESULTS, corpus_of
from tests.experiments.studies.test_runner import FINISH, SCORES, ShellRun, shell_run, taught_run

# Notes each training; then the log of one, with a path, and its checkpoint.
TRAIN = f"echo x >> $1/../trainings; touch $1/checkpoint_best.pt; {FINISH}"
ABSOLUTE = re.compile(r"(^|[\s'\"=])/\w+/\w", re.MULTILINE)
LOADED = "echo 'INFO | Loaded checkpoint /home/me/x.pt' >> $1/train.log"


class RecordedRun(ShellRun):
    """Leaves translations too."""

    def evaluate_command(self, subset: str) -> list[str]:
        *shell, words = super().evaluate_command(subset)
        texts = f"{self.scores_folder(subset)}/hyp.{CORPUS.languages[1]}"
        lines = SCORES["subset"]["sentences"]
        return [*shell, f"{words} && yes {subset} | head -n {lines} | tee {texts}"]


def run_in(root: Path, *, seed: int = 1) -> RecordedRun:
    run = shell_run(root, f"{TRAIN}{LOADED}", seed=seed)
    return RecordedRun(run.study, run.method, run.setting, seed, root, run.train)


def complete(run: RecordedRun, records: Path, *evaluations: str, train_again: bool = False) -> None:
    kept = Records(records, CORPUS)
    runner = Runner(CORPUS, jobs=1, threads=1, records=kept, train_again=train_again)
    runner.complete([run], evaluations=evaluations)


def trainings(root: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in root.glob("runs/*/trainings"))


def test_a_lost_run_is_taken_over_without_training(tmp_path: Path) -> None:
    """Its scores, translations and log are those of the run that is gone."""
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "test")
    log = read_training_log(first.folder / "train.log")
    scores, texts = first.scores("test"), first.lines("test", "hyp.en", 500)
    shutil.rmtree(first.root)
    complete(again, tmp_path / "records", "test")
    assert is_done(again, ["test"])
    assert trainings(again.root) == 0
    assert (again.scores("test"), again.lines("test", "hyp.en", 500)) == (scores, texts)
    # Whether it was resumed stands in train.json; the line of the log holds a path.
    assert log.resumed and replace(log, resumed=False) == read_training_log(
        again.folder / "train.log"
    )
    assert read_json(again.folder / "train.json")["resumed"] is True


def test_a_record_holds_neither_checkpoints_nor_paths(tmp_path: Path) -> None:
    run = run_in(tmp_path / "out")
    complete(run, tmp_path / "records", "test")
    files = [path for path in (tmp_path / "records" / run.name).rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "config.json", "environment.json", "hyp.en", "scores.json", "train.json", "train.log",
    }  # fmt: skip
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "/home/me" not in text and str(tmp_path) not in text, path


def test_no_text_of_a_corpus_is_committed() -> None:
    """Raw references, or their tokens, or sentences that a report shows beside the translations."""
    assert not list(RESULTS.parent.rglob("ref.*"))
    for file in RESULTS.rglob("results.json"):
        results = read_json(file)
        assert results["corpus"]["name"] == "microworld" or not any(
            results["translations"].values()
        ), file


def test_of_another_beam_the_scores_alone_are_kept(tmp_path: Path) -> None:
    first, again = (
        replace(run, study=run.study.model_copy(update={"beams": (20,)}))
        for run in (run_in(tmp_path / "first"), run_in(tmp_path / "again"))
    )
    complete(first, tmp_path / "records", "test", "test-beam20")
    record = tmp_path / "records" / first.name
    assert [path.name for path in (record / "test-beam20-scores").iterdir()] == ["scores.json"]
    complete(again, tmp_path / "records", "test", "test-beam20")
    assert is_done(again, ["test", "test-beam20"]) and trainings(again.root) == 0


def test_runs_done_before_are_recorded_too(tmp_path: Path) -> None:
    run = run_in(tmp_path / "out")
    Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=["test"])
    complete(run, tmp_path / "records", "test")
    assert trainings(run.root) == 1
    assert (tmp_path / "records" / run.name / "train.json").exists()


def test_what_needs_a_checkpoint_is_trained_again(tmp_path: Path) -> None:
    """A record of the search's scores does not do where the test set is still to be translated.

    But only if asked to; what the search found stays in the record, for its choice.
    """
    first, again, third = (run_in(tmp_path / name) for name in ("first", "again", "third"))
    complete(first, tmp_path / "records", "valid")
    for scores in (tmp_path / "records").rglob("scores.json"):
        write_json(scores, read_json(scores) | {"of": "the search"})
    wanted = r"smooth/seed-1: expected its checkpoints in .*missing \(test\), found none: run that "
    with pytest.raises(UserError, match=wanted + "with the --output .*or give --train-again"):
        complete(again, tmp_path / "records", "test")
    assert is_done(again, ["valid"]) and trainings(again.root) == 0
    complete(again, tmp_path / "records", "test", train_again=True)
    assert is_done(again, ["valid", "test"]) and trainings(again.root) == 1
    complete(third, tmp_path / "records", "valid", "test")
    assert trainings(third.root) == 0
    assert (third.scores("valid") or {}).get("of") == "the search"
    assert "of" not in (third.scores("test") or {"of": ""})


def test_the_others_are_run_where_one_lacks_its_checkpoints(tmp_path: Path) -> None:
    recorded = run_in(tmp_path / "first")
    complete(recorded, tmp_path / "records", "valid")
    runs = [run_in(tmp_path / "again", seed=seed) for seed in (1, 2)]
    pupil = taught_run(runs[0], runs[0].train)
    runner = Runner(CORPUS, jobs=1, threads=1, records=Records(tmp_path / "records", CORPUS))
    with pytest.raises(UserError) as caught:
        runner.complete([*runs, pupil], evaluations=["test"])
    assert "seed-1: expected its checkpoints" in str(caught.value)
    assert is_done(runs[1], ["test"]) and not is_done(pupil, ())


def test_all_scores_at_the_end_are_of_one_checkpoint(tmp_path: Path) -> None:
    """A beam that is added to recorded runs: the test set is scored again with the new model."""
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "valid", "test")
    for scores in (tmp_path / "records").rglob("scores.json"):
        write_json(scores, read_json(scores) | {"of": "the record"})
    again = replace(again, study=again.study.model_copy(update={"beams": (20,)}))
    complete(again, tmp_path / "records", "valid", "test", "test-beam20", train_again=True)
    made_of = {name: (again.scores(name) or {}).get("of") for name in ("valid", "test")}
    assert trainings(again.root) == 1
    assert made_of == {"valid": "the record", "test": None}


def test_a_release_that_is_cut_off_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the scores of the old checkpoint would stand beside the new one's."""
    run = run_in(tmp_path / "out")
    complete(run, tmp_path / "records", "test")
    (run.folder / "checkpoint_best.pt").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            complete(run, tmp_path / "records", "test", "test1", train_again=True)
    assert is_without_checkpoint(run)
    complete(run, tmp_path / "records", "test", "test1", train_again=True)
    assert trainings(run.root) == 2


def test_a_training_under_way_is_not_replaced_by_a_record(tmp_path: Path) -> None:
    """Else its unfinished checkpoint would be taken for that of the record."""
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "valid")
    again.claim(CORPUS)
    (again.folder / "train.log").touch()
    (again.folder / "checkpoint_last.pt").touch()
    complete(again, tmp_path / "records", "valid")
    assert trainings(again.root) == 1


def test_a_record_that_was_cut_off_is_none(tmp_path: Path) -> None:
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "test")
    (tmp_path / "records" / first.name / "train.json").unlink()
    complete(again, tmp_path / "records", "test")
    assert trainings(again.root) == 1


@pytest.mark.parametrize(
    "folder", sorted(RESULTS.glob("*/runs")), ids=lambda path: path.parent.name
)
def test_committed_records_are_of_their_study(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is of the study's present settings, and is taken over; no checkpoint, no path."""
    study = read_study(REPOSITORY / "studies" / f"{folder.parent.name}.yaml")
    choices = {name: method.settings()[0] for name, method in study.methods.items() if method.grid}
    runs = {
        run.name: run
        for run in [*search_runs(study, tmp_path), *final_runs(study, tmp_path, choices=choices)]
    }
    found = [path.parent for path in folder.rglob("config.json")]
    assert found
    for record in found:
        run = runs[str(record.relative_to(folder))]
        known = read_json(record / "config.json")["corpus"]
        scored = read_json(next(record.glob("*-scores/scores.json")))
        corpus = corpus_of(known["name"], known["raw_sha256"], tuple(scored["languages"]))
        dictionaries = {"dictionaries": known.get("dictionaries")}
        monkeypatch.setattr(run_module, "corpus_record", lambda _, known=dictionaries: known)
        run.claim(corpus)
        assert Records(folder, corpus).take_over(run), record
        assert read_training_log(run.folder / "train.log").validations
        assert any(
            run.scores(path.name.removesuffix("-scores")) for path in record.glob("*-scores")
        )
    for path in folder.rglob("*"):
        assert path.suffix != ".pt"
        if path.is_file():
            assert not ABSOLUTE.search(path.read_text(encoding="utf-8")), path


def test_a_teacher_of_a_missing_run_is_trained_again(tmp_path: Path) -> None:
    """A record has no checkpoint to teach by; of pupils that are done no teacher is needed."""
    records = tmp_path / "records"

    def both(root: Path) -> tuple[RecordedRun, RecordedRun]:
        teacher = run_in(root)
        return teacher, taught_run(teacher, teacher.train)

    def run_all(root: Path, *, again: bool = False) -> None:
        kept = Records(records, CORPUS)
        runner = Runner(CORPUS, jobs=1, threads=1, records=kept, train_again=again)
        runner.complete(both(root), evaluations=["test"])

    run_all(tmp_path / "first")
    run_all(tmp_path / "again")
    assert trainings(tmp_path / "again") == 0
    shutil.rmtree(records / both(tmp_path)[1].name)
    with pytest.raises(UserError, match=r"missing \(a run that it teaches\), found none"):
        run_all(tmp_path / "third")
    assert trainings(tmp_path / "third") == 0
    run_all(tmp_path / "third", again=True)
    assert trainings(tmp_path / "third") == 2


def test_no_teacher_is_trained_for_pupils_that_are_done(tmp_path: Path) -> None:
    """Though it has neither a record nor a folder here."""
    records = tmp_path / "records"

    def pupil(root: Path) -> RecordedRun:
        teacher = run_in(root)
        return taught_run(teacher, teacher.train)

    complete(pupil(tmp_path / "first"), records, "test")
    assert trainings(tmp_path / "first") == 2
    complete(pupil(tmp_path / "again"), records, "test")
    assert trainings(tmp_path / "again") == 0


def test_a_checkpoint_that_is_gone_is_missed_at_once(tmp_path: Path) -> None:
    """It is not trained again unasked, and what it has stays; records are not needed for it."""
    run = run_in(tmp_path / "out")
    complete(run, tmp_path / "records", "test")
    (run.folder / "checkpoint_best.pt").unlink()
    runner = Runner(CORPUS, jobs=1, threads=1)
    runner.complete([run], evaluations=["test"])
    remedy = r"expected its checkpoints in .* found none: .* or give --train-again"
    with pytest.raises(UserError, match=f"{run.name}: {remedy}"):
        runner.complete([run], evaluations=["test", "test1"])
    assert is_done(run, ["test"])
    pupil = taught_run(run, run.train)
    with pytest.raises(UserError, match=f"{run.name}: {remedy}"):
        runner.complete([pupil], evaluations=["test"])
    complete(pupil, tmp_path / "records", "test", train_again=True)
    assert is_done(pupil, ["test"]) and trainings(run.root) == 3


def test_another_vocabulary_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same text: its NLL is of other tokens. Records of old do not tell theirs."""
    first, other = run_in(tmp_path / "first"), run_in(tmp_path / "other")
    complete(first, tmp_path / "records", "test")
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "corpus_record", lambda corpus: {"dictionaries": {"en": "600"}})
        with pytest.raises(UserError, match="present settings, found another corpus"):
            complete(other, tmp_path / "records", "test")
        config = tmp_path / "records" / first.name / "config.json"
        old = read_json(config)
        del old["corpus"]["dictionaries"]
        write_json(config, old)
        shutil.rmtree(other.root)
        complete(other, tmp_path / "records", "test")
        assert read_json(config) == old  # nor do they come to tell those of another folder
    assert trainings(other.root) == 0
