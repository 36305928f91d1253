"""The plugin stays light: training imports nothing of evaluation."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def test_the_plugin_imports_no_evaluation() -> None:
    modules = ("fairseq_labo.evaluation", "labo_data", "matplotlib", "jinja2", "torchmetrics")
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


def test_evaluation_says_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import fairseq_labo.evaluation"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
    )
    assert done.returncode == 1 and "expected the package labo_data" in done.stderr
