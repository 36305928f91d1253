"""Shared by the tests of progress: a checkpoint, and what is said of a run that has it."""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from fairseq_labo.experiments.training import progress
from tests.conftest import TINY_MODEL


def checkpoint(path: Path, *, epoch: int = 3, updates: int = 40, hours: float = 2.5) -> Path:
    """What the state is read from, in a file like fairseq's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "args": argparse.Namespace(arch="transformer"),
        "model": {},
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
    criterion = ["--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1"]
    return progress.training_config(["data", *TINY_MODEL, "--optimizer", "adam", *criterion])


StateOf = Callable[..., tuple[bool, str]]


@pytest.fixture
def state_of(parsed: Any, tmp_path: Path) -> StateOf:
    """The progress of a run in `tmp_path` under options like "optimization.max_update=40"."""

    def state(*options: str) -> tuple[bool, str]:
        config = copy.deepcopy(parsed)
        for option in (f"checkpoint.save_dir={tmp_path}", *options):
            key, value = option.split("=")
            section, _, name = key.rpartition(".")
            assert name in OmegaConf.select(config, section), key
            OmegaConf.update(config, key, yaml.safe_load(value))
        return progress.progress(config, tmp_path / "train.log")

    return state
