"""fairseq's checkpoints under the safe loader: what loads, and what is refused."""

import argparse
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from omegaconf import OmegaConf

import fairseq_labo  # noqa: F401  (allow-lists the types)
from fairseq_labo.checkpoints import checkpoint_types
from tests.conftest import REPOSITORY, USER_DIR, run_fairseq


def reload(content: Any) -> Any:
    """Save and load again, with torch's default loader (the safe one)."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return torch.load(buffer)


def test_what_fairseq_saves_and_broadcasts_loads() -> None:
    config = OmegaConf.create(
        {"model": argparse.Namespace(arch="tiny"), "lr": [0.1], "nested": {"beta": float("inf")}},
        flags={"allow_objects": True},
    )
    loaded = reload({"cfg": config, "args": argparse.Namespace(seed=1), "bleu": numpy.arange(4)})
    assert loaded["cfg"] == config
    assert loaded["cfg"].model.arch == "tiny"
    assert loaded["args"].seed == 1
    assert loaded["bleu"].tolist() == [0, 1, 2, 3]


@pytest.mark.slow
def test_without_the_plugin_torch_refuses_a_namespace() -> None:
    """Or the tests here would prove nothing."""
    program = """
import argparse, io, torch
buffer = io.BytesIO()
torch.save({"args": argparse.Namespace(seed=1)}, buffer)
buffer.seek(0)
torch.load(buffer)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0 and "argparse.Namespace" in done.stderr


class Custom:
    """A type that is plain data, too, but not fairseq's."""


def test_other_types_are_refused_by_name() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"tests\.test_checkpoints\.Custom"):
        reload({"args": argparse.Namespace(inner=Custom())})


class Malicious:
    """Unpickled by an unsafe loader, this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: argparse.Namespace(arch=x)])
def test_malicious_pickle_does_not_execute(tmp_path: Path, wrap: Any) -> None:
    trap = tmp_path / "executed"
    buffer = io.BytesIO()
    torch.save({"model": {}, "args": wrap(Malicious(trap))}, buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        torch.load(buffer)
    assert not trap.exists()
    buffer.seek(0)
    torch.load(buffer, weights_only=False)
    assert trap.exists()  # the trap does work


@pytest.mark.slow
def test_malicious_checkpoint_stops_generation(tmp_path: Path, toy_corpus: Path) -> None:
    trap, checkpoint = tmp_path / "executed", tmp_path / "checkpoint.pt"
    torch.save({"cfg": None, "args": Malicious(trap), "model": {}}, checkpoint)
    done = run_fairseq(
        "generate",
        toy_corpus / "bin",
        *("--user-dir", USER_DIR, "--path", checkpoint, "--cpu"),
        check=False,
    )
    assert done.returncode != 0
    assert "Weights only load failed" in done.stdout and "mkdir" in done.stdout
    assert not trap.exists()


def test_the_safe_loader_is_never_turned_off() -> None:
    """No call of ours passes weights_only=False, and nothing executable is allow-listed."""
    sources = [
        path
        for folder in ("fairseq_labo", "scripts", "data-prep")
        for path in (REPOSITORY / folder).rglob("*.py")
    ]
    assert len(sources) > 15
    for path in sources:
        assert "weights_only=False" not in path.read_text(encoding="utf-8"), path
    functions = {
        entry[0] if isinstance(entry, tuple) else entry
        for entry in checkpoint_types()
        if isinstance(entry, tuple) or not isinstance(entry, type)
    }
    assert {function.__name__ for function in functions} == {"_reconstruct"}
