"""Records of other settings, and damaged ones: refused, and nothing is lost."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies.runner import Runner
from tests.experiments.studies.conftest import CORPUS
from tests.experiments.studies.test_records import complete, run_in, trainings


def test_a_record_of_other_settings_is_not_written_over(tmp_path: Path) -> None:
    first, other = run_in(tmp_path / "first"), run_in(tmp_path / "other")
    complete(first, tmp_path / "records", "test")
    method = other.study.methods["smooth"].model_copy(update={"label_smoothing": "0.3"})
    methods = {**other.study.methods, "smooth": method}
    other = replace(other, study=other.study.model_copy(update={"methods": methods}))
    Runner(CORPUS, jobs=1, threads=1).complete([other], evaluations=["test"])
    before = {path: path.read_bytes() for path in (tmp_path / "records").rglob("*.*")}
    with pytest.raises(UserError, match="present settings, found another"):
        complete(other, tmp_path / "records", "test")
    assert before == {path: path.read_bytes() for path in (tmp_path / "records").rglob("*.*")}


def test_a_record_of_other_settings_is_refused(tmp_path: Path) -> None:
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "test")
    path = tmp_path / "records" / first.name / "config.json"
    write_json(path, {**read_json(path), "train": ["--label-smoothing", "0.9"]})
    with pytest.raises(UserError, match=r"expected the record of a run with .* another train; "):
        complete(again, tmp_path / "records", "test")
    assert trainings(again.root) == 0


def test_a_record_without_the_tokens_of_its_translations_is_not_damaged(tmp_path: Path) -> None:
    """Of a study that has come to have another score: removing it would lose the training."""
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "test")
    again = replace(again, study=again.study.model_copy(update={"score": "bleu_tokenized"}))
    message = "expected the tokens .* score: bleu_tokenized is of, found no hyp.tok.en;"
    with pytest.raises(UserError, match=message) as raised:
        complete(again, tmp_path / "records", "test")
    assert "remove" not in str(raised.value)
    assert trainings(again.root) == 0


DAMAGE = {
    "gone": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


FILES = [
    "environment.json",
    "train.json",
    "train.log",
    "test-scores/hyp.en",
    "test-scores/scores.json",
]
# Without train.json there is no record.
DAMAGED = [
    (name, how)
    for name in FILES
    for how in DAMAGE
    if name != "train.json" or how in ("cut", "bytes")
]


@pytest.mark.parametrize(("name", "damage"), DAMAGED)
def test_a_damaged_record_is_refused_whole(name: str, damage: str, tmp_path: Path) -> None:
    """Nothing of it is taken over, and when it is restored or removed the study goes on."""
    first, again = run_in(tmp_path / "first"), run_in(tmp_path / "again")
    complete(first, tmp_path / "records", "test")
    record = tmp_path / "records" / first.name
    DAMAGE[damage](record / name)
    with pytest.raises(UserError, match=rf"{record}: expected a whole record, .*{record / name}"):
        complete(again, tmp_path / "records", "test")
    assert [path.name for path in again.folder.iterdir()] == ["config.json"]
    shutil.rmtree(record)
    complete(again, tmp_path / "records", "test")
    assert trainings(again.root) == 1 and (record / "train.json").exists()
