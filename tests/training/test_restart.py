"""A restart in a later epoch: what fairseq does, and the flag that labo train names."""

from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.training.progress import stopped_after
from tests.training.runs import Train

pytestmark = pytest.mark.slow  # trainings


@pytest.mark.parametrize("rebuild", [True, False])
def test_restart_in_a_later_epoch(rebuild: bool, train: Train) -> None:
    """With batches formed anew in every epoch it changes nothing, by default it does."""
    flags = ["--criterion", "labo_cross_entropy", "--max-tokens", "1200", "--dropout", "0.1"]
    flags += ["--smoothing-epochs", "1", "--no-epoch-checkpoints"]
    flags += ["--update-epoch-batch-itr", "True"] if rebuild else []
    whole = train("whole", *flags, "--max-epoch", 2).parameters()
    train("parts", *flags, "--max-epoch", 1)
    resumed = train("parts", *flags, "--max-epoch", 2)
    assert "Loaded checkpoint" in resumed.output
    parts = resumed.parameters()
    same = all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert same == rebuild


def test_fairseq_trains_a_finished_run_on(train: Train) -> None:
    """Why labo train looks first; if this fails, fairseq has learned to."""
    flags = ("--criterion", "cross_entropy", "--max-update", 2)
    train("run", *flags)
    assert "num_updates: 3 >= max_update: 2" in train("run", *flags).output


def test_fairseq_forgets_an_early_stop(train: Train, tmp_path: Path) -> None:
    """Without learning nothing improves; the log is how labo train knows."""
    flags = ("--criterion", "cross_entropy", "--lr", 0, "--max-tokens", 2000)
    flags += ("--patience", 1, "--max-epoch", 9, "--no-epoch-checkpoints")
    log = tmp_path / "train.log"
    first = train("run", *flags)
    log.write_text(first.output, encoding="utf-8")
    assert stopped_after(log) == 1
    again = train("run", *flags)
    assert "begin training epoch 3" in again.output and "epoch 3" not in first.output
    # While the second training runs, the first one's early stop no longer counts.
    begun = again.output.partition("begin validation")[0]
    log.write_text(first.output + begun, encoding="utf-8")
    assert stopped_after(log) is None
