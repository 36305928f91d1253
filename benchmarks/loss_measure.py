"""What `benchmarks.loss` measures of a loss and its gradients: time, memory, synchronizations."""

import math
import os
import sys
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks.loss_providers import Problem, Provider, Tensors
from fairseq_labo.ops.memory import keep_buffers_from

# Kineto, the profiler's collector, otherwise talks on standard error.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
MIB = 2**20
MODES = ("forward", "backward", "both")
WARM_UPS = {"cpu": 2, "cuda": 20}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**30}
FLUSH_BYTES = 256 * MIB
FLUSHES = 4  # about 0.4 ms on a GPU: time for the host to get ahead of the device


class Clock:
    """Marks on the device's own time line."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        if self.cuda:
            self.flush = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device=device)

    def prepare(self) -> None:
        """On a GPU, wait, and overwrite the L2 cache."""
        if self.cuda:
            torch.cuda.synchronize()
            for value in range(FLUSHES):
                self.flush.fill_(value)

    def mark(self) -> Any:
        """A point in time: seconds, or an event of the GPU."""
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: Any, end: Any) -> float:
        """Milliseconds between two marks."""
        if not self.cuda:
            return float(end - start) * 1e3
        end.synchronize()
        return float(start.elapsed_time(end))


def forward_backward(provider: Provider, inputs: Tensors, problem: Problem) -> Tensors:
    """Gradients of the summed loss."""
    return torch.autograd.grad(provider.loss(inputs, problem, "sum"), inputs)


def time_once(
    provider: Provider, problem: Problem, upstream: float, clock: Clock
) -> dict[str, float]:
    """Milliseconds of forward, of the backward right after it, and of both."""
    inputs = provider.inputs(problem)
    clock.prepare()
    start = clock.mark()
    loss = provider.loss(inputs, problem, "sum")
    middle = clock.mark()
    gradients = torch.autograd.grad(loss, inputs, torch.full_like(loss, upstream))
    end = clock.mark()
    del gradients
    spans = ((start, middle), (middle, end), (start, end))
    return {mode: clock.between(*span) for mode, span in zip(MODES, spans, strict=True)}


def time_all(
    providers: list[Provider], problem: Problem, *, upstream: float, repeats: int, device: str
) -> list[dict[str, list[float]]]:
    """Milliseconds of each provider and mode, `repeats` of each.

    They take turns, each round beginning with another one, so that a change in the machine's
    load or clock falls on all of them.
    """
    clock = Clock(device)
    samples: list[dict[str, list[float]]] = [{mode: [] for mode in MODES} for _ in providers]
    for turn in range(-WARM_UPS[device], repeats):
        for position in range(len(providers)):
            index = (position + turn) % len(providers)
            times = time_once(providers[index], problem, upstream, clock)
            for mode in MODES if turn >= 0 else ():
                samples[index][mode].append(times[mode])
    return samples


def peak_mib(provider: Provider, problem: Problem, *, device: str) -> float:
    """Most MiB that forward and backward hold at once beyond the inputs, gradients included."""
    inputs = provider.inputs(problem)
    if device == "cpu":
        # torch's profiler does not see the buffers that our loss keeps itself.
        with keep_buffers_from(math.inf), CpuMemory() as memory:
            forward_backward(provider, inputs, problem)
        return memory.peak_bytes / MIB
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    forward_backward(provider, inputs, problem)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


class CpuMemory:
    """Counts what torch allocates on the CPU inside the block: `peak_bytes` held at once.

    From torch's profiler, which sees every allocation and release, also of an operator's own
    scratch memory. It slows the block down: time it elsewhere.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._profile = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
        )

    def __enter__(self) -> "CpuMemory":
        self._profile.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._profile.__exit__(None, None, None)
        if self._profile.profiler is None or self._profile.profiler.kineto_results is None:
            raise RuntimeError("expected torch's profiler to record allocations, found nothing")
        events: list[Any] = self._profile.profiler.kineto_results.events()
        allocations = [event for event in events if event.name() == "[memory]"]
        held = 0
        for event in sorted(allocations, key=lambda event: event.start_ns()):
            held += event.nbytes()
            self.peak_bytes = max(self.peak_bytes, held)


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


def waiting(provider: Provider, problem: Problem) -> dict[str, bool | None]:
    """`synchronizes_host` and `captured_in_graph`; None where the attempt itself failed."""
    answers: dict[str, bool | None] = {"synchronizes": None, "captured": None}
    for key, ask in (("synchronizes", synchronizes_host), ("captured", captured_in_graph)):
        try:
            answers[key] = ask(provider, problem)
        except RuntimeError as error:
            print(f"{provider.name}, {key}: not measured: {error}", file=sys.stderr)
    return answers


def copy_bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes, the median of ten."""
    source = torch.rand(COPY_BYTES[device] // 4, device=device)
    copy: Tensor = torch.empty_like(source).copy_(source)
    clock = Clock(device)
    times_ms = []
    for _ in range(10):
        clock.prepare()
        start = clock.mark()
        copy.copy_(source)
        times_ms.append(clock.between(start, clock.mark()))
    return 2 * COPY_BYTES[device] / (sorted(times_ms)[5] * 1e-3)
