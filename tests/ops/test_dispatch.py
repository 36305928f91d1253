"""impl="auto": what it takes, how it makes sure, and what it says."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fairseq_labo.ops import dispatch, labo_loss
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


def choose_on_cuda(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(dispatch, "triton_unavailable", lambda logits: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Imaginary GPU")
    logits: Any = OnCuda()
    return dispatch.choose(logits, SETTINGS, teacher=False, prior=False)


def test_the_cpu_takes_torch_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fairseq_labo")
    for _ in range(3):
        labo_loss(torch.randn(2, 5), torch.tensor([0, 1]), label_smoothing=0.1, beta=2.0)
    assert [record.message for record in caplog.records] == [
        "label regularization is computed by impl='torch': on cpu"
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("teacher", "prior"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("vocab_size", [3, 203])
def test_right_kernels_agree(
    device: str, dtype: torch.dtype, teacher: bool, prior: bool, alpha: float, vocab_size: int
) -> None:
    for beta in (2.0, 2.5, float("inf")):
        settings = Settings(alpha, beta, 1, statistics=True, argmax=True)
        where = torch.device(device)
        kind = (dtype, vocab_size, settings, teacher, prior)
        assert dispatch.triton_disagrees(where, *kind) is None


def wrong_by(name: str, factor: float) -> dispatch.Implementation:
    """An implementation that is off in one of its results."""

    def compute(logits: Tensor, *case: Any) -> TokenLosses:
        if name == "gradient":
            logits = logits.view_as(logits)
            logits.register_hook(lambda gradient: gradient * factor)
        losses = dispatch.chunked_token_losses(logits, *case)
        if name == "gradient":
            return losses
        return losses._replace(**{name: getattr(losses, name) * factor})

    return compute


@pytest.mark.parametrize("name", ["loss", "nll", "reg", "entropy", "gradient"])
@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_a_wrong_kernel_is_found_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, factor: float
) -> None:
    monkeypatch.setattr(dispatch, "triton_token_losses", wrong_by(name, factor))
    assert choose_on_cuda(monkeypatch) == "torch"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"off by {'nan' if factor != factor else '0.001'} in {name}" in record.message


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
    assert len(calls) == 1
    assert [record.message for record in caplog.records] == [
        "label regularization is computed by impl='triton': on Imaginary GPU"
    ]


def test_the_check_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    dispatch.triton_disagrees(CPU, torch.float32, 37, SETTINGS, True, False)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_explicit_request_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(RuntimeError, match=r'impl="triton" cannot run'):
        labo_loss(
            *(torch.randn(2, 5), torch.tensor([0, 1])), label_smoothing=0.1, beta=2.0,
            impl="triton",
        )  # fmt: skip
