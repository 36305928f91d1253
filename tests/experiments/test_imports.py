"""The plugin stays light: training imports nothing of evaluation."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_the_plugin_imports_no_evaluation() -> None:
    modules = ("fairseq_labo.experiments", "microworld", "matplotlib", "jinja2", "torchmetrics")
    program = (
        "import sys, fairseq_labo, fairseq_labo.criterions\n"
        f"print([name for name in {modules!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY)},
        cwd="/",
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
