"""Memory is counted right."""

import torch

from benchmarks import loss_measure
from fairseq_labo.ops import chunked_rows, memory
from tests.benchmarks.problems import find, make_problem


def test_cpu_memory_on_known_allocations() -> None:
    kept = torch.ones(1000)
    with loss_measure.cpu_profile() as watched:
        first = torch.empty(250_000)  # 1 MB
        second = torch.empty(500_000)  # 3 MB held
        del first
        third = torch.empty(125_000)  # 2.5 MB held
        del second, kept
        fourth = torch.empty(500_000, dtype=torch.float16)  # 1.5 MB held
    assert loss_measure.peak_bytes(watched) == 3_000_000
    del third, fourth
    with loss_measure.cpu_profile() as watched:
        torch.logsumexp(torch.ones(1000, 100), dim=0)
    # The operator's own scratch memory counts too; a few bytes are wrapped numbers.
    assert 800_400 <= loss_measure.peak_bytes(watched) < 810_000


def test_peak_counts_backward_but_not_the_inputs() -> None:
    """fairseq: log-probabilities, and in backward at least two gradients more, in float32."""
    problem, provider = make_problem(), find("fairseq")
    peak = loss_measure.peak_mib(provider, problem, device="cpu") * 2**20
    logits = 48 * 60 * 4
    assert 3 * logits <= peak < 3.5 * logits


def test_peak_counts_a_gradient_in_a_kept_buffer() -> None:
    """Of that memory torch's profiler sees nothing: for the measurement torch allocates it."""
    logits_bytes = 700 * 2000 * 4
    assert logits_bytes > memory.KEPT_BYTES == 4 * 2**20
    problem = make_problem(num_tokens=700, vocab_size=2000)
    provider = find("labo-torch")
    peak = loss_measure.peak_mib(provider, problem, device="cpu") * 2**20
    assert logits_bytes <= peak < logits_bytes + 3 * chunked_rows.CPU_CHUNK_BYTES
    assert memory._kept_from == memory.KEPT_BYTES
