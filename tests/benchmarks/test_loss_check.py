"""A loss that is wrong in any part is found out, in every dtype."""

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch

from benchmarks import loss_check
from tests.benchmarks.problems import find, make_problem


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("part", ["gradient", "loss", "reference entry", "NaN", "per token"])
def test_each_part_is_checked(dtype: torch.dtype, part: str) -> None:
    """A loss whose value, gradient, or one part of the gradient is 1% off, in each dtype."""
    problem, provider = make_problem(dtype), find("labo-torch")
    right = provider.loss

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        if part == "gradient":
            return gradient * 1.01
        if part == "NaN":
            return gradient * math.nan
        entries = torch.zeros_like(gradient).scatter_(1, problem.target.unsqueeze(1), 0.01)
        return gradient * (1 + entries)

    def wrong(inputs: Any, problem: Any, reduction: str) -> torch.Tensor:
        logits = inputs[0].clone()
        if part in ("gradient", "NaN", "reference entry"):
            # In float64: the spoilt gradient is rounded once, like the right one.
            wide = inputs[0].double()
            wide.register_hook(spoil)
            logits = wide
        losses = right((logits,), problem, reduction)
        if part == "loss":  # the value alone
            return losses + 0.01 * losses.detach()
        if part == "per token" and reduction == "none":  # uniform upstream gradients
            return losses.mean() + 0 * losses + (losses - losses.mean()).detach()
        return losses

    upstreams: list[loss_check.Upstream] = [1.0, loss_check.PER_TOKEN]
    expected = {each: loss_check.expect(problem, provider, each) for each in upstreams}
    assert loss_check.check(provider, problem, expected).status == "ok"
    spoilt = dataclasses.replace(provider, load=lambda: wrong)
    verdict = loss_check.check(spoilt, problem, expected)
    assert verdict.status.startswith("wrong: "), verdict


def test_definitions_differ() -> None:
    """fairseq's ε is not torch's; it is ours at β = inf, α = εV/(V−1)."""
    problem = make_problem()
    upstream = torch.ones(48)
    fairseq, _ = loss_check.evaluate(problem, find("fairseq"), upstream, exact=True)
    uniform, _ = loss_check.evaluate(problem, find("torch"), upstream, exact=True)
    assert (fairseq - uniform).abs().max() > 1e-3
    spread = copy.copy(problem)
    object.__setattr__(spread, "label_smoothing", 0.1 * 60 / 59)
    ours, _ = loss_check.evaluate(spread, find("labo-torch", math.inf), upstream, exact=True)
    torch.testing.assert_close(ours, fairseq)
    torch.testing.assert_close(fairseq[-1].item(), 0.0)  # padding
