"""Updates of whole models: what is wrong is found, and the largest batch too."""

import itertools
from pathlib import Path
from typing import Any

import pytest

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
