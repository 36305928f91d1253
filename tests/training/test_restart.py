"""A restart in a later epoch: what fairseq does, and the flag that scripts/train.sh names."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

TrainHere = Callable[..., str]


def parameters(save_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(save_dir / "checkpoint_last.pt")["model"]


@pytest.mark.parametrize("rebuild", [True, False])
def test_restart_in_a_later_epoch(rebuild: bool, tmp_path: Path, train_here: TrainHere) -> None:
    """With batches formed anew in every epoch it changes nothing, by default it does."""
    flags = ["--criterion", "labo_cross_entropy", "--max-tokens", "1200", "--dropout", "0.1"]
    flags += ["--smoothing-epochs", "1", "--no-epoch-checkpoints"]
    flags += ["--update-epoch-batch-itr", "True"] if rebuild else []
    train_here(tmp_path / "whole", *flags, "--max-epoch", 2)
    train_here(tmp_path / "parts", *flags, "--max-epoch", 1)
    log = train_here(tmp_path / "parts", *flags, "--max-epoch", 2)
    assert "Loaded checkpoint" in log
    whole, parts = parameters(tmp_path / "whole"), parameters(tmp_path / "parts")
    same = all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert same == rebuild


def test_fairseq_trains_a_finished_run_on(tmp_path: Path, train_here: TrainHere) -> None:
    """Why scripts/train.sh looks first; if this fails, fairseq has learned to."""
    flags = ("--criterion", "cross_entropy", "--max-update", 2)
    train_here(tmp_path, *flags)
    assert "num_updates: 3 >= max_update: 2" in train_here(tmp_path, *flags)
