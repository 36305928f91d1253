"""A small problem for the benchmark's tests, a provider by its name, and a tiny run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import loss as benchmark
from benchmarks import loss_measure, loss_providers


def make_problem(
    dtype: torch.dtype = torch.float32, *, num_tokens: int = 48, vocab_size: int = 60
) -> loss_providers.Problem:
    torch.manual_seed(3)
    sizes = (num_tokens, vocab_size, 8)
    return loss_providers.make_problem(sizes, dtype, "cpu", label_smoothing=0.1)


def find(name: str, beta: float = 2.0) -> loss_providers.Provider:
    return next(each for each in loss_providers.list_providers([beta]) if each.name == name)


TINY = [
    *("--device", "cpu", "--num-tokens", "24", "--vocab-size", "40", "--hidden-dim", "8"),
    *("--repeats", "3", "--threads", "1"),
]


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small copy measures the bandwidth, and the number of threads is put back."""
    monkeypatch.setitem(loss_measure.COPY_BYTES, "cpu", 2**20)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(tmp_path: Path, *options: str) -> dict[str, Any]:
    """The JSON of a tiny benchmark."""
    output = tmp_path / "results.json"
    benchmark.main([*TINY, *options, "--output", str(output)])

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(output.read_text("utf-8"), parse_constant=refuse)
    return found
