"""What `benchmarks.loss` measures of a loss and its gradients: time, memory, synchronizations."""

import functools
import itertools
import math
import os
import statistics
import sys
import time
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from benchmarks.loss_providers import Problem, Provider, Tensors
from fairseq_labo.ops.memory import keep_buffers_from

# Kineto, the profiler's collector, otherwise talks on standard error.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
MIB = 2**20
# The logits are read in each pass, and their gradient is written: how often so much has to move.
PASSES = {"forward": 1, "backward": 2, "both": 3}
WARM_UPS = {"cpu": 2, "cuda": 20}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**30}
FLUSH_BYTES = 256 * MIB
FLUSHES = 4
# About 3 ms of an H100: time for the host to get ahead of the device. The flushes' 0.4 ms were not
# enough: what was timed was the host, launching kernels.
AHEAD_CYCLES = 5_000_000


@functools.cache
def _flush_buffer() -> Tensor:
    return torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device="cuda")


def prepare(device: str) -> None:
    """On a GPU, wait, overwrite the L2 cache, and let the host get ahead."""
    if device == "cuda":
        torch.cuda.synchronize()
        for value in range(FLUSHES):
            _flush_buffer().fill_(value)
        torch.cuda._sleep(AHEAD_CYCLES)


def mark(device: str) -> Any:
    """A point on the device's own time line: seconds, or an event of the GPU."""
    if device == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(start: Any, end: Any) -> float:
    """Milliseconds between two marks."""
    if isinstance(end, float):
        return float(end - start) * 1e3
    end.synchronize()
    return float(start.elapsed_time(end))


def forward_backward(provider: Provider, inputs: Tensors, problem: Problem) -> Tensors:
    """Gradients of the summed loss."""
    return torch.autograd.grad(provider.loss(inputs, problem, "sum"), inputs)


def time_once(
    provider: Provider, problem: Problem, upstream: float, device: str
) -> dict[str, float]:
    """Milliseconds of forward, of the backward right after it, and of both."""
    inputs = provider.inputs(problem)
    prepare(device)
    start = mark(device)
    loss = provider.loss(inputs, problem, "sum")
    middle = mark(device)
    gradients = torch.autograd.grad(loss, inputs, torch.full_like(loss, upstream))
    end = mark(device)
    del gradients
    spans = ((start, middle), (middle, end), (start, end))
    return {mode: between(*span) for mode, span in zip(PASSES, spans, strict=True)}


def time_all(
    providers: list[Provider], problem: Problem, *, upstream: float, repeats: int, device: str
) -> dict[Provider, list[dict[str, float]]]:
    """Of each provider what `time_once` returns, `repeats` times.

    They take turns, each round beginning with another one, so that a change in the machine's
    load or clock falls on all of them.
    """
    samples: dict[Provider, list[dict[str, float]]] = {provider: [] for provider in providers}
    for turn in range(-WARM_UPS[device], repeats):
        first = turn % max(1, len(providers))
        for provider in providers[first:] + providers[:first]:
            times = time_once(provider, problem, upstream, device)
            if turn >= 0:
                samples[provider].append(times)
    return samples


def peak_mib(provider: Provider, problem: Problem, *, device: str) -> float:
    """Most MiB that forward and backward hold at once beyond the inputs, gradients included."""
    inputs = provider.inputs(problem)
    if device == "cpu":
        # torch's profiler does not see the buffers that our loss keeps itself.
        with keep_buffers_from(math.inf), cpu_profile() as profiled:
            forward_backward(provider, inputs, problem)
        return peak_bytes(profiled) / MIB
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    forward_backward(provider, inputs, problem)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


def cpu_profile() -> profile:
    """Sees every allocation and release, also of an operator's own scratch memory.

    It slows its block down: time that elsewhere.
    """
    return profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True)


def peak_bytes(profiled: Any) -> int:
    """What torch held at most at once of what it allocated on the CPU in the profiled block."""
    events = profiled.profiler.kineto_results.events()
    allocations = [event for event in events if event.name() == "[memory]"]
    allocations.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate((event.nbytes() for event in allocations), initial=0))


def synchronizes_host(provider: Provider, problem: Problem) -> bool:
    """Whether the host waits for the GPU anywhere in forward and backward."""
    inputs = provider.inputs(problem)
    torch.cuda.set_sync_debug_mode("error")
    try:
        forward_backward(provider, inputs, problem)
    except RuntimeError as error:
        if "synchroniz" in str(error):
            return True
        raise
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def captured_in_graph(provider: Provider, problem: Problem) -> bool:
    """Whether a CUDA graph can hold forward and backward, and repeats their gradients."""
    inputs = provider.inputs(problem)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            expected = forward_backward(provider, inputs, problem)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            gradients = forward_backward(provider, inputs, problem)
    except RuntimeError:
        torch.cuda.synchronize()
        return False
    for gradient in gradients:
        gradient.fill_(float("nan"))
    graph.replay()
    torch.cuda.synchronize()
    pairs = zip(gradients, expected, strict=True)
    return all(torch.allclose(given, right, rtol=1e-2, atol=1e-5) for given, right in pairs)


def waiting(provider: Provider, problem: Problem) -> dict[str, bool]:
    """`synchronizes_host` and `captured_in_graph`, without one whose attempt itself failed."""
    answers = {}
    for ask in (synchronizes_host, captured_in_graph):
        try:
            answers[ask.__name__] = ask(provider, problem)
        except RuntimeError as error:
            print(f"{provider.name}, {ask.__name__}: not measured: {error}", file=sys.stderr)
    return answers


def copy_bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes, the median of five times five."""
    tensor = torch.rand(COPY_BYTES[device] // 4, device=device)
    given = {"source": tensor, "copy": tensor.clone()}
    timer = Timer("copy.copy_(source)", globals=given, num_threads=torch.get_num_threads())
    return 2 * COPY_BYTES[device] / statistics.median(timer.timeit(5).median for _ in range(5))
