"""From a study to its report: the corpus is prepared where there is none, threads, scores."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairseq_labo.experiments import cli, provenance
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies import workflow
from fairseq_labo.experiments.studies.run import final_runs, search_runs
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.studies.study_file import read_study
from fairseq_labo.experiments.studies.workflow import prepare_corpus
from tests.experiments.data import releases
from tests.experiments.studies.conftest import CORPUS, make_study, scores_of

# The generated release has other counts than the real one.
TED = "iwslt14-15k --accept-counts --pair en-de"
CONTENT = {
    "name": "ted",
    "corpus": "data/ted",
    "baseline": "smooth",
    "methods": {"smooth": {"criterion": "label_smoothed_cross_entropy"}},
}


def study_of(folder: Path, **changes: Any) -> Study:
    path = folder / "ted.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes), encoding="utf-8")
    return read_study(path)


@pytest.mark.slow
def test_a_missing_corpus_is_prepared_and_a_present_one_left_alone(tmp_path: Path) -> None:
    releases.write_iwslt14_15k(tmp_path / "release")
    study = study_of(tmp_path, prepare=TED)
    prepare_corpus(study, archives=[f"--source-dir={tmp_path / 'release'}"])
    manifest = read_json(tmp_path / "data" / "ted" / "manifest.json")
    assert (manifest["corpus"], manifest["source_lang"]) == ("iwslt14-15k", "en")
    prepare_corpus(study, archives=["--no-such-option"])  # would fail, were it run


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"subwords": "subword-nmt", "bpe_size": 300}, "bpe_size 300 for 2000"),
        ({"bpe_size": 2000, "joined_dictionary": True, "lowercase": False}, ""),
        ({}, ""),  # an old manifest
    ],
)
def test_a_corpus_of_other_subwords_is_not_the_study_s(
    settings: dict[str, Any], found: str, tmp_path: Path
) -> None:
    study = study_of(tmp_path, prepare="microworld --bpe-size 2000")
    (tmp_path / "data" / "ted" / "bin").mkdir(parents=True)
    manifest = {"corpus": "c", "source_lang": "de", "target_lang": "en", "splits": {}}
    write_json(tmp_path / "data" / "ted" / "manifest.json", {**manifest, "settings": settings})
    if not found:
        return prepare_corpus(study, archives=["--no-such-option"])
    made = "expected what `labo prepare microworld --bpe-size 2000` makes"
    with pytest.raises(UserError, match=f"{made}, found {found}; prepare it again with --force"):
        prepare_corpus(study, archives=[])


def test_a_preparation_that_fails_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"preparing .*/data/ted failed .* --source-dir DIR"):
        prepare_corpus(study_of(tmp_path, prepare=TED), archives=[f"--source-dir={tmp_path}/empty"])
    assert "train15k.en.gz" in capfd.readouterr().err  # what is missing


def test_a_seed_of_the_tests_is_looked_at_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "abc")
    with pytest.raises(UserError, match=r"\$SACREBLEU_SEED: expected a number .* found 'abc'"):
        workflow.complete(make_study(), tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()


def failure(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What `labo compare` says when it fails."""
    assert cli.main(["compare", *map(str, words)]) == 1
    return capsys.readouterr().err


def test_no_corpus_and_no_preparation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    said = failure(capsys, tmp_path / "ted.yaml", "--output", tmp_path / "o")
    assert f"expected a prepared corpus in {tmp_path}/data/ted" in said
    assert not (tmp_path / "o").exists()


def test_the_published_task_must_be_that_of_the_corpus(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_of(tmp_path, paper="iwslt14.de-en")
    words = [tmp_path / "ted.yaml", "--data", toy_corpus, "--output", tmp_path / "o"]
    assert "expected a corpus iwslt14, de-en, found toy de-en" in failure(capsys, *words)
    assert not (tmp_path / "o").exists()


def test_what_the_corpus_lacks_is_found_before_anything_is_trained(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test set that is none, and of a folder of fairseq-preprocess what it does not tell."""
    study_of(tmp_path, tests=["test7"])
    words = [tmp_path / "ted.yaml", "--output", tmp_path / "o", "--data"]
    assert "expected a subset among train, valid, test, found 'test7'" in failure(
        capsys, *words, toy_corpus
    )
    study_of(tmp_path)
    bare = [*words, toy_corpus / "bin"]
    assert "give --references test=FILE" in failure(capsys, *bare)
    bare += ["--references", toy_corpus / "raw" / "test.en"]
    assert "expected --subwords" in failure(capsys, *bare)
    assert "expected --tokenizer" in failure(capsys, *bare, "--subwords", "subword-nmt")
    bare[-1] = toy_corpus / "raw" / "valid.en"
    assert "expected the 77 sentences of test, found 80 lines" in failure(capsys, *bare)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("jobs", "asked", "threads"),
    [(1, None, 8), (3, None, 2), (9, None, 1), (2, "3", 3), (2, "5", 4), (9, "1", 1)],
)
def test_threads_are_shared(
    jobs: int,
    asked: str | None,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No more threads in all than there are cores, even where more are asked for: that is said."""
    monkeypatch.setattr(provenance, "available_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert workflow.threads_of_each(jobs) == threads
    said = capsys.readouterr().err
    assert ("OMP_NUM_THREADS is 5: with 2 runs at a time and 8 cores, each run gets 4" in said) == (
        asked == "5"
    )


@pytest.mark.parametrize("asked", ["0", "many", "-1", ""])
def test_a_wrong_number_of_threads(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with pytest.raises(UserError, match="OMP_NUM_THREADS: expected a number of at least 1"):
        workflow.threads_of_each(1)


def test_scores_of_the_runs_that_are_done(tmp_path: Path) -> None:
    """With --only: the seeds' mean, of a searched setting on the validation set alone."""
    study = make_study()
    runs = final_runs(study, tmp_path, choices={})
    assert workflow.scores_so_far(study, tmp_path, CORPUS) == []
    searched = search_runs(study, tmp_path)[2]
    for run, subset, score in (
        (runs[0], "test", 30.0),
        (runs[1], "test", 32.0),
        (searched, "valid", 20.0),
    ):
        bleu = {"score": score, "label": "sacreBLEU", "signature": "tok:13a"}
        scores = scores_of(bleu=bleu, nll={"score": 2.5})
        run.scores_folder(subset).mkdir(parents=True)
        write_json(run.scores_folder(subset) / "scores.json", scores)
    assert workflow.scores_so_far(study, tmp_path, CORPUS) == [
        "labo/label_smoothing=0.2,labo_beta=2, valid: 20.00, NLL 2.500 bits "
        "(seeds 1; sacreBLEU, tok:13a)",
        "smooth, test: 31.00 ± 1.41, NLL 2.500 ± 0.000 bits (seeds 1, 2; sacreBLEU, tok:13a)",
    ]


def test_an_output_folder_is_of_one_study(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one that was begun, of one that was reported by an older version; or it is a file."""
    study_of(tmp_path)
    output = tmp_path / "o"
    words = [tmp_path / "ted.yaml", "--data", toy_corpus, "--report-only", "--output", output]
    assert "found these missing: smooth/seed-1" in failure(capsys, *words)
    study_of(tmp_path, name="fred")
    other = "expected the output of study fred, found that of ted; choose another --output"
    assert f"{output}/study.json: {other}" in failure(capsys, *words)
    (output / "study.json").unlink()
    (output / "report").mkdir()
    write_json(output / "report" / "results.json", {"study": "ted"})
    assert f"{output}/report/results.json: {other}" in failure(capsys, *words)
    words[-1] = toy_corpus / "manifest.json"
    assert "expected a folder, found a file; choose another --output" in failure(capsys, *words)
    words[-1] = output
    (output / "report" / "results.json").unlink()
    write_json(output / "study.json", ["ted"])
    assert "study.json: the file: expected entries with names" in failure(capsys, *words)
