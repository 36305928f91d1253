"""Updates of whole models: what is wrong is found, and the largest batch too."""

import argparse
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import updates
from fairseq_labo.experiments.files import read_json
from fairseq_labo.ops import dispatch

LABO = ["--criterion", "labo_cross_entropy"]
TINY = ["--device", "cpu", "--vocab-size", "90", "--max-tokens", "64", "--updates", "2"]


@pytest.fixture
def two_criterions(monkeypatch: pytest.MonkeyPatch) -> None:
    found = updates.variants(2)
    names = (updates.BASELINE, "labo_cross_entropy")
    monkeypatch.setattr(updates, "variants", lambda _: {name: found[name] for name in names})


@pytest.mark.slow
def test_a_wrong_loss_is_found_out_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_criterions: None
) -> None:
    right = dispatch.IMPLEMENTATIONS["torch"]
    calls = itertools.count()

    def later_wrong(*case: Any) -> Any:
        """One percent more, but not in the first update, which is the CPU's in float32."""
        losses = right(*case)
        return losses if next(calls) == 0 else losses._replace(loss=losses.loss * 1.01)

    output = tmp_path / "updates.json"
    arguments = [*TINY, "--precision", "fp32", "--output", str(output)]
    assert updates.main(arguments) == 0
    fairseqs, ours = read_json(output)["updates"]
    assert fairseqs["status"] == ours["status"] == "ok" and ours["off_by"] < 2e-4
    assert fairseqs["implementations"] == [] and ours["implementations"] == ["torch"]
    assert list(read_json(output)["speed_over_baseline"]) == ["labo_cross_entropy, fp32"]
    monkeypatch.setitem(dispatch.IMPLEMENTATIONS, "torch", later_wrong)
    assert updates.main(arguments) == 1
    fairseqs, ours = read_json(output)["updates"]
    assert fairseqs["status"] == "ok"
    assert ours["status"].startswith("wrong: off the CPU's loss or gradient by 0.01")


@pytest.mark.slow
def test_an_error_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_criterions: None
) -> None:
    def fail(*case: Any) -> Any:
        raise RuntimeError("no kernel image\nand more")

    monkeypatch.setitem(dispatch.IMPLEMENTATIONS, "torch", fail)
    output = tmp_path / "updates.json"
    assert updates.main([*TINY, "--precision", "fp32", "--output", str(output)]) == 1
    fairseqs, ours = read_json(output)["updates"]
    assert fairseqs["status"] == "ok" and fairseqs["words_per_second"] > 0
    assert ours["status"] == "error: RuntimeError: no kernel image"


def test_on_a_gpu_triton_must_have_been_taken() -> None:
    row = {"name": "labo_cross_entropy", "precision": "amp", "off_by": 1e-3}
    right, wrong = {"implementations": ["triton"]}, {"implementations": ["torch", "triton"]}
    assert updates.verdict(row | right, "cuda") == "ok"
    assert updates.verdict(row | wrong, "cuda") == (
        "wrong: computed by torch, triton, expected triton"
    )
    assert updates.verdict(row | wrong, "cpu") == "ok"
    assert updates.verdict(row | right | {"off_by": float("nan")}, "cuda").startswith("wrong: off")


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 63, 64, 1000, 54321])
def test_the_largest_that_fits(limit: int) -> None:
    asked = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= limit

    found = updates.most(fits)
    assert limit / updates.FINENESS <= found <= limit and len(asked) < 40


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
    assert updates._fits(trainer, {}, options) is False
    trainer.error = RuntimeError("device-side assert")
    with pytest.raises(RuntimeError, match="device-side"):
        updates._fits(trainer, {}, options)
    trainer.error = RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
    assert updates._fits(trainer, {}, options) is False


def test_an_error_of_one_criterion_is_no_batch_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(flags: list[str], *_: Any) -> int:
        if "tsla_cross_entropy" in flags:
            raise RuntimeError("device-side assert")
        return 4 if "labo_cross_entropy" in flags else 2

    monkeypatch.setattr(updates, "_largest_of", find)
    found = updates.largest(argparse.Namespace(precision=["fp16"], device="cuda"))
    assert found["max_tokens"]["tsla_cross_entropy"] == 0
    assert found["max_tokens_ratio"]["labo_cross_entropy"] == 2.0


def test_an_update_that_overflows_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """fairseq returns nothing, and halves the loss scale; the norm is that of the last attempt."""

    class Trainer:
        overflows = 3

        def clip_grad_norm(self, most: float) -> float:
            return float("inf") if self.overflows > 0 else 2.5

        def train_step(self, samples: Any, raise_oom: bool) -> dict[str, float] | None:
            norm = self.clip_grad_norm(0.0)
            self.overflows -= 1
            return None if norm == float("inf") else {"loss": 9.125}

    monkeypatch.setattr(updates, "batches", lambda *_: iter([{}]))
    monkeypatch.setattr(updates, "make_trainer", lambda *_, **__: (Trainer(), None))
    options = updates.parse_options(TINY)
    found = updates.first_update(LABO, options, "fp16", device="cpu")
    assert found == {"loss": 9.125, "gradient_norm": 2.5}
    monkeypatch.setattr(updates, "SCALINGS", 3)
    with pytest.raises(ArithmeticError, match="overflowed 3 times"):
        updates.first_update(LABO, options, "fp16", device="cpu")


def test_batches_are_random_padded_and_the_same_each_time() -> None:
    class Words:
        nspecial = 4

        def pad(self) -> int:
            return 1

        def eos(self) -> int:
            return 2

        def __len__(self) -> int:
            return 90

    first, second = ([*itertools.islice(updates.batches(Words(), 320), 2)] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        target, inputs = one["target"], one["net_input"]
        assert torch.equal(target, other["target"]) and target.shape == (10, 32)
        assert one["ntokens"] == int(target.ne(1).sum()) < target.numel()
        assert (target.eq(2).sum(1) == 1).all()  # one </s>, before the padding
        assert torch.equal(inputs["prev_output_tokens"][:, 0], torch.full((10,), 2))
        assert int(target.max()) < 90
        assert torch.equal(inputs["src_lengths"], inputs["src_tokens"].ne(1).sum(1))
    assert not torch.equal(first[0]["target"], first[1]["target"])
