"""Evaluations of a tiny model, in this process, and what is said of those that are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.files import read_lines

BEST = "checkpoint_best.pt"
SENTENCES = 5


def words(data: Path, save: Path, *options: object) -> list[str]:
    given = ["--data", data, "--checkpoint", save / BEST, "--cpu", "--allow-empty", *options]
    return ["evaluate", *map(str, given)]


def translated(words: list[str]) -> None:
    """fairseq-generate's output where the translations are the references."""
    tokens = read_lines(Path(words[0]).parent / "tok" / "test.en")
    for number, line in enumerate(tokens):
        print(f"T-{number}\t{line}\nD-{number}\t-0.5\t{line}")


def changed(save: Path, change: Callable[[dict[str, Any]], object]) -> None:
    state = torch.load(save / BEST, weights_only=True)
    change(state)
    torch.save(state, save / BEST)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said
