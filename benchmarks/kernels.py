"""What the compiler makes of the Triton kernels, without a GPU: ``python -m benchmarks.kernels``.

Each kind of kernel is compiled as a training would (bf16 and float32, V = 10,152), for an
architecture that need not be here. Triton's own disassembler then tells registers, spills, how wide
global memory is accessed, and the instructions of the loop over the vocabulary. From those a static
model predicts what bounds the kernel and which share of the memory's bandwidth it reaches:
PREDICTED, NOT MEASURED. It knows nothing of latencies, of the tail of a launch, or of caches.
"""

import argparse
import importlib.metadata
import math
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from fairseq_labo.experiments.files import write_json
from fairseq_labo.ops import triton_loss
from fairseq_labo.ops.settings import Settings

VOCAB_SIZE = 10_152
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
BETAS = [2.0, 2.5, 4.0, 10.0, 64.0, math.inf]
# NVIDIA H100 SXM: streaming multiprocessors, lanes that each issues in a cycle, and those of its
# special functions (ex2, lg2; CUDA C++ Programming Guide, throughput of instructions, 9.0). The
# clock is what the data sheet's 67 TFLOPS in float32 need, 67e12 / (132 x 128 x 2); its 3.35 TB/s.
SMS, CLOCK_HZ, ISSUED_LANES, SPECIAL_LANES = 132, 1.98e9, 128, 16
BYTES_PER_SECOND = 3.35e12
THREADS = triton_loss.NUM_WARPS * triton_loss.WARP_SIZE
COLUMNS = {
    "name": "kernel", "dtype": "dtype", "kind": "kind", "registers": "registers",
    "spilled_bytes": "spilled bytes", "access_bits": "bits an access",
    "instructions": "instructions an entry", "special_functions": "special functions an entry",
    "bound": "predicted bound", "share": "predicted share of memory bandwidth",
}  # fmt: skip
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)([^;]*);")


class Kernel(NamedTuple):
    """A compiled kernel; counts of instructions are those of a vocabulary entry, in its loop."""

    name: str  # forward or backward
    dtype: str
    kind: str
    registers: int
    spilled_bytes: int
    access_bits: int  # the narrowest of the loop's accesses to logits and gradient
    instructions: float
    special_functions: float

    def bound(self) -> tuple[str, float]:
        """What takes longest, and the predicted share of the memory's bandwidth."""
        matrices = (2 if self.name == "backward" else 1) + (self.kind == "teacher")
        num_bytes = DTYPES[self.dtype].itemsize * matrices
        rate = SMS * CLOCK_HZ
        seconds = {
            "memory": num_bytes / BYTES_PER_SECOND,
            "instructions": self.instructions / (rate * ISSUED_LANES),
            "special functions": self.special_functions / (rate * SPECIAL_LANES),
        }
        slowest = max(seconds, key=lambda name: seconds[name])
        return slowest, seconds["memory"] / seconds[slowest]


def compiled(architecture: int, run: Any) -> list[Any]:
    """The kernels that `run()` launches, compiled for sm_`architecture` and not launched.

    Triton must not be interpreting: its environment is read when it is imported.
    """
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    target = GPUTarget("cuda", architecture, 32)
    found: list[Any] = []
    launch = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        found.append(launch(self, *args, grid=grid, warmup=True, **options))

    device = mock.Mock(
        get_current_target=lambda: target,
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
    )
    driver.set_active(device)
    with (
        mock.patch.object(JITFunction, "run", compile_only),
        mock.patch.object(triton_loss, "triton_unavailable", lambda logits: None),
    ):
        run()
    return found


def kinds(dtype: torch.dtype) -> Iterator[tuple[str, Any]]:
    """Names of the kinds of P, and a step of each."""
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, VOCAB_SIZE, generator=generator).to(dtype)
    prior = torch.full((VOCAB_SIZE,), 1 / VOCAB_SIZE)
    cases: list[tuple[str, float, float, Any, Any]]
    cases = [(f"beta {beta:g}", beta, 0.1, None, None) for beta in BETAS]
    cases += [(f"prior, beta {beta:g}", beta, 0.1, None, prior) for beta in (4.0, 10.0, math.inf)]
    cases += [("teacher", 1.0, 0.1, teacher, None), ("cross entropy", 4.0, 0.0, None, None)]
    for name, beta, alpha, taught, weights in cases:
        chosen = Settings(alpha, beta, 1, statistics=alpha > 0)

        def step(chosen: Settings = chosen, taught: Any = taught, weights: Any = weights) -> None:
            logits = torch.zeros(2, VOCAB_SIZE, dtype=dtype, requires_grad=True)
            case = logits, torch.zeros(2, dtype=torch.long), chosen, taught, weights
            triton_loss.triton_token_losses(*case).loss.sum().backward()

        yield name, step


def describe(kernel: Any, dtype: str, kind: str) -> Kernel:
    """Read a compiled kernel's machine code with the tools that Triton brings."""
    usage = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", dump(kernel, "--dump-resource-usage")))
    name = "backward" if "backward" in kernel.name else "forward"
    steps = triton_loss.ACCESS_BYTES // DTYPES[dtype].itemsize
    entries = triton_loss.BLOCK if name == "backward" else triton_loss.LANES * steps
    loop, unrolled = main_loop(dump(kernel, "-sass"))
    per_thread = (VOCAB_SIZE if unrolled else entries) / THREADS
    accesses = [operation for operation in loop if operation.startswith(("LDG", "STG"))]
    bits = [int(found[1]) if (found := re.search(r"\.(64|128)", a)) else 32 for a in accesses]
    special = sum(operation.startswith("MUFU") for operation in loop)
    spilled = int(usage["STACK"]) + int(usage["LOCAL"])
    counts = len(loop) / per_thread, special / per_thread
    narrowest = statistics.mode(bits) if unrolled else min(bits)  # not those before a loop
    return Kernel(name, dtype, kind, int(usage["REG"]), spilled, narrowest, *counts)


def dump(kernel: Any, what: str) -> str:
    """What cuobjdump says of a compiled kernel."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, what, file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main_loop(disassembly: str) -> tuple[list[str], bool]:
    """Operations of the first loop that reads global memory: the one over the vocabulary.

    Where the assembler has unrolled it, all of them, and True.
    """
    code = [(int(at, 16), name, rest) for at, name, rest in INSTRUCTION.findall(disassembly)]
    for at, name, rest in code:
        target = re.search(r"0x([0-9a-f]+)", rest) if name.startswith("BRA") else None
        first = at if target is None else int(target[1], 16)
        if first < at:
            inside = [operation for place, operation, _ in code if first <= place <= at]
            if any(operation.startswith("LDG") for operation in inside):
                return inside, False
    return [operation for _, operation, _ in code], True


def main(arguments: list[str] | None = None) -> None:
    """Print the table, as Markdown, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser("python -m benchmarks.kernels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--architecture", type=int, default=90, help="of NVIDIA (default: 90)")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--output", type=Path, help="JSON file of the table")
    options = parser.parse_args(arguments)
    found = []
    for dtype in options.dtype:
        for kind, step in kinds(DTYPES[dtype]):
            made = compiled(options.architecture, step)
            found += [describe(kernel, dtype, kind) for kernel in made]
    rows = [each._asdict() | {"bound": each.bound()[0], "share": each.bound()[1]} for each in found]
    print("| " + " | ".join(COLUMNS.values()) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        shown = {**row, "share": f"{row['share']:.0%}"}
        cells = (f"{x:.3g}" if isinstance(x, float) else str(x) for x in shown.values())
        print("| " + " | ".join(cells) + " |")
    if options.output:
        settings = {"architecture": options.architecture, "vocab_size": VOCAB_SIZE}
        versions = {"torch": torch.__version__, "triton": importlib.metadata.version("triton")}
        write_json(options.output, {"settings": settings, "versions": versions, "kernels": rows})


if __name__ == "__main__":
    main()
