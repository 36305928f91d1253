"""What the interpreter cannot show: the kernels compile, do not wait, and reach far rows."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from fairseq_labo.ops import linear_token_losses
from fairseq_labo.ops.triton_loss import triton_token_losses
from tests.conftest import REPOSITORY
from tests.ops.cases import random_case
from tests.ops.triton_cases import check, settings

BEGINNING = """
import torch
from benchmarks.kernels import compiled
from fairseq_labo.ops.settings import Settings
from fairseq_labo.ops.triton_loss import triton_token_losses
"""

EVERY_KIND = """
teacher, prior = torch.zeros(2, 10152), torch.full((10152,), 1 / 10152)
cases = [(2.0, None, None), (10.0, None, None), (2.5, teacher, None)]
cases += [(beta, None, prior) for beta in (2.0, 10.0, float("inf"))]

def run():
    for beta, teacher, prior in cases:
        logits = torch.zeros(2, 10152, dtype=torch.bfloat16, requires_grad=True)
        chosen = Settings(0.1, beta, 1, True, True)
        target = torch.zeros(2, dtype=torch.long)
        triton_token_losses(logits, target, chosen, teacher, prior).loss.sum().backward()

kernels = compiled(90, run)
assert len(kernels) == 12
for kernel in kernels:
    assert "cubin" in kernel.asm and ".v4.b32" in kernel.asm["ptx"]
"""

# Triton's pass "optimize thread locality" marks what it rewrites so.
RUNNING_SUMS = """
def run():
    for beta, vocab_size in ((b, v) for b in (1e4, float("inf")) for v in (10152, 5003)):
        for dtype in (torch.float32, torch.bfloat16):
            logits, prior = torch.zeros(2, vocab_size, dtype=dtype), torch.ones(vocab_size)
            finite = beta < float("inf")  # elsewhere H may be moved: the loop does not read it
            chosen = Settings(0.1, beta, 1, finite, finite)
            triton_token_losses(logits, torch.zeros(2, dtype=torch.long), chosen, None, prior)

kernels = compiled(90, run)
assert len(kernels) == 8
for kernel in kernels:
    assert "efficient_layout" not in kernel.asm["ttgir"], kernel.metadata
"""

WHOLE_RUN = """
def batch(num_tokens, settings, *, differentiable):
    logits = torch.zeros(num_tokens, 10152, dtype=torch.bfloat16, requires_grad=differentiable)
    target = torch.zeros(num_tokens, dtype=torch.long)
    loss = triton_token_losses(logits, target, settings).loss.sum()
    if differentiable:
        loss.backward(torch.tensor(3.0))

def run():
    for num_tokens in (2, 7, 16):  # batches of all lengths
        for alpha in (0.1, 0.05):  # a schedule
            batch(num_tokens, Settings(alpha, BETA, 1, True, False), differentiable=True)
        batch(num_tokens, Settings(0.0, BETA, 1, True, False), differentiable=False)  # validation
        batch(num_tokens, Settings(0.0, BETA, 1, False, False), differentiable=True)  # stage 2

kinds = {kernel.hash for kernel in compiled(90, run)}
assert len(kinds) == 5, len(kinds)
"""


def run_compiled(script: str) -> None:
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_ALWAYS_COMPILE": "1"}
    command = [sys.executable, "-c", BEGINNING + script]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_the_kernels_compile_for_hopper_without_a_gpu() -> None:
    """What the interpreter accepts the compiler may not; and 16 bytes are loaded at a time."""
    run_compiled(EVERY_KIND)


@pytest.mark.slow
def test_the_compiler_does_not_move_a_sum_that_the_loop_reads() -> None:
    """Seen on an H100: the loop read 0 for the mass seen, and R was off by a tenth at β = 10000."""
    run_compiled(RUNNING_SUMS)


@pytest.mark.slow
@pytest.mark.parametrize("beta", ["4.0", "10.0", "float('inf')"])
def test_a_whole_training_compiles_five_kernels(beta: str) -> None:
    """Forward and backward in both stages, and forward in validation; none again later."""
    run_compiled(f"BETA = {beta}\n{WHOLE_RUN}")


@pytest.mark.gpu
@pytest.mark.parametrize("fused", [False, True])
def test_no_synchronization_and_graph_capture(device: str, fused: bool) -> None:
    if device != "cuda":
        pytest.skip("needs a CUDA device")
    logits, target, upstream = random_case(64, 5000, torch.bfloat16, device)
    weight = random_case(5000, 5000, torch.bfloat16, device)[0] / 70
    leaf = logits.requires_grad_()

    def step() -> Tensor:
        if fused:  # the logits as hidden states
            options: Any = {"label_smoothing": 0.1, "beta": 2.0, "impl": "triton", "summed": True}
            loss = linear_token_losses(leaf, weight, target, **options).loss
            return torch.autograd.grad(loss, leaf)[0]
        loss = triton_token_losses(leaf, target, settings(2.0)).loss
        return torch.autograd.grad(loss, leaf, upstream)[0]

    expected = step()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.cuda.stream(side):
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    captured.zero_()
    graph.replay()
    assert torch.equal(captured, expected)


@pytest.mark.gpu
def test_offsets_beyond_31_bits(device: str) -> None:
    if device != "cuda":
        pytest.skip("needs a CUDA device")
    values, target, upstream = random_case(3, 1000, torch.bfloat16, device)
    stride = 2**30 + 8
    memory = torch.empty(2 * stride + 1000, dtype=torch.bfloat16, device=device)
    logits = memory.as_strided((3, 1000), (stride, 1)).copy_(values)
    check(logits, target, upstream, settings(2.0))
