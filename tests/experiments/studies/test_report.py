"""A whole study, small: what it leaves, and that its report says it all and needs nothing else."""

import json
import re
import statistics
import xml.etree.ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies import compare as command
from fairseq_labo.experiments.studies import document, figures, report, report_tables
from fairseq_labo.experiments.studies.document import Heading, Paragraph, Picture, Table
from tests.experiments.conftest import FinishedStudy

METHODS = ["cross_entropy", "label_smoothing", "tsla", "labo"]


@pytest.fixture(scope="module")
def results(study: FinishedStudy) -> dict[str, Any]:
    return json.loads((study.folder / "report" / "results.json").read_text(encoding="utf-8"))


def test_a_terminated_study_is_taken_up(study: FinishedStudy) -> None:
    """What was trained stays as it was; every run has its config, logs, environment, scores."""
    assert 1 <= len(study.trained_before) < 8
    for name, modified in study.trained_before.items():
        assert (study.folder / "runs" / name / "train.json").stat().st_mtime == modified
    for method in METHODS:
        for seed in (1, 2):
            folder = study.folder / "runs" / method / f"seed-{seed}"
            for name in ("config.json", "environment.json", "train.log", "run.log", "train.json"):
                assert (folder / name).stat().st_size > 0, name
            assert (folder / "test-scores" / "scores.json").exists()


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
        assert run["words_per_second"] > 0 and run["trained"]["peak_memory_mib"] > 100
        assert [each["epoch"] for each in run["validations"]] == [1, 2, 3]
        switch = run["stage_switch_updates"]
        first_epoch = run["validations"][0]["updates"]
        assert switch == (first_epoch if run["method"] == "tsla" else None)
        assert run["scores"]["test"]["checkpoint"]["seed"] == run["seed"]


def test_report_holds_every_part(study: FinishedStudy, results: dict[str, Any]) -> None:
    text = (study.folder / "report" / "report.md").read_text(encoding="utf-8")
    for heading in (
        *("Results on test", "Differences from label_smoothing", "Every convention on test"),
        *("Calibration on test", "Training", "How the numbers were obtained"),
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
    assert "bs:100" in text and "ar:100" in text and "tok:13a" in text and "tok:none" in text
    assert "2 runs at a time, threads each: 1" in text and "torch 2" in text
    assert str(study.folder) not in text and "/tmp" not in text
    assert study.output.count("label_smoothing") and "written: " in study.output


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


def test_figures_mark_the_switch(study: FinishedStudy) -> None:
    folder = study.folder / "report" / "figures"
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(
        f"{name}.{kind}"
        for name in ("validation-curves", "bleu-test", "reliability-test")
        for kind in ("png", "svg")
    )
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_the_report_is_written_again_without_running(
    study: FinishedStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study.folder / "report" / "report.html"
    before = path.read_text(encoding="utf-8")
    study_file = str(study.folder.parent / "small.yaml")
    options = ["--report-only", "--note", "Alone on the machine."]
    command.main([study_file, "--output", str(study.folder), *options])
    assert "train" not in capsys.readouterr().err
    added = "<p>Alone on the machine.</p>\n"
    assert added in (after := path.read_text(encoding="utf-8"))
    assert after.replace(added, "") == before


def test_a_study_that_is_not_done_has_no_report(study: FinishedStudy, tmp_path: Path) -> None:
    path = str(study.folder.parent / "small.yaml")
    with pytest.raises(UserError, match="found these missing: cross_entropy/seed-1, "):
        command.main([path, "--output", str(tmp_path / "new"), "--report-only"])
    with pytest.raises(UserError, match="--jobs: expected a number of at least 1, found 0"):
        command.main([path, "--output", str(tmp_path / "new"), "--jobs", "0"])


def test_means_of_curves_and_bins() -> None:
    curves = [{10: 4.0, 20: 2.0}, {10: 2.0, 20: 1.0, 30: 1.0}]
    assert figures.mean_curve(curves) == {10: 3.0, 20: 1.5}
    edges = {"lower": 0.0, "upper": 1.0}
    bins = [
        [{**edges, "tokens": 1, "accuracy": 1.0, "confidence": 0.5}],
        [{**edges, "tokens": 3, "accuracy": 0.0, "confidence": 0.9}],
    ]

    runs: Any = [
        SimpleNamespace(scores={"test": {"calibration": {"bins": found}}}) for found in bins
    ]
    pooled = figures.pooled_bins(runs, "test")
    assert pooled[0]["tokens"] == 4
    assert (pooled[0]["accuracy"], pooled[0]["confidence"]) == pytest.approx((0.25, 0.8))


@pytest.mark.parametrize(("value", "shown"), [(0.0312, "0.0312*"), (0.05, "0.0500"), (None, "–")])
def test_p_values(value: float | None, shown: str) -> None:
    assert report_tables.p_value(value) == shown


def test_memory_of_a_gpu_is_shown_where_all_had_one() -> None:
    def results(*peaks: int | None) -> Any:
        def run(peak: int | None) -> SimpleNamespace:
            gpu = {} if peak is None else {"peak_gpu_memory_mib": peak}
            study = SimpleNamespace(train_extra=())
            return SimpleNamespace(
                run=SimpleNamespace(flags=dict, study=study, method=SimpleNamespace(extra=())),
                log=SimpleNamespace(
                    validations=[SimpleNamespace(updates=7)], words_per_second=50.0
                ),
                trained={"peak_memory_mib": 100, **gpu},
            )

        return SimpleNamespace(methods={"labo": [run(peak) for peak in peaks]})

    table = report_tables.training(results(3000, 3002))
    assert table.header[-1] == "peak GPU memory, MiB" and table.rows[0][-1] == "3001 ± 1"
    table = report_tables.training(results(3000, None))
    assert table.header[-1] == "peak host memory, MiB" and table.rows[0][-1] == "100 ± 0"


def of_paper(task: str | None, sentences: int, **scores: list[float]) -> Any:
    """Results with no more than what the table of published figures reads."""

    def run(score: float) -> SimpleNamespace:
        values = {name: {"score": score + number} for number, name in enumerate(CONVENTIONS)}
        test = {"subset": {"sentences": sentences}, **values}
        return SimpleNamespace(scores={"test": test, "test1": test})

    methods = {name: list(map(run, values)) for name, values in scores.items()}
    return SimpleNamespace(study=SimpleNamespace(paper=task), methods=methods)


def test_published_figures_stand_beside_ours_in_their_convention() -> None:
    found = of_paper("wmt14.en-de", 3003, labo=[20.0, 22.0], smooth=[30.0])
    _heading, table, text = report.published_figures(found, "test")
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.header[3:] == ["labo", "smooth"]
    order = list(CONVENTIONS)
    compounds = 21 + order.index("bleu_tokenized_compounds")
    assert rows["LABO; Lu et al. 2023 (LABO)"] == [
        "BLEU of tokens, compounds split (assumed)",
        *("28.3", f"{compounds}.00 ± 1.41", f"{compounds + 9}.00"),
    ]
    plain = rows["label smoothing, the same output; Ott et al. 2018, transformer big"]
    assert plain[:2] == ["sacreBLEU, detokenized, cased", "28.6"]
    assert plain[2].startswith(f"{21 + order.index('bleu')}.00")
    assert "assumed: the paper's own convention was not at hand" in text.text
    assert "NOT comparable" not in text.text


def test_published_figures_are_of_one_test_set() -> None:
    other = of_paper("wmt14.en-de", 2737, labo=[20.0])
    assert "NOT comparable: the test set has 3003 sentences, this one 2737" in (
        report.published_figures(other, "test")[-1].text
    )
    assert report.published_figures(other, "test1") == []
    assert report.published_figures(of_paper(None, 5, labo=[1.0]), "test") == []


def test_both_forms_of_a_document(tmp_path: Path) -> None:
    svg = tmp_path / "figures" / "a.svg"
    svg.parent.mkdir()
    svg.write_text("<svg/>", encoding="utf-8")
    blocks = [
        Heading("A < B"),
        Paragraph("x & y"),
        Table(["name", "n"], [["a|b", "1"]]),
        Picture(svg, "caption"),
    ]
    html = document.render("T", blocks, template="report.html.j2", folder=tmp_path)
    assert "<h2>A &lt; B</h2>" in html and "x &amp; y" in html
    assert '<td class="number">1</td>' in html and "base64,PHN2Zy8+" in html
    text = document.render("T", blocks, template="report.md.j2", folder=tmp_path)
    assert "# T\n" in text and "## A < B\n" in text
    assert "| name | n |\n|---|---:|\n| a\\|b | 1 |\n" in text
    assert "![caption](figures/a.svg)" in text
