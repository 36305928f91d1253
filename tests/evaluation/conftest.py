"""One tiny model for all tests of evaluation, with a checkpoint every 45 updates."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TRAINING, USER_DIR


@pytest.fixture(scope="session")
def trained(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder: checkpoint_best.pt, _last.pt and the newest three by updates."""
    folder = tmp_path_factory.mktemp("trained")
    command = [
        *(sys.executable, "-m", "fairseq_cli.train", toy_corpus / "bin", *TRAINING),
        *("--user-dir", USER_DIR, "--save-dir", folder, "--criterion", "labo_cross_entropy"),
        *("--no-epoch-checkpoints", "--save-interval-updates", "45"),
        *("--keep-interval-updates", "3", "--max-epoch", "5"),
    ]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=REPOSITORY, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
