"""Shared by the tests of experiments: one tiny model."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY, TRAINING, USER_DIR


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they gain, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoint_best.pt, _last.pt, and the newest three of every 45 updates."""
    folder = tmp_path_factory.mktemp("trained")
    command = [
        *(sys.executable, "-m", "fairseq_cli.train", toy_corpus / "bin", *TRAINING),
        *("--user-dir", USER_DIR, "--save-dir", folder, "--criterion", "labo_cross_entropy"),
        *("--no-epoch-checkpoints", "--save-interval-updates", "45"),
        *("--keep-interval-updates", "3", "--max-epoch", "5"),
    ]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
