"""Where the kernels' tests run: on the CPU by Triton's interpreter, or on a GPU (--device cuda)."""

import importlib.util

import pytest
import torch

from fairseq_labo.ops.triton_loss import triton_unavailable

if importlib.util.find_spec("triton"):  # without it these tests are skipped
    from tests import quick_interpreter

    quick_interpreter.install()


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """Where the kernels run: `--device`; skips if they cannot."""
    name = str(request.config.getoption("--device"))
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    reason = triton_unavailable(torch.empty(1, 2, device=name))
    if reason is not None:
        pytest.skip(reason)
    return name
