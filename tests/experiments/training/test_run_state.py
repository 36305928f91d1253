"""Whether a run is finished, read from arguments, checkpoint and log."""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from fairseq_labo.experiments.training import run_state
from tests.conftest import TINY_MODEL

EARLY_STOP = "early stop since valid performance hasn't improved for last {} runs"


def checkpoint(path: Path, *, epoch: int = 3, updates: int = 40, hours: float = 2.5) -> Path:
    """What the state is read from, in a file like fairseq's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "args": argparse.Namespace(arch="tiny"),
        "optimizer_history": [{"num_updates": 7}, {"num_updates": updates}],
        "extra_state": {
            "train_iterator": {"epoch": epoch, "iterations_in_epoch": 0},
            "previous_training_time": hours * 3600,
        },
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def parsed() -> Any:
    """fairseq's own configuration of a training; parsing it takes half a second."""
    return run_state.training_config(["data", *TINY_MODEL, "--optimizer", "adam"])


StateOf = Callable[..., run_state.RunState]


@pytest.fixture
def state_of(parsed: Any, tmp_path: Path) -> StateOf:
    """The state of a run in `tmp_path` under options like "optimization.max_update=40"."""

    def state(*options: str) -> run_state.RunState:
        config = copy.deepcopy(parsed)
        for option in (f"checkpoint.save_dir={tmp_path}", *options):
            key, value = option.split("=")
            assert OmegaConf.select(config, key) is not None, key
            OmegaConf.update(config, key, yaml.safe_load(value))
        return run_state.run_state(config, log=tmp_path / "train.log")

    return state


def test_flags_of_the_command_line(tmp_path: Path) -> None:
    """As main reads them: fairseq's parser knows them, the last one of a flag counts."""
    checkpoint(tmp_path / "checkpoint_last.pt")
    arguments = ["data", "--save-dir", str(tmp_path), *TINY_MODEL, "--optimizer", "adam"]
    arguments += ["--max-epoch", "9", "--max-epoch", "2", "--update-epoch-batch-itr", "True"]
    state = run_state.run_state(run_state.training_config(arguments))
    assert state.finished == "2 epochs are done of --max-epoch 2"
    assert not state.rebuilds_batches


def test_a_new_run_begins(state_of: StateOf) -> None:
    assert state_of("optimization.max_update=1") == run_state.RunState()


@pytest.mark.parametrize(
    ("options", "finished"),
    [
        ([], None),
        (["optimization.max_update=41"], None),
        (["optimization.max_update=40"], "40 updates are done of --max-update 40"),
        (["optimization.max_update=30"], "40 updates are done of --max-update 30"),
        (["optimization.max_epoch=3"], None),
        (["optimization.max_epoch=2"], "2 epochs are done of --max-epoch 2"),
        (["optimization.stop_time_hours=3"], None),
        (["optimization.stop_time_hours=2"], "2.5 hours are over of --stop-time-hours 2"),
        # What resets the count begins anew.
        (["optimization.max_update=40", "checkpoint.reset_optimizer=true"], None),
        (["optimization.max_epoch=2", "checkpoint.reset_dataloader=true"], None),
    ],
)
def test_limits(
    options: list[str], finished: str | None, state_of: StateOf, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "checkpoint_last.pt")
    state = state_of(*options)
    assert state.checkpoint == str(path)
    assert state.finished == finished


@pytest.mark.parametrize(
    ("lines", "patience", "finished"),
    [
        ([EARLY_STOP.format(3)], 3, True),
        ([EARLY_STOP.format(3)], 4, False),  # more patience: it goes on
        ([EARLY_STOP.format(3)], 0, False),
        ([EARLY_STOP.format(3), "Start iterating over samples"], 3, False),  # it went on
        (["Start iterating over samples", "saved"], 3, False),
        ([], 3, False),
    ],
)
def test_early_stop(
    lines: list[str], patience: int, finished: bool, state_of: StateOf, tmp_path: Path
) -> None:
    checkpoint(tmp_path / "checkpoint_last.pt")
    (tmp_path / "train.log").write_text("\n".join(lines), encoding="utf-8")
    state = state_of(f"checkpoint.patience={patience}")
    assert (state.finished is not None) == finished
    if finished:
        assert "it stopped early: 3 validations without" in str(state.finished)


def test_early_stop_needs_a_log(state_of: StateOf, tmp_path: Path) -> None:
    checkpoint(tmp_path / "checkpoint_last.pt")
    assert state_of("checkpoint.patience=3").finished is None


@pytest.mark.parametrize(
    ("epoch", "option", "rebuilds"),
    [
        (1, "checkpoint.patience=-1", False),
        (2, "checkpoint.patience=-1", True),
        (2, "dataset.update_epoch_batch_itr=true", False),
        (2, "checkpoint.reset_dataloader=true", False),
    ],
)
def test_batches_of_a_restart(
    epoch: int, option: str, rebuilds: bool, state_of: StateOf, tmp_path: Path
) -> None:
    checkpoint(tmp_path / "checkpoint_last.pt", epoch=epoch)
    state = state_of(option)
    assert (state.epoch, state.num_updates) == (1 if "reset" in option else epoch, 40)
    assert state.rebuilds_batches == rebuilds


def test_another_checkpoint_is_asked_where_one_is_named(state_of: StateOf, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other" / "model.pt", updates=90)
    checkpoint(tmp_path / "checkpoint_last.pt", updates=10)
    state = state_of(f"checkpoint.restore_file={other}", "optimization.max_update=50")
    assert state.finished == "90 updates are done of --max-update 50"
