"""Functions computed by another process."""

import os
import sys

import pytest

from fairseq_labo.experiments.training.apart import _quietly, apart


def test_result_of_another_process() -> None:
    assert apart(os.getpid) != os.getpid()


def test_what_it_raises_is_raised_here(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        apart(__import__, "no_such_module")
    assert caught.value.name == "no_such_module"
    assert "Traceback" not in capfd.readouterr().err


def test_only_the_result_leaves_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert _quietly(print, "noise") is None
    with pytest.raises(RuntimeError, match="exit status 3"):
        _quietly(sys.exit, 3)
    with pytest.raises(RuntimeError, match=r"^last words$"):
        _quietly(_end_like_argparse)
    assert capsys.readouterr() == ("", "")


def _end_like_argparse() -> None:
    print("usage\nlast words", file=sys.stderr)
    raise SystemExit(2)
