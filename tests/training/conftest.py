"""fairseq-train in this process: its real command line, without the start of an interpreter.

`fairseq_cli.train.cli_main` does exactly this with `sys.argv`; that ``--user-dir`` finds the
plugin is tested in `tests/test_user_dir.py`, in processes of their own.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import fairseq_labo  # noqa: F401  (registers the criterions)
from tests.conftest import TRAINING, reports

LABO = ("--criterion", "labo_cross_entropy", "--label-smoothing", "0.2", "--labo-beta", "2")
TSLA = ("--criterion", "tsla_cross_entropy", "--label-smoothing", "0.2")


class Run(NamedTuple):
    """What a run of fairseq-train left: its log and its folder of checkpoints."""

    output: str
    save_dir: Path

    def checkpoint(self, name: str = "checkpoint_last.pt") -> dict[str, Any]:
        return torch.load(self.save_dir / name)

    def parameters(self, name: str = "checkpoint_last.pt") -> dict[str, torch.Tensor]:
        return self.checkpoint(name)["model"]

    def logged(self, key: str, kind: str = "train_inner") -> list[float]:
        """The values of one key in the order of the reports, where there was one."""
        values = [report.get(key) for report in reports(self.output, kind)]
        return [float(value) for value in values if value is not None]

    def last(self, key: str, kind: str = "valid") -> float:
        return self.logged(f"{kind}_{key}", kind)[-1]


Train = Callable[..., Run]


@contextlib.contextmanager
def captured_log() -> Iterator[list[str]]:
    """Everything that is logged, one line a record, as fairseq-train prints it."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter("%(levelname)s | %(name)s | %(message)s"))
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def forget_earlier_runs() -> None:
    """What fairseq keeps in function attributes, because it expects one run per process."""
    from fairseq import checkpoint_utils
    from fairseq_cli.train import should_stop_early

    for function in (checkpoint_utils.save_checkpoint, should_stop_early):
        vars(function).clear()


def fairseq_train(data: object, save_dir: Path, *flags: object) -> Run:
    """Run fairseq-train; an exception of its is the caller's."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.distributed import utils as distributed_utils
    from fairseq_cli.train import main

    forget_earlier_runs()
    arguments = [str(data), "--save-dir", str(save_dir), *map(str, flags)]
    with captured_log() as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hydra's and torch's, of fairseq
        namespace = options.parse_args_and_arch(options.get_training_parser(), arguments)
        distributed_utils.call_main(convert_namespace_to_omegaconf(namespace), main)
    return Run("\n".join(lines), save_dir)


@pytest.fixture
def train(toy_corpus: Path, tmp_path: Path) -> Train:
    """`train(name, *flags)`: a tiny transformer on the toy corpus, saved in tmp_path/name."""

    def train(name: str, *flags: object) -> Run:
        return fairseq_train(toy_corpus / "bin", tmp_path / name, *TRAINING, *flags)

    return train


def assert_same_parameters(found: Run, expected: Run) -> None:
    """Bit by bit."""
    ours, theirs = found.parameters(), expected.parameters()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(tensor, ours[name]), name
