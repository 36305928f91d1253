"""fairseq's command line in this process, and a teacher, as fixtures."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TRAINING
from tests.shared import made_once
from tests.training.runs import Run, Train, captured_output, fairseq_train


@pytest.fixture
def train(toy_corpus: Path, tmp_path: Path) -> Train:
    """`train(name, *flags)`: a tiny transformer on the toy corpus, saved in tmp_path/name."""

    def train(name: str, *flags: object, **options: Any) -> Run:
        return fairseq_train(toy_corpus / "bin", tmp_path / name, *TRAINING, *flags, **options)

    return train


@pytest.fixture
def fairseq(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`fairseq("generate", *arguments)`: another entry point of fairseq; returns its output."""

    def run(tool: str, *arguments: object) -> str:
        module = importlib.import_module(f"fairseq_cli.{tool}")
        # A worker process of the data loader may take seconds to end.
        common = ("--cpu", "--num-workers", "0")
        monkeypatch.setattr("sys.argv", [f"fairseq-{tool}", *common, *map(str, arguments)])
        with captured_output() as output:
            module.cli_main()
        return output.getvalue()

    return run


@pytest.fixture(scope="session")
def teacher(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of another seed, trained until it translates most words right."""
    flags = ("--criterion", "cross_entropy", "--max-epoch", 4, "--seed", 9)
    folder = made_once(
        tmp_path_factory,
        "teacher",
        lambda folder: fairseq_train(toy_corpus / "bin", folder, *TRAINING, *flags),
    )
    return folder / "checkpoint_last.pt"
