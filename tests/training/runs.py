"""fairseq-train in this process, without the start of an interpreter for each run.

`fairseq_cli.*.cli_main` do exactly this with `sys.argv`; that ``--user-dir`` finds the plugin
is tested in `tests/test_user_dir.py`, in processes of their own.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

import fairseq_labo  # noqa: F401  (registers the criterions)
from tests.conftest import reports

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

    def announcements(self) -> list[str]:
        """The messages about stage 2."""
        return [line.split(" | ")[2] for line in self.output.splitlines() if "stage 2" in line]


Train = Callable[..., Run]


@contextlib.contextmanager
def captured_output() -> Iterator[io.StringIO]:
    """What is logged and printed, as one text; pytest's own handlers are put back.

    One thread: these models are so small that two would spend their time waiting for each
    other, and resumed runs are compared bit by bit, here and across processes.
    """
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(levelname)s | %(name)s | %(message)s"))
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # Programs that were tested before in this process may have silenced them.
    silenced = {name: logging.getLogger(name).level for name in ("fairseq", "fairseq_labo")}
    for name in silenced:
        logging.getLogger(name).setLevel(logging.NOTSET)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hydra's and torch's, of fairseq
            yield output
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, earlier in silenced.items():
            logging.getLogger(name).setLevel(earlier)
        torch.set_num_threads(threads)


def forget_earlier_runs() -> None:
    """What fairseq keeps in function attributes, because it expects one run per process."""
    from fairseq import checkpoint_utils
    from fairseq_cli.train import should_stop_early

    for function in (checkpoint_utils.save_checkpoint, should_stop_early):
        vars(function).clear()


def fairseq_train(
    data: object, save_dir: Path, *flags: object, config: Mapping[str, Any] | None = None
) -> Run:
    """Run fairseq-train; an exception of its is the caller's.

    `config` sets keys of the configuration that have no flag of their own, as hydra does.
    """
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.distributed import utils as distributed_utils
    from fairseq_cli.train import main
    from omegaconf import OmegaConf

    from tests import quick_configuration

    quick_configuration.install()
    forget_earlier_runs()
    arguments = [str(data), "--save-dir", str(save_dir), *map(str, flags)]
    with captured_output() as output:
        namespace = options.parse_args_and_arch(options.get_training_parser(), arguments)
        configuration = convert_namespace_to_omegaconf(namespace)
        for key, value in (config or {}).items():
            OmegaConf.update(configuration, key, value)
        distributed_utils.call_main(configuration, main)
    return Run(output.getvalue(), save_dir)


def assert_same_parameters(found: Run, expected: Run) -> None:
    """Bit by bit."""
    ours, theirs = found.parameters(), expected.parameters()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(tensor, ours[name]), name
