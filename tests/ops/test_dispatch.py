"""impl="auto": what it takes, how it makes sure, and what it says."""

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fairseq_labo.ops import dispatch, labo_loss, triton_loss
from fairseq_labo.ops.settings import Settings, TokenLosses

SETTINGS = Settings(0.1, 2.5, 1, statistics=True)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Nothing is remembered from, or for, other tests."""
    for remembered in (dispatch._chosen, dispatch.triton_disagrees):
        remembered.cache_clear()
    yield
    for remembered in (dispatch._chosen, dispatch.triton_disagrees):
        remembered.cache_clear()


class OnCuda:
    """Stands for logits on a GPU, as far as choosing looks at them."""

    is_cuda, device, dtype = True, CPU, torch.float32

    def size(self, dimension: int) -> int:
        return 37


def choose_on_cuda(monkeypatch: pytest.MonkeyPatch, settings: Settings = SETTINGS) -> str:
    monkeypatch.setattr(dispatch, "triton_unavailable", lambda logits: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Imaginary GPU")
    logits: Any = OnCuda()
    return dispatch.choose(logits, settings, teacher=False, prior=False)


def test_the_cpu_takes_torch_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fairseq_labo")
    for _ in range(3):
        labo_loss(torch.randn(2, 5), torch.tensor([0, 1]), label_smoothing=0.1, beta=2.0)
    assert [record.message for record in caplog.records] == [
        "label regularization is computed by impl='torch': on cpu"
    ]


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


def test_settings_of_one_kernel_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where β is annealed: each check waits for the GPU."""
    checked = list[float]()

    def agrees(*case: Any, **_: Any) -> None:
        checked.append(case[3].beta)

    monkeypatch.setattr(dispatch, "triton_disagrees", agrees)
    for step in range(1000):
        choose_on_cuda(monkeypatch, SETTINGS._replace(beta=20.0 - step / 51.0))
    assert len(set(checked)) <= 12
    for beta in (0.03, 1.0, 1.5, 2.0, 2.1, 3.0, 4.0, 7.0, 16.0, 16.5, 1e4, math.inf):
        checked.clear()
        choose_on_cuda(monkeypatch, SETTINGS._replace(beta=beta))
        for dtype in triton_loss.SUPPORTED_DTYPES:
            for teacher in (False, True):
                plans = {
                    triton_loss._Plan.for_call(
                        dtype, SETTINGS._replace(beta=each), regularized=True, teacher=teacher
                    )[:3]
                    for each in (beta, *checked)
                }
                assert len(plans) == 1, beta
        assert all(each == beta or 0.5 < each / beta <= 1.25 for each in checked)


def test_want_of_memory_is_no_reason_for_another_implementation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*case: Any) -> TokenLosses:
        raise torch.OutOfMemoryError("2 GiB")

    monkeypatch.setattr(dispatch, "triton_token_losses", fail)
    with pytest.raises(torch.OutOfMemoryError):
        choose_on_cuda(monkeypatch)
    monkeypatch.setattr(dispatch, "triton_token_losses", dispatch.chunked_token_losses)
    assert choose_on_cuda(monkeypatch) == "triton"


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


def wrong_by(name: str, factor: float) -> dispatch.Implementation:
    """An implementation that is off in one of its results."""

    def compute(logits: Tensor, *case: Any) -> TokenLosses:
        losses = dispatch.chunked_token_losses(logits, *case)
        return losses._replace(**{name: getattr(losses, name) * factor})

    return compute


@pytest.mark.parametrize("name", ["loss", "nll", "reg", "entropy"])
@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_a_wrong_loss_is_found_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, factor: float
) -> None:
    monkeypatch.setattr(dispatch, "triton_token_losses", wrong_by(name, factor))
    assert choose_on_cuda(monkeypatch) == "torch"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"in {name} of row" in record.message and ": SLOWER than" in record.message
    assert ("nan" in record.message) == math.isnan(factor)


def test_every_worker_says_that_it_is_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(dispatch.distributed, "get_rank", lambda: 3)
    monkeypatch.setattr(dispatch, "triton_token_losses", wrong_by("loss", 2.0))
    for _ in range(2):
        choose_on_cuda(monkeypatch)
    (record,) = caplog.records
    assert (
        record.levelno == logging.WARNING
        and "rank 3, for which all workers wait, is" in record.message
    )


def test_kernels_that_do_not_compile_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> TokenLosses:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(dispatch, "triton_token_losses", fail)
    assert choose_on_cuda(monkeypatch) == "torch"
    assert "do not run here (RuntimeError: no such instruction)" in caplog.text


def test_kernels_that_agree_are_taken_on_cuda_and_checked_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def right(*case: Any) -> TokenLosses:
        calls.append(case)
        return dispatch.chunked_token_losses(*case)

    caplog.set_level(logging.INFO, "fairseq_labo")
    monkeypatch.setattr(dispatch, "triton_token_losses", right)
    assert [choose_on_cuda(monkeypatch) for _ in range(3)] == ["triton"] * 3
    # One-hot targets with and without statistics, too: what validation and stage 2 need.
    assert [(case[2].in_loss, case[2].statistics) for case in calls] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    later = [SETTINGS._replace(label_smoothing=0.0, statistics=each) for each in (True, False)]
    for chosen in (*later, SETTINGS._replace(label_smoothing=0.05)):
        logits: Any = OnCuda()
        assert dispatch.choose(logits, chosen, teacher=False, prior=False) == "triton"
    assert len(calls) == 3  # nothing is compiled, or waited for, in the middle of a training
    assert [record.message for record in caplog.records] == [
        "label regularization is computed by impl='triton': on Imaginary GPU"
    ]


def test_a_kernel_that_is_wrong_in_stage_2_alone_is_found_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong_later(logits: Tensor, target: Tensor, settings: Settings, *rest: Any) -> TokenLosses:
        factor = 1.0 if settings.in_loss else 1.01
        return wrong_by("nll", factor)(logits, target, settings, *rest)

    monkeypatch.setattr(dispatch, "triton_token_losses", wrong_later)
    assert choose_on_cuda(monkeypatch) == "torch"
    assert "in nll of row" in caplog.text


def test_the_check_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    disagreement(teacher=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_explicit_request_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(RuntimeError, match=r'impl="triton" cannot run'):
        labo_loss(
            *(torch.randn(2, 5), torch.tensor([0, 1])), label_smoothing=0.1, beta=2.0,
            impl="triton",
        )  # fmt: skip
