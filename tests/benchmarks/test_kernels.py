"""What the compiler makes of the kernels: nothing spilled, 16 bytes at a time."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kernels import Kernel, main_loop
from fairseq_labo.experiments.files import read_json
from tests.conftest import REPOSITORY

pytest.importorskip("triton")

CODE = """
        /*0000*/                   LDG.E.64 R2, desc[UR14][R2.64] ;   /* 0x0 */
        /*0010*/              @!P0 BRA 0x0040 ;                       /* 0x0 */
        /*0020*/                   LDG.E.128 R4, desc[UR14][R6.64] ;  /* 0x0 */
        /*0030*/                   MUFU.EX2 R9, R20 ;                 /* 0x0 */
        /*0040*/              @P2 BRA 0x0020 ;                       /* 0x0 */
        /*0050*/                   BRA 0x0050;                        /* 0x0 */
"""


def test_the_loop_is_found() -> None:
    assert main_loop(CODE) == (["LDG.E.128", "MUFU.EX2", "BRA"], False)
    unrolled, whole = main_loop(CODE.replace("BRA 0x0020", "NOP"))
    assert whole and len(unrolled) == 6


def test_the_static_model() -> None:
    """Memory bounds it until more instructions an entry are issued than fit into the time."""
    kernel = Kernel("forward", "bf16", "beta 2", 40, 0, 128, 14.0, 1.0)
    assert kernel.bound() == ("memory", 1.0)
    bound, share = kernel._replace(instructions=40.0).bound()
    assert bound == "instructions" and share == pytest.approx(0.499, abs=1e-3)
    taught = kernel._replace(kind="teacher", instructions=39.0)  # reads twice as much
    assert taught.bound() == ("memory", 1.0)
    assert kernel._replace(special_functions=6.0).bound()[0] == "special functions"


@pytest.mark.slow
def test_nothing_is_spilled_and_accesses_are_wide(tmp_path: Path) -> None:
    output = tmp_path / "kernels.json"
    command = [sys.executable, "-m", "benchmarks.kernels", "--output", output]
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    kernels: list[dict[str, Any]] = read_json(output)["kernels"]
    assert len(kernels) == 44
    for kernel in kernels:
        assert kernel["spilled_bytes"] == 0 and kernel["access_bits"] == 128, kernel
    of_forward = [each for each in kernels if each["name"] == "forward"]
    forward = {each["kind"]: each for each in of_forward if each["dtype"] == "bf16"}
    # One exponential an entry where β is a power, two elsewhere, and one of the lanes' rescaling.
    assert forward["beta 4"]["special_functions"] < 1.5 < forward["beta 10"]["special_functions"]
    assert done.stdout.count("\n") == 2 + len(kernels)
