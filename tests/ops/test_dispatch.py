"""impl="auto": what it takes, and what it says."""

import logging
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fairseq_labo.ops import dispatch, labo_loss, triton_loss
from fairseq_labo.ops.settings import Settings, TokenLosses
from tests.ops.dispatch_cases import SETTINGS
from tests.ops.dispatch_cases import forget as forget  # a fixture

CPU = torch.device("cpu")


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


def test_an_explicit_request_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(RuntimeError, match=r'impl="triton" cannot run'):
        labo_loss(
            *(torch.randn(2, 5), torch.tensor([0, 1])), label_smoothing=0.1, beta=2.0,
            impl="triton",
        )  # fmt: skip
