"""The tables of a report: what stands in their cells."""

import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.published import PAPER_TASKS
from fairseq_labo.experiments.studies import report_tables
from fairseq_labo.experiments.studies.beams import BeamScore
from fairseq_labo.experiments.studies.differences import Difference
from fairseq_labo.experiments.studies.results import Results, RunResult


@pytest.mark.parametrize(("value", "shown"), [(0.0312, "0.0312*"), (0.05, "0.0500"), (None, "–")])
def test_p_values(value: float | None, shown: str) -> None:
    assert report_tables.p_value(value) == shown


def test_mean_differences(changed: Callable[..., Results]) -> None:
    found = Difference(
        difference=0.456, low=-0.1, high=1.014, standard_error=0.3, p=0.03, p_corrected=0.06,
        detectable=0.845,
    )  # fmt: skip
    table = report_tables.differences(changed(differences={"test": {"labo": found}}), "test")
    assert table.rows == [["labo", "+0.46", "-0.10 to +1.01", "0.0300*", "0.0600"]]
    assert len(table.header) == len(table.rows[0])
    assert (
        report_tables.detectable(changed(differences={"test": {"labo": found}}), "test") == "0.84"
    )
    for wide, shown in ((12.4, "12"), (99.7, "100"), (2100.0, "100")):
        of = changed(differences={"test": {"labo": replace(found, detectable=wide)}})
        assert report_tables.detectable(of, "test") == shown
    # One report, one difference: not that of the rounded means.
    results = changed(differences={"test": {"labo": found}})
    rows = {row[0]: row for row in report_tables.headline(results, "test").rows}
    assert rows["labo"][2] == "+0.46"


def test_differences_over_the_seeds(changed: Callable[..., Results]) -> None:
    """NLL 0.1 and 0.3 bits above the baseline's, of two seeds: mean 0.2, error 0.1, t = 12.706."""

    def scored(run: RunResult) -> RunResult:
        test, ours = run.scores["test"], run.method == "labo"
        found = {"nll_bits": 2 + (0.2 * run.seed - 0.1) * ours, "ece": 0.05 - 0.01 * ours}
        scores = {**test, "calibration": {**test["calibration"], **found}}
        return run.model_copy(update={"scores": {"test": scores}})

    rows = report_tables.nll_and_ece(changed(scored), "test").rows
    assert rows[-1] == ["labo", "+0.200 (-1.071 to +1.471)", "-1.00 (-1.00 to -1.00)"]
    assert [row[0] for row in rows] == ["cross_entropy", "tsla", "labo"]


def test_lengths_of_the_translations(changed: Callable[..., Results]) -> None:
    """Means over seeds; scores of an older version, whose text has no lengths, have none."""
    texts = {1: "(hyp_len = 90 ref_len = 100)", 2: "(hyp_len = 100 ref_len = 100)"}

    def column(*methods: str) -> list[str]:
        def measured(run: RunResult) -> RunResult:
            test, text = run.scores["test"], texts[run.seed] * (run.method in methods)
            scores = {**test, "bleu": {**test["bleu"], "text": text}}
            return run.model_copy(update={"scores": {"test": scores}})

        table = report_tables.headline(changed(measured), "test")
        return [row[table.header.index("length")] for row in table.rows]

    assert column("labo") == ["–", "–", "–", "0.950 ± 0.071"]


def test_widths_of_the_search(changed: Callable[..., Results]) -> None:
    def searched(run: RunResult) -> RunResult:
        scores = {1: BeamScore(score=30 + run.seed, length_ratio=0.97)}
        return run.model_copy(update={"beams": {"test": scores}})

    table = report_tables.beams(changed(searched), "test")
    assert table.header == ["method", "", "beam 1"] and len(table.rows) == 8
    assert table.rows[:2] == [
        ["cross_entropy", "BLEU", "31.50 ± 0.71"],
        ["", "length ratio", "0.970 ± 0.000"],
    ]


def with_peaks(*gpu: int | None) -> Callable[[RunResult], RunResult]:
    """Runs of 100 MiB; with seed n the n-th peak on the GPU, if any."""

    def change(run: RunResult) -> RunResult:
        peak = gpu[run.seed - 1]
        trained = {"peak_memory_mib": 100} | ({} if peak is None else {"peak_gpu_memory_mib": peak})
        return run.model_copy(update={"trained": trained})

    return change


def test_memory_of_a_gpu_is_shown_where_all_had_one(changed: Callable[..., Results]) -> None:
    table = report_tables.training(changed(with_peaks(3000, 3002)))
    assert table.header[-1] == "peak GPU memory, MiB" and table.rows[0][-1] == "3001 ± 1"
    table = report_tables.training(changed(with_peaks(3000, None)))
    assert table.header[-1] == "peak host memory, MiB" and table.rows[0][-1] == "100 ± 0"


def test_memory_that_is_not_known_is_a_dash(changed: Callable[..., Results]) -> None:
    unknown = changed(
        lambda run: (
            run.model_copy(update={"trained": {"peak_memory_mib": None}})
            if run.method == "labo" and run.seed == 2
            else run
        )
    )
    peaks = {row[0]: row[-1] for row in report_tables.training(unknown).rows}
    assert peaks["labo"] == "–" and peaks["tsla"] == "608 ± 4"


def test_published_figures_stand_beside_ours_in_their_convention(
    changed: Callable[..., Results],
) -> None:
    """The n-th convention has the score 20 + n + seed."""

    def scored(run: RunResult) -> RunResult:
        scores = {name: {"score": 20 + n + run.seed} for n, name in enumerate(CONVENTIONS)}
        return run.model_copy(update={"scores": {"test": scores}})

    table = report_tables.published(changed(scored), PAPER_TASKS["wmt14.en-de"], "test")
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.header[3:] == ["cross_entropy", "label_smoothing", "tsla", "labo"]
    mean = 21.5 + list(CONVENTIONS).index("bleu_tokenized_compounds")
    assert rows["LABO; Lu et al. 2023 (LABO)"] == [
        "BLEU of tokens, compounds split (assumed)",
        *("28.3", *[f"{mean:.2f} ± 0.71"] * 4),
    ]
    plain = rows["label smoothing, the same output; Ott et al. 2018, transformer big"]
    assert plain[:3] == ["sacreBLEU, detokenized, cased", "28.6", "21.50 ± 0.71"]


def test_straightened_scores_are_shown_where_all_runs_have_them(
    changed: Callable[..., Results],
) -> None:
    """A corpus whose recipe straightens apostrophes; studies of before have no such scores."""

    def scored(run: RunResult) -> RunResult:
        test = run.scores["test"]
        straight = {**test["bleu"], "label": "straight"}
        return run.model_copy(update={"scores": {"test": {**test, "bleu_straight": straight}}})

    def of_seed_1(run: RunResult) -> RunResult:
        return scored(run) if run.seed == 1 else run

    for change, shown in ((scored, True), (of_seed_1, False), (lambda run: run, False)):
        labels = [row[0] for row in report_tables.signatures(changed(change), "test").rows]
        assert ("straight" in labels) == shown


def test_the_prior_and_the_teacher_of_a_method_are_shown(changed: Callable[..., Results]) -> None:
    """Like the other flags; the teacher of each seed is the run of that seed."""
    flags = "--label-prior unigram --teacher-path runs/cross_entropy/seed-1/checkpoint_best.pt"
    flags += " --finetune-from-model /m/seed-7/x.pt --eval-bleu-args '{\"beam\": 1}'"

    def taught(run: RunResult) -> RunResult:
        words = (*shlex.split(flags), *run.train_arguments)
        return run.model_copy(update={"train_arguments": words})

    for row in report_tables.training(changed(taught)).rows:
        assert row[1].startswith(flags.replace("seed-1", "seed-*")) and "--seed" not in row[1]
