"""A function computed in a process of its own, for what needs torch or fairseq.

The training counts its memory from what the process that starts it holds, so that ``labo train``
itself imports neither.
"""

import io
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


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
