"""Files that a run leaves, edited by hand: refused by file and entry, whatever is wrong in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies import gather, search
from fairseq_labo.experiments.studies.run import Run, final_runs
from tests.experiments.studies.conftest import CORPUS, make_study, scores_of
from tests.experiments.studies.test_runner import DONE

REMEDY = "; restore the file, or remove it and what was made from it"
NO_JSON = [
    ("", "the file: expected JSON, found an error: EOF"),
    ("{'a': 1}", "the file: expected JSON, found an error: key must be a string"),
    ("[" * 100_000, "the file: expected JSON, found an error: recursion limit"),
    ("\xff", "the file: expected JSON, found an error: "),
    ("[1]", "the file: expected entries with names, found .1."),
    ("null", "the file: expected entries with names, found None"),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run without a grid, trained and evaluated."""
    run = final_runs(make_study(), tmp_path, choices={})[0]
    run.claim(CORPUS)
    run.scores_folder("test").mkdir()
    write_json(run.scores_folder("test") / "scores.json", scores_of())
    write_json(run.folder / "train.json", {"seconds": 1.5, "peak_memory_mib": None})
    (run.folder / "train.log").write_text(DONE, encoding="utf-8")
    return run


def of_folder(run: Run) -> Any:
    return gather._result(run, {})


READERS: dict[str, Callable[[Run], Any]] = {
    "config.json": lambda run: run.claim(CORPUS),
    "train.json": of_folder,
    "environment.json": of_folder,
    "test-scores/scores.json": lambda run: run.scores("test"),
    "../../../choices.json": lambda run: search.choose(run.study, run.root, CORPUS),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("content", "match"), NO_JSON)
def test_a_file_of_another_form(name: str, content: str, match: str, run: Run) -> None:
    READERS[name](run)  # as it was left
    path = (run.folder / name).resolve()
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=match) as raised:
        READERS[name](run)
    assert str(raised.value).startswith(f"{path}: ") and str(raised.value).endswith(REMEDY)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="expected a JSON file, found none: Is a directory"):
        READERS[name](run)


@pytest.mark.parametrize(
    ("name", "entries", "match"),
    [
        ("train.json", {}, "seconds: expected an entry, found none"),
        ("train.json", {"seconds": "1"}, "seconds: expected a valid number, found '1'"),
        ("train.json", {"seconds": 1, "peak_memory_mib": []}, "peak_memory_mib: .*, found .."),
        ("environment.json", {"versions": 5}, "versions: expected entries with names, found 5"),
        ("../../../choices.json", {"labo": {"labo_beta": 2}}, "labo.labo_beta: .*string, found 2"),
    ],
)
def test_a_wrong_entry(name: str, entries: dict[str, Any], match: str, run: Run) -> None:
    write_json(run.folder / name, entries)
    with pytest.raises(UserError, match=match):
        READERS[name](run)


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("bleu", {"score": 1, "label": "a"}),
        ("bleu_tokenized_compounds", None),
        ("nll", {"score": float("nan")}),
        ("comet", 5),
        ("subset", {"release_name": "a", "sentences": "5"}),
        ("generation", []),
        ("calibration", {}),
    ],
)
def test_a_wrong_score(entry: str, wrong: Any, run: Run) -> None:
    path = run.scores_folder("test") / "scores.json"
    path.write_text(json.dumps(scores_of(**{entry: wrong})), encoding="utf-8")
    with pytest.raises(UserError, match=rf"scores.json: {entry}\b.*: expected "):
        run.scores("test")


def test_a_text_that_was_cut_off(run: Run) -> None:
    path = run.scores_folder("test") / "hyp.en"
    path.write_text("one\ntwo\n", encoding="utf-8")
    assert run.lines("test", "hyp.en", 2) == ["one", "two"]
    with pytest.raises(UserError, match=r"hyp.en: expected 3 lines, found 2; remove .*test-scores"):
        run.lines("test", "hyp.en", 3)


@pytest.mark.parametrize(
    "wrong", ['{"epoch": 1}', '{"epoch": 1, "train_wps": "x"}', '{"epoch": 1, "train_wps": []}']
)
def test_a_training_log_that_was_edited(wrong: str, run: Run) -> None:
    (run.folder / "train.log").write_text(f"{DONE} | INFO | train | {wrong}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train.log, line 8: expected a report .*; restore"):
        of_folder(run)


def test_a_training_of_no_speed(run: Run) -> None:
    log = DONE.replace('"train_wps": "1000"', '"train_wps": "nan"')
    (run.folder / "train.log").write_text(log.replace("3000", "nan"), encoding="utf-8")
    match = "smooth/seed-1: words_per_second: expected a finite number, found nan; remove it"
    with pytest.raises(UserError, match=match):
        of_folder(run)
