"""How impl="auto" makes sure of the kernels: right ones agree, wrong ones are found out."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fairseq_labo.ops import dispatch
from fairseq_labo.ops.settings import Settings, TokenLosses
from tests.ops.dispatch_cases import SETTINGS
from tests.ops.dispatch_cases import forget as forget  # a fixture


def disagreement(
    dtype: torch.dtype = torch.float32,
    vocab_size: int = 37,
    settings: Settings = SETTINGS,
    *,
    device: str = "cpu",
    teacher: bool = False,
    prior: bool = False,
) -> str | None:
    return dispatch.triton_disagrees(
        torch.device(device), dtype, vocab_size, settings, teacher=teacher, prior=prior
    )


def slow(*values: object) -> list[Any]:
    """Parameters that the fast lane leaves out."""
    return [pytest.param(each, marks=pytest.mark.slow) for each in values]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("teacher", "prior"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("alpha", [*slow(0.0), 0.1])
@pytest.mark.parametrize("vocab_size", [3, *slow(203, 5003)])
def test_right_kernels_agree(
    device: str, dtype: torch.dtype, teacher: bool, prior: bool, alpha: float, vocab_size: int
) -> None:
    for beta in (0.03, 2.0, 2.5, 10.0, 1e4, float("inf")):
        chosen = Settings(alpha, beta, 1, statistics=True, argmax=True)
        kind = {"device": device, "teacher": teacher, "prior": prior}
        assert disagreement(dtype, vocab_size, chosen, **kind) is None, beta


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_check_is_not_run_in_the_precision_of_autocast(dtype: torch.dtype) -> None:
    """Right kernels were rejected there: the other implementation computed in half precision."""
    seen = []

    def watched(*case: Any) -> TokenLosses:
        seen.append(torch.is_autocast_enabled("cpu"))
        return dispatch.chunked_token_losses(*case)

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(dispatch, "triton_token_losses", watched)
        assert disagreement(dtype) is None
    assert seen == [False]


def test_the_check_also_runs_in_inference_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "triton_token_losses", dispatch.chunked_token_losses)
    with torch.inference_mode():
        assert disagreement() is None


def test_a_first_call_in_a_cuda_graph_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match=r"compute the loss .* once before the capture"):
        disagreement(device="cuda")
    monkeypatch.setattr(dispatch, "triton_token_losses", dispatch.chunked_token_losses)
    assert disagreement() is None  # the error is not remembered


class Changed(torch.autograd.Function):
    """The identity, with a gradient that is not."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.change = change
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.change(gradient.clone()), None


def with_gradient(change: Callable[..., Tensor]) -> dispatch.Implementation:
    """Right losses, and a gradient changed by `change(gradient, logits, target, settings)`."""

    def compute(logits: Tensor, target: Tensor, settings: Settings, *rest: Any) -> TokenLosses:
        def changed(gradient: Tensor) -> Tensor:
            wrong = change(gradient.float(), logits.detach().float(), target, settings)
            return wrong.masked_fill(target.eq(settings.ignore_index)[:, None], 0).to(logits.dtype)

        return dispatch.chunked_token_losses(
            Changed.apply(logits, changed), target, settings, *rest
        )

    return compute


UPSTREAM = dispatch.CHECKED_SCALE


def label_term(times: float) -> Callable[..., Tensor]:
    def change(gradient: Tensor, logits: Tensor, target: Tensor, settings: Settings) -> Tensor:
        smoothing = torch.softmax(logits / settings.beta, -1)
        return gradient - (times - 1) * UPSTREAM * settings.label_smoothing * smoothing

    return change


def p_off(gradient: Tensor, logits: Tensor, *_: Any) -> Tensor:
    return gradient + 0.02 * UPSTREAM * torch.softmax(logits, -1)


def _at(target: Tensor, logits: Tensor) -> Tensor:
    """Whether an entry of logits [N, V] is the target's."""
    return torch.arange(logits.size(1), device=logits.device) == target[:, None]


def all_but_the_target_off(gradient: Tensor, logits: Tensor, target: Tensor, *_: Any) -> Tensor:
    return torch.where(_at(target, logits), gradient, 1.1 * gradient)


def targets_lost_from(column: int) -> Callable[..., Tensor]:
    def change(gradient: Tensor, logits: Tensor, target: Tensor, settings: Settings) -> Tensor:
        lost = _at(target, logits) & (target >= column)[:, None]
        return gradient + lost * UPSTREAM * (1 - settings.label_smoothing)

    return change


MUTANTS = {
    "no label term": label_term(0.0),
    "twice the label term": label_term(2.0),
    "p off by 2%": p_off,
    "all but the target off by 10%": all_but_the_target_off,
    "no target beyond the first block": targets_lost_from(2048),
    "no last target": targets_lost_from(4999),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_wrong_gradient_is_found_out(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, mutant: str, pytestconfig: pytest.Config
) -> None:
    """Also where it hides behind the large entry of the target, or in what is rounded."""
    monkeypatch.setattr(dispatch, "triton_token_losses", with_gradient(MUTANTS[mutant]))
    device = str(pytestconfig.getoption("--device"))
    found = disagreement(dtype, 5000, device=device)
    assert found is not None and "in gradient of row" in found
    monkeypatch.setattr(dispatch, "triton_token_losses", with_gradient(lambda g, *_: g))
    dispatch.triton_disagrees.cache_clear()
    assert disagreement(dtype, 5000, device=device) is None


def test_what_cancels_may_differ_by_the_rounding_of_its_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An entry is p − α P*: where the two are nearly equal, AVX2 and AVX-512 differ by more."""

    def rounded(gradient: Tensor, logits: Tensor, *_: Any) -> Tensor:
        return gradient + 4e-6 * UPSTREAM * torch.softmax(logits, -1)

    sharp = Settings(0.1, 0.03, 1, statistics=True, argmax=True)
    monkeypatch.setattr(dispatch, "triton_token_losses", with_gradient(rounded))
    assert disagreement(vocab_size=5003, settings=sharp) is None


def test_the_check_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    disagreement(teacher=True)
    assert torch.equal(torch.get_rng_state(), before)
