"""``labo compare``: a whole study, small; what it leaves; its report, which needs nothing else."""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.studies.study_file import EMBEDDED
from tests.conftest import REPOSITORY
from tests.experiments.studies.conftest import RESULTS

METHODS = ["label_smoothing", "tsla"]
STUDY = """\
name: small
description: The toy corpus, by *two* methods.
corpus: corpus
seeds: [1, 2]
baseline: label_smoothing
train:
  size: small
  epochs: 2
  extra: >-
    --max-tokens 320 --lr 1e-2 --warmup-updates 10 --encoder-layers 1 --decoder-layers 1
    --encoder-embed-dim 32 --decoder-embed-dim 32 --encoder-ffn-embed-dim 64
    --decoder-ffn-embed-dim 64 --cpu
evaluate: {beam: 1, allow_empty: true}
significance: {bootstrap: 100, randomization: 100}
methods:
  label_smoothing: {criterion: label_smoothed_cross_entropy, label_smoothing: 0.1}
  tsla: {criterion: tsla_cross_entropy, teacher: label_smoothing, smoothing_epochs: 1}
"""


def compare(folder: Path, corpus: Path) -> "subprocess.Popen[str]":
    """`labo compare` of the study in `folder`, started."""
    words = [folder / "small.yaml", "--data", corpus, "--output", folder / "out", "--jobs", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "fairseq_labo.experiments.cli", "compare", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@dataclass(frozen=True)
class FinishedStudy:
    """A study's folder; the runs that were trained before it was terminated; its last output."""

    folder: Path
    trained_before: dict[str, float]
    output: str


@pytest.fixture(scope="module")
def study(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedStudy:
    """Two methods, two seeds on the toy corpus, terminated in the middle, then completed."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(STUDY, encoding="utf-8")
    first = compare(folder, toy_corpus)
    runs = folder / "out" / "runs"
    end = time.monotonic() + 200
    while time.monotonic() < end and first.poll() is None and not list(runs.glob("*/*/train.json")):
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM, output
    trained = {
        str(path.parent.relative_to(runs)): path.stat().st_mtime
        for path in runs.glob("*/*/train.json")
    }
    second = compare(folder, toy_corpus)
    output, _ = second.communicate(timeout=400)
    assert second.returncode == 0, output
    return FinishedStudy(folder / "out", trained, output)


@pytest.fixture(scope="module")
def results(study: FinishedStudy) -> dict[str, Any]:
    return json.loads((study.folder / "report" / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_terminated_study_is_taken_up(study: FinishedStudy) -> None:
    """What was trained stays as it was; every run has its config, logs, environment, scores."""
    assert 1 <= len(study.trained_before) < 4
    for name, modified in study.trained_before.items():
        assert (study.folder / "runs" / name / "train.json").stat().st_mtime == modified
    for method in METHODS:
        for seed in (1, 2):
            folder = study.folder / "runs" / method / f"seed-{seed}"
            for name in ("config.json", "environment.json", "train.log", "run.log", "train.json"):
                assert (folder / name).stat().st_size > 0, name
            assert (folder / "test-scores" / "scores.json").exists()


@pytest.mark.slow
def test_results_are_those_of_the_runs(study: FinishedStudy, results: dict[str, Any]) -> None:
    assert [(run["method"], run["seed"]) for run in results["runs"]] == [
        (method, seed) for method in METHODS for seed in (1, 2)
    ]
    assert any(run["scores"]["test"]["bleu"]["score"] > 0 for run in results["runs"])
    for run in results["runs"]:
        folder = study.folder / "runs" / run["method"] / f"seed-{run['seed']}"
        scores = json.loads((folder / "test-scores" / "scores.json").read_text(encoding="utf-8"))
        assert run["scores"]["test"] == scores
        # The tests are of the same text as the scores.
        assert run["compared"]["test"]["score"] == pytest.approx(scores["bleu"]["score"], abs=0.006)
        assert (run["compared"]["test"]["p_bootstrap"] is None) == (
            run["method"] == "label_smoothing"
        )
        assert run["words_per_second"] > 0
        # Not known of a training that was terminated when it had just ended.
        peak = run["trained"]["peak_memory_mib"]
        name = f"{run['method']}/seed-{run['seed']}"
        ended = name not in study.trained_before and run["method"] == METHODS[0]
        assert peak > 100 if peak is not None else ended
        assert [each["epoch"] for each in run["validations"]] == [1, 2]
        switch = run["stage_switch_updates"]
        first_epoch = run["validations"][0]["updates"]
        assert switch == (first_epoch if run["method"] == "tsla" else None)
        assert run["scores"]["test"]["checkpoint"]["seed"] == run["seed"]
        words = run["train_arguments"]
        teacher = run["scores"]["test"]["checkpoint"]["criterion"].get("teacher_path")
        assert (teacher is not None) == ("--teacher-path" in words) == (run["method"] == "tsla")
        if teacher is not None:
            place = f"runs/{METHODS[0]}/seed-{run['seed']}/checkpoint_best.pt"
            assert words[words.index("--teacher-path") + 1] == place
            assert teacher == str(study.folder / place)


@pytest.mark.slow
def test_differences_are_those_of_the_means(results: dict[str, Any]) -> None:
    means = {
        method: statistics.fmean(
            run["compared"]["test"]["score"] for run in results["runs"] if run["method"] == method
        )
        for method in METHODS
    }
    ((method, found),) = results["differences"]["test"].items()
    assert method == "tsla"
    assert found["difference"] == pytest.approx(means["tsla"] - means["label_smoothing"])
    assert found["low"] <= found["difference"] <= found["high"]


@pytest.mark.slow
def test_report_holds_every_part(study: FinishedStudy, results: dict[str, Any]) -> None:
    text = (study.folder / "report" / "report.md").read_text(encoding="utf-8")
    for heading in (
        *("Results on test", "Mean differences from label_smoothing on test"),
        *("Differences from label_smoothing", "Every convention on test"),
        *("Calibration on test", "Training", "Translations of test"),
        "How the numbers were obtained",
    ):
        assert f"\n## {heading}" in text
    for method in METHODS:
        of_method = [run for run in results["runs"] if run["method"] == method]
        nll = [run["scores"]["test"]["calibration"]["nll_bits"] for run in of_method]
        shown = f"{statistics.fmean(nll):.3f} ± {statistics.stdev(nll):.3f}"
        assert re.search(rf"^\| {method} \| .*{re.escape(shown)}", text, re.MULTILINE), shown
        ece = statistics.fmean(
            100 * run["scores"]["test"]["calibration"]["ece"] for run in of_method
        )
        assert f"| {ece:.2f} ±" in text
    assert r"by \*two* methods" in text
    assert "bs:100" in text and "ar:100" in text and "tok:13a" in text and "tok:none" in text
    assert "2 runs at a time, threads each: 1" in text and "torch 2" in text
    assert str(study.folder) not in text and "/tmp" not in text
    headline = study.output.partition("\ntest\n")[2].splitlines()
    assert [line.split()[0] for line in headline[1:3]] == METHODS
    assert f"written: {study.folder}/report/report.md, " in study.output


@pytest.mark.slow
def test_html_is_self_contained(study: FinishedStudy) -> None:
    text = (study.folder / "report" / "report.html").read_text(encoding="utf-8")
    # Nothing is fetched: every address is a data URL.
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text)
    assert len(addresses) == 3
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert "<script" not in text and "@import" not in text and "url(" not in text
    body = text.partition("<body>")[2].partition("</body>")[0]
    xml.etree.ElementTree.fromstring(f"<body>{body}</body>")  # every tag is closed
    for method in METHODS:
        assert f"<td>{method}</td>" in text


@pytest.mark.slow
def test_the_report_is_written_again_without_running(
    study: FinishedStudy, toy_corpus: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From the runs with a note, and from its own results.json elsewhere: the same report."""
    folder = study.folder / "report"
    before = {name: (folder / name).read_text(encoding="utf-8") for name in FORMS}
    file = str(study.folder.parent / "small.yaml")
    words = [file, "--data", str(toy_corpus), "--output", str(study.folder)]
    words += ["--report-only", "--note", "Alone on the machine."]
    assert cli.main(["compare", *words]) == 0
    assert "train" not in capsys.readouterr().err
    added = {"report.html": "<p>Alone on the machine.</p>\n"}
    added["report.md"] = "\nAlone on the machine.\n"
    for name in FORMS:
        assert added[name] in (after := (folder / name).read_text(encoding="utf-8"))
        assert after.replace(added[name], "") == before[name]
    words = [file, "--from-results", str(folder / "results.json"), "--output", str(tmp_path)]
    assert cli.main(["compare", *words]) == 0
    for name in (*FORMS, "results.json"):
        assert (tmp_path / "report" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
def test_a_report_from_records_alone(
    study: FinishedStudy, toy_corpus: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of runs that were recorded elsewhere: nothing is run, only what is missing is told."""
    words = ["compare", str(study.folder.parent / "small.yaml"), "--data", str(toy_corpus)]
    words += ["--records", str(tmp_path / "records"), "--output"]
    assert cli.main([*words, str(study.folder)]) == 0
    assert cli.main([*words, str(tmp_path / "out"), "--report-only"]) == 0
    assert "trained in" not in capsys.readouterr().err
    name = "report/report.md"
    assert (tmp_path / "out" / name).read_bytes() == (study.folder / name).read_bytes()
    shutil.rmtree(tmp_path / "records" / METHODS[1] / "seed-2")
    assert cli.main([*words, str(tmp_path / "other"), "--report-only"]) == 1
    assert f"found these missing: {METHODS[1]}/seed-2; run labo" in capsys.readouterr().err


@pytest.mark.slow
def test_a_report_from_records_of_tokens(
    study: FinishedStudy, toy_corpus: Path, tmp_path: Path
) -> None:
    """The references' tokens are the corpus's own text: they are read there, not recorded."""
    whole = shutil.copytree(study.folder, tmp_path / "whole")
    text = (study.folder.parent / "small.yaml").read_text(encoding="utf-8")
    (tmp_path / "small.yaml").write_text(f"{text}\nscore: bleu_tokenized\n", encoding="utf-8")
    words = ["compare", str(tmp_path / "small.yaml"), "--data", str(toy_corpus)]
    words += ["--records", str(tmp_path / "records"), "--output"]
    assert cli.main([*words, str(whole)]) == 0
    names = {path.name for path in (tmp_path / "records").rglob("test-scores/*")}
    assert names == {"hyp.en", "hyp.tok.en", "scores.json"}
    assert cli.main([*words, str(tmp_path / "out"), "--report-only"]) == 0
    report = (tmp_path / "out" / "report" / "results.json").read_bytes()
    assert report == (whole / "report" / "results.json").read_bytes()
    for run in json.loads(report)["runs"]:
        recorded = run["scores"]["test"]["bleu_tokenized"]["score"]
        assert run["compared"]["test"]["score"] == pytest.approx(recorded, abs=0.005)


@pytest.mark.slow
def test_a_report_of_a_part(
    study: FinishedStudy, results: dict[str, Any], toy_corpus: Path, tmp_path: Path
) -> None:
    """Some seeds of some methods: the runs as they are in the whole; what is left out is said."""
    words = ["compare", str(study.folder.parent / "small.yaml"), "--data", str(toy_corpus)]
    records = ["--records", str(tmp_path / "records"), "--output"]
    assert cli.main([*words, *records, str(study.folder)]) == 0
    shutil.rmtree(tmp_path / "records" / METHODS[0] / "seed-1")
    shutil.rmtree(tmp_path / "records" / METHODS[1])
    words += ["--report-only", *records]
    for folder, only, without in (
        (study.folder, ["*/seed-2"], "seed 1"),
        (tmp_path / "other", ["label_smoothing/seed-2"], "tsla, seed 1"),
    ):
        assert cli.main([*words, str(folder), *(f"--only={each}" for each in only)]) == 0
        text = (folder / "report" / "report.md").read_text(encoding="utf-8")
        assert f"* methods. A part of the study, without {without}.\n" in text
        found = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
        names = [run["method"] for run in found["runs"]]
        assert names == [each for each in METHODS if each not in without]
        assert all(run in results["runs"] for run in found["runs"])
        assert {run["seed"] for run in found["runs"]} == {2}
    assert cli.main([*words, str(study.folder), "--only=*"]) == 0  # all of it is no part
    assert "A part of" not in (study.folder / "report" / "report.md").read_text(encoding="utf-8")


FORMS = ("report.md", "report.html")


def test_a_committed_study_is_reported_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its runs and its corpus; a results.json of another study is refused."""
    words = ["compare", "microworld", "--output", str(tmp_path), "--from-results"]
    assert cli.main([*words, str(RESULTS / "microworld" / "results.json")]) == 0
    committed = (RESULTS / "microworld" / "report.md").read_bytes()
    assert (tmp_path / "report" / "report.md").read_bytes() == committed
    assert len(list((tmp_path / "report" / "figures").iterdir())) == 6
    assert not (tmp_path / "runs").exists()
    assert cli.main([*words, str(RESULTS / "multi30k-de-en" / "results.json")]) == 1
    assert "expected results of study microworld, found multi30k-de-en" in capsys.readouterr().err


def test_a_study_is_reported_again_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the criterion of one of its methods is found from the repository's root alone."""
    monkeypatch.chdir(tmp_path)
    name = "multi30k-de-en-finals"
    file = REPOSITORY / "studies" / f"{name}.yaml"
    assert "--user-dir examples/" in file.read_text(encoding="utf-8")
    words = ["compare", str(file), "--output", "out", "--from-results"]
    assert cli.main([*words, str(RESULTS / name / "results.json")]) == 0, capsys.readouterr().err
    report = (tmp_path / "out" / "report" / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# ") and name in report.partition("\n")[0]


@pytest.mark.slow
def test_a_folder_of_fairseq_preprocess_alone(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what the flags say of it. The memory of this process is not that of the training."""
    ballast = b"x" * 2**31  # a CUDA build of torch alone takes more than 1 GiB
    text = STUDY.partition("methods:")[0].replace("[1, 2]", "[1]").replace("epochs: 2", "epochs: 1")
    text = text.replace("label_smoothing", "plain") + "methods: {plain: {criterion: cross_entropy}}"
    (tmp_path / "small.yaml").write_text(text, encoding="utf-8")
    words = ["compare", str(tmp_path / "small.yaml"), "--output", str(tmp_path / "out")]
    words += ["--data", str(toy_corpus / "bin"), "--tokenizer", "moses"]
    words += ["--subwords", "subword-nmt", "--references", str(toy_corpus / "raw" / "test.en")]
    assert cli.main(words) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "out" / "report" / "results.json").read_text())
    assert results["corpus"]["name"] == "bin" and list(results["corpus"]["raw_sha256"]) == [
        "test.en"
    ]
    (run,) = results["runs"]
    mebibytes = len(ballast) // 2**20
    assert 100 < run["trained"]["peak_memory_mib"] < mebibytes
    sentence = results["translations"]["test"][0]
    assert sentence["source"] is None and sentence["reference"]


def test_the_embedded_study_is_in_the_package() -> None:
    assert [path.name for path in EMBEDDED.glob("*.yaml")] == ["microworld.yaml"]
