"""Shared by the tests of evaluation: one tiny model, and one small study."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.data import prepare
from fairseq_labo.experiments.data.corpora import microworld
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


STUDY = """\
name: small
description: The embedded corpus, small.
corpus: corpus
seeds: [1, 2]
baseline: label_smoothing
train:
  size: small
  epochs: 3
  extra: >-
    --max-tokens 300 --lr 1e-2 --warmup-updates 10 --encoder-layers 1 --decoder-layers 1
    --encoder-embed-dim 32 --decoder-embed-dim 32 --encoder-ffn-embed-dim 64
    --decoder-ffn-embed-dim 64 --cpu
evaluate: {beam: 1, allow_empty: true}
significance: {bootstrap: 100, randomization: 100}
methods:
  cross_entropy: {criterion: cross_entropy}
  label_smoothing: {criterion: label_smoothed_cross_entropy, label_smoothing: 0.1}
  tsla: {criterion: tsla_cross_entropy, label_smoothing: 0.1, smoothing_epochs: 1}
  labo: {criterion: labo_cross_entropy, label_smoothing: 0.1, labo_beta: 2}
"""


def compare(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """scripts/compare.sh of the study in `folder`, started."""
    return subprocess.Popen(
        [
            *(str(REPOSITORY / "scripts" / "compare.sh"), str(folder / "small.yaml")),
            *("--output", str(folder / "out"), "--jobs", "2", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "VENV": sys.prefix, "OMP_NUM_THREADS": "1"},
    )


@dataclass(frozen=True)
class FinishedStudy:
    """A study's folder; the runs that were trained before it was terminated; its last output."""

    folder: Path
    trained_before: dict[str, float]
    output: str


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> FinishedStudy:
    """Four methods, two seeds on the embedded corpus, terminated in the middle, then completed."""
    folder = tmp_path_factory.mktemp("study")
    sizes = {"train": 300, "valid": 30, "test": 40}
    options = ["microworld", "--destdir", str(folder / "corpus"), "--bpe-size", "300"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(microworld, "SIZES", sizes)
        assert prepare.main(options) == 0
    (folder / "small.yaml").write_text(STUDY, encoding="utf-8")
    first = compare(folder)
    runs = folder / "out" / "runs"
    end = time.monotonic() + 200
    while time.monotonic() < end and first.poll() is None and not list(runs.glob("*/*/train.json")):
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM, output
    trained = {
        str(path.parent.relative_to(runs)): path.stat().st_mtime
        for path in runs.glob("*/*/train.json")
    }
    second = compare(folder)
    output, _ = second.communicate(timeout=400)
    assert second.returncode == 0, output
    return FinishedStudy(folder / "out", trained, output)
