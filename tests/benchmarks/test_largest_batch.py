"""How large a batch may become: the search, and what counts as not fitting."""

import argparse
from typing import Any

import pytest
import torch

from benchmarks import largest_batch


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 63, 64, 1000, 54321])
def test_the_largest_that_fits(limit: int) -> None:
    asked = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= limit

    found = largest_batch.most(fits)
    assert limit / largest_batch.FINENESS <= found <= limit and len(asked) < 40


def test_out_of_memory_is_an_answer_and_other_errors_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Trainer:
        error: Exception

        def train_step(self, samples: Any, raise_oom: bool) -> None:
            raise self.error

        def zero_grad(self) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    trainer, options = Trainer(), argparse.Namespace(device="cuda")
    trainer.error = torch.OutOfMemoryError("2 GiB")
    assert largest_batch._fits(trainer, {}, options) is False
    trainer.error = RuntimeError("device-side assert")
    with pytest.raises(RuntimeError, match="device-side"):
        largest_batch._fits(trainer, {}, options)
    trainer.error = RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
    assert largest_batch._fits(trainer, {}, options) is False


def test_an_error_of_one_criterion_is_no_batch_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(flags: list[str], *_: Any) -> int:
        if "tsla_cross_entropy" in flags:
            raise RuntimeError("device-side assert")
        return 4 if "labo_cross_entropy" in flags else 2

    monkeypatch.setattr(largest_batch, "_largest_of", find)
    found = largest_batch.largest(argparse.Namespace())
    assert found["max_tokens"]["tsla_cross_entropy"] == 0
    assert found["max_tokens_ratio"]["labo_cross_entropy"] == 2.0
