"""What only fairseq knows of a criterion, asked in a process of its own: its flags.

The training counts its memory from what the process that starts it holds, so that ``labo train``
itself imports neither torch nor fairseq.
"""

import argparse
import io
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from fairseq_labo.experiments.training.flags import KINDS, Flag


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``; what it raises is raised here, what it prints is dropped."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_quietly, function, *arguments).result()


def _quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        try:
            return function(*arguments)
        except SystemExit as error:  # argparse's, which has printed why
            lines = said.getvalue().strip().splitlines() or [f"exit status {error.code}"]
            raise RuntimeError(lines[-1]) from None


@dataclass(frozen=True)
class Criterion:
    """A criterion: its flags, and the name under which it logs NLL in validation."""

    flags: Mapping[str, Flag]
    nll_metric: str


def registered(name: str, user_dir: str | None) -> Criterion | list[str]:
    """A criterion of fairseq, of this package or of `user_dir`; the names of all if it is none.

    Imports fairseq: to be asked `apart`.
    """
    # Importing fairseq also registers this package's criterions, see fairseq_labo/__init__.py.
    from fairseq.criterions import CRITERION_REGISTRY
    from fairseq.utils import import_user_module

    if user_dir is not None:
        import_user_module(argparse.Namespace(user_dir=user_dir))
    if name not in CRITERION_REGISTRY:
        return sorted(CRITERION_REGISTRY)
    criterion = CRITERION_REGISTRY[name]
    parser = argparse.ArgumentParser(add_help=False)
    criterion.add_args(parser)
    flags = {action.dest: _flag(action) for action in parser._actions if action.option_strings}
    for of_every_training in ("sentence_avg", "train_subset"):
        flags.pop(of_every_training, None)
    return Criterion(flags, _nll_metric(criterion))


def _flag(action: argparse.Action) -> Flag:
    kind: Any = bool if action.nargs == 0 else action.type
    kind = kind if kind in KINDS else str
    return Flag(kind, action.help or "", action.default if kind is bool else None)


def _nll_metric(criterion: Any) -> str:
    """``nll_loss`` if the criterion logs one of a batch that has one, else ``loss``.

    Asked is its own reduce_metrics, on the numbers of a batch of one token.
    """
    from fairseq.logging import metrics

    batch = dict.fromkeys(("loss", "nll_loss", "ntokens", "nsentences", "sample_size"), 1)
    with metrics.aggregate(new_root=True) as logged:
        try:
            criterion.reduce_metrics([batch])
        except Exception:  # it wants more than that: it is not one of these
            return "loss"
    return "nll_loss" if "nll_loss" in logged else "loss"
