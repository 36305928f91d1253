"""``labo compare``: what it refuses before anything is run."""

from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from tests.experiments.studies.conftest import RESULTS
from tests.experiments.studies.test_compare import STUDY


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--report-only --train-again", "--report-only: expected without --train-again, which"),
        (
            "--from-results r --only labo/* --records x",
            "--from-results: expected without --only, --records, which",
        ),
        (
            "--from-results r --source-dir x --data y",
            "expected without --data, --source-dir, which",
        ),
        ("--data x --source-dir y", "--data: expected without --source-dir, which"),
    ],
)
def test_flags_that_would_have_no_effect(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "microworld", "--output", str(tmp_path / "new"), *words.split()]
    assert cli.main(command) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("corpus: x", "a.yaml: name: expected an entry, found none"),
        ("name: small\npaper: x", "a.yaml: paper: expected one of iwslt14.de-en"),
        ("[", "a.yaml: expected YAML"),
        ("name: small", "results.json: expected results of study small, found microworld"),
    ],
)
def test_what_a_report_from_results_needs_of_its_study(
    study: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(study, encoding="utf-8")
    words = ["compare", str(tmp_path / "a.yaml"), "--output", str(tmp_path / "new")]
    file = RESULTS / "microworld" / "results.json"
    assert cli.main([*words, "--from-results", str(file)]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("tsla/*", "label_smoothing and other methods with the same seeds, found tsla/seed-1, "),
        ("*g/*,tsla/seed-2", "the same seeds, found label_smoothing/seed-1, label_smoothing/seed-"),
        ("labo/*", "patterns of runs' names, found labo/*, which no run has; there are label_"),
        ("*/seed-2", "to be done, found these missing: label_smoothing/seed-2, tsla/seed-2; run "),
    ],
)
def test_a_part_that_cannot_be_reported(
    only: str, message: str, toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    words = ["compare", str(tmp_path / "small.yaml"), "--data", str(toy_corpus), "--report-only"]
    words += [*(f"--only={each}" for each in only.split(",")), "--output", str(tmp_path / "new")]
    assert cli.main(words) == 1
    assert message in capsys.readouterr().err


def test_a_study_that_is_not_done_has_no_report(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    words = ["compare", str(tmp_path / "small.yaml"), "--data", str(toy_corpus)]
    words += ["--output", str(tmp_path / "new")]
    assert cli.main([*words, "--report-only"]) == 1
    assert "found these missing: label_smoothing/seed-1, " in capsys.readouterr().err
    for jobs in ("0", "99999"):  # before anything is prepared
        assert cli.main(["compare", "none.yaml", "--output", "x", "--jobs", jobs]) == 1
        assert "--jobs: expected a whole number of at least 1, at most 1024, found" in (
            capsys.readouterr().err
        )
    assert cli.main([*words, "--report-only", "--records", str(tmp_path / "none")]) == 1
    assert "found these missing: label_smoothing/seed-1, " in capsys.readouterr().err
    output = words[words.index("--output") + 1]
    assert cli.main([*words, "--records", f"{output}/runs"]) == 1
    assert "--records: expected a folder beside the runs" in capsys.readouterr().err
    assert cli.main([*words, "--records", str(tmp_path / "small.yaml")]) == 1
    assert "--records: expected a folder, found a file" in capsys.readouterr().err
