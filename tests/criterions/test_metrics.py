"""What is logged of a step."""

import math
from typing import Any

import pytest
import torch

from fairseq_labo.criterions.metrics import _warn_of_no_token
from tests.criterions.conftest import Build
from tests.criterions.steps import LABO, TSLA, step


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


def logged(criterion: Any, logs: list[dict[str, Any]]) -> dict[str, float]:
    from fairseq.logging import metrics

    with metrics.aggregate(new_root=True) as aggregate:
        criterion.reduce_metrics(logs)
    return aggregate.get_smoothed_values()


@pytest.mark.parametrize("criterion", [LABO, TSLA])
@pytest.mark.parametrize("more", [(), ("--fused-projection",), ("--divide-by-counted",)])
def test_a_prefix_that_is_ignored_is_not_counted(
    build: Build, criterion: tuple[str, ...], more: tuple[str, ...]
) -> None:
    """The NLL is that of the tokens behind the prefix, from the model's own probabilities.

    fairseq divides their sum by all tokens, which makes it (T − k)/T of that.
    """
    built = build(*criterion, "--ignore-prefix-size", "2", *more)
    _, sample_size, log, _ = step(built)
    with torch.no_grad():
        log_p = built.model.get_normalized_probs(
            built.model(**built.batch["net_input"]), log_probs=True
        )  # [B, T, V]
        target = built.batch["target"]  # [B, T]
        nll = -log_p.gather(2, target.unsqueeze(2)).squeeze(2)[:, 2:]
        counted = nll[target[:, 2:] != built.criterion.padding_idx]
    values = logged(built.criterion, [log, log])
    assert values["nll_loss"] == pytest.approx(counted.mean().item() / math.log(2), abs=1e-3)
    mixed = (
        values["smoothing"] * values["reg_loss"] + (1 - values["smoothing"]) * values["nll_loss"]
    )
    assert values["loss"] == pytest.approx(mixed, abs=2e-3)
    # The gradient is divided as fairseq divides it, unless the flag says otherwise.
    expected = counted.numel() if more == ("--divide-by-counted",) else built.batch["ntokens"]
    assert sample_size == expected
    assert counted.numel() < built.batch["ntokens"]


def test_a_task_that_logs_by_itself(build: Build) -> None:
    """Only its loss is reported: no NLL of 0, no perplexity of 1."""
    built = build(*LABO)
    log = {"loss": torch.tensor(8 * math.log(2)), "ntokens": 4, "nsentences": 1, "sample_size": 4}
    assert logged(built.criterion, [log, log]) == {"loss": 2.0}


def test_a_prefix_that_swallows_every_target_is_told(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    _warn_of_no_token.cache_clear()
    built = build(*LABO, "--ignore-prefix-size", "50")
    for _ in range(3):
        assert math.isnan(logged(built.criterion, [step(built)[2]])["loss"])
    (said,) = [each.message for each in caplog.records if "teaches nothing" in each.message]
    assert "--ignore-prefix-size" in said
