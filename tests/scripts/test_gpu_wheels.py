"""Wheels for a GPU machine: the lock's versions of everything, and what was asked for beside."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# Stands for Python: says what it was called with.
PYTHON = '#!/usr/bin/env bash\nprintf "%s\\n" "$@" "" >>{record}\n'


def collect(tmp_path: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    python, record = tmp_path / "python", tmp_path / "calls"
    python.write_text(PYTHON.format(record=record), "utf-8")
    python.chmod(0o755)
    done = subprocess.run(
        [REPOSITORY / "scripts/gpu-wheels.sh", *arguments],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
    )
    return done, record.read_text("utf-8").splitlines() if record.exists() else []


@pytest.mark.parametrize("all_of_them", [False, True])
def test_every_version_is_the_locks(tmp_path: Path, all_of_them: bool) -> None:
    wheels = str(tmp_path / "wheels")
    done, words = collect(tmp_path, *(["--all"] if all_of_them else []), wheels, "flash-attn")
    assert done.returncode == 0, done.stderr
    locked = (REPOSITORY / "scripts/locks/py312.txt").read_text("utf-8").lower()
    pinned = [word for word in words if "==" in word]
    assert len(pinned) > (40 if all_of_them else 20)
    for word in pinned:
        assert re.search(rf"^{re.escape(word.lower())}(\s|$)", locked, re.MULTILINE), word
    assert {"flash-attn", "liger-kernel", wheels} <= set(words)
    assert any(word.startswith("fairseq-fixed==") for word in pinned)
    assert not any(re.match(r"(torch|triton|numpy)==", word) for word in pinned)
    assert any(word.startswith("scipy==") for word in pinned) == all_of_them


def test_a_folder_is_needed(tmp_path: Path) -> None:
    done, words = collect(tmp_path)
    assert done.returncode != 0 and "expected a FOLDER, found none" in done.stderr
    assert not words
