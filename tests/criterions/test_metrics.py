"""What is logged of a step."""

import math

import pytest

from tests.criterions.conftest import Build
from tests.criterions.steps import LABO, step


def test_metrics_are_in_bits(build: Build) -> None:
    from fairseq.logging import metrics

    built = build(*LABO, "--label-smoothing", "0.25", "--report-accuracy")
    logs = [step(built)[2], step(built)[2]]
    with metrics.aggregate(new_root=True) as aggregate:
        built.criterion.reduce_metrics(logs)
    values = aggregate.get_smoothed_values()
    nll = float(logs[0]["nll_loss"]) / logs[0]["ntokens"] / math.log(2)
    assert values["nll_loss"] == pytest.approx(nll, abs=5e-4)
    assert values["ppl"] == pytest.approx(2**nll, rel=1e-2)
    mixed = 0.75 * values["nll_loss"] + 0.25 * values["reg_loss"]
    assert values["loss"] == pytest.approx(mixed, abs=2e-3)
    assert values["smoothing"] == 0.25
    assert 0 < values["label_entropy"] <= math.log2(len(built.task.target_dictionary)) + 1e-3
    assert 0 <= values["accuracy"] <= 100
