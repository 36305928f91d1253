"""What `quick_imports` leaves out is as it was where it is used."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

BOARD = "import tempfile; from torch.utils.tensorboard"
EMPTY = "(folder := tempfile.TemporaryDirectory()).name"
WRITER = "<class 'torch.utils.tensorboard.writer.SummaryWriter'>"


def output(program: str) -> list[str]:
    """The lines that a new process prints, with what conftest puts on its path."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_training_imports_no_compiler() -> None:
    program = (
        "import sys, torch, fairseq_cli.train\n"
        "from fairseq.optim.adam import Adam\n"
        "x = torch.ones(1, requires_grad=True)\n"
        "optimizer = Adam([x], lr=0.5)\n"
        "x.backward()\n"
        "optimizer.step()\n"
        "loaded = ['torch._dynamo', 'sklearn.base', 'scipy.stats._stats_py', 'tensorboard']\n"
        "print(round(x.item(), 3), [name for name in loaded if name in sys.modules])\n"
    )
    assert output(program)[-1] == "0.5 []"


def test_what_is_not_to_be_compiled_is_not() -> None:
    """Also where the compiler comes after the function was marked, and was called."""
    program = (
        "import torch\n"
        "@torch._disable_dynamo\n"
        "def plain(x):\n"
        "    return torch.compiler.is_compiling(), x\n"
        "@torch._disable_dynamo(recursive=False)\n"
        "def options(x):\n"
        "    return torch.compiler.is_compiling(), x\n"
        "def both(x):\n"
        "    return torch.compiler.is_compiling(), plain(x)[0], options(x)[0]\n"
        "x = torch.ones(1)\n"
        "print(both(x))\n"
        "print(torch.compile(both, backend='eager')(x))\n"
    )
    assert output(program) == ["(False, False, False)", "(True, False, False)"]


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("from scipy.stats import pearsonr; print(pearsonr([0, 0, 1], [0, 0, 2])[0])", "1.0"),
        ("from scipy import stats; print(stats.norm.cdf(0))", "0.5"),
        ("import scipy.stats; print(scipy.stats.norm.cdf(0))", "0.5"),
        ("from sklearn.metrics import f1_score; print(f1_score([1, 0], [1, 0]))", "1.0"),
        (f"{BOARD} import SummaryWriter; print(type(SummaryWriter({EMPTY})))", WRITER),
        ("from sklearn import metrics; print(metrics.accuracy_score([1, 0], [1, 1]))", "0.5"),
    ],
)  # fmt: skip
def test_deferred_functions_are_the_real_ones(call: str, value: str) -> None:
    assert output(call) == [value]
