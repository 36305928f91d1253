"""The matrix of versions: a row passes only if all of its steps do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# Stands for Python: makes an "environment" of itself, installs nothing, and fails where told to.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    "-m venv "*) mkdir -p "$3/bin"; ln -s "$0" "$3/bin/python"; ln -s "$0" "$3/bin/labo"; exit ;;
    *" pytest "*) echo "1 failed, 7 passed in 2s"; echo "$0 in $PWD, $HOME/x"
        realpath -s --relative-to="$PWD" "$0" ;;
    -c* | "-" | "- "*) exec {real} "$@" ;;
esac
case "$*" in {failing}) exit 3 ;; esac
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failing", "outcome"),
    [
        ("nothing", "passed"),
        ('*" pytest "*', "failed"),
        ('"train "*', "failed"),
        ('*"evaluate "*', "failed"),
        ('*"install "*fairseq*', "failed"),
    ],
)
def test_a_row_passes_only_if_every_step_does(tmp_path: Path, failing: str, outcome: str) -> None:
    """What stands before && or || goes on after an error: failed tests were called passed."""
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    python = tmp_path / "pyenv" / "versions" / "3.12.0" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(real=sys.executable, failing=failing), "utf-8")
    python.chmod(0o755)
    shutil.copytree(python.parents[1], python.parents[2] / "3.11.0")
    done = subprocess.run(
        [tmp_path / "scripts" / "test-matrix.sh", "3.12:newest"],
        env={**os.environ, "PYENV_ROOT": str(tmp_path / "pyenv"), "WORK": str(tmp_path / "work")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (0 if outcome == "passed" else 1), done.stderr
    results = tmp_path / "results" / "compatibility"
    row = (results / "py3.12-torch-newest.tsv").read_text("utf-8").split("\t")
    assert row[1] == "3.12:newest" and row[6] == outcome
    log = (results / "py3.12-torch-newest.log").read_text("utf-8")
    assert str(tmp_path) not in log and os.environ["HOME"] not in log  # it is published
    assert failing.startswith('*"install') or "\nWORK/venv-3.12-newest/bin/python\n" in log
    assert log.startswith("commit not known\n")  # this copy of the scripts has none
    assert failing.startswith('*"install') or row[7] == "1 failed, 7 passed"
