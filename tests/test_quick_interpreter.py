"""The interpreter puts its own in the place of every builtin, also where some already stand."""

import inspect
import os

import pytest
import torch

from fairseq_labo.ops import labo_loss

pytest.importorskip("triton", reason="without it there is no interpreter")


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="on a GPU there is none")
def test_finds_every_builtin() -> None:
    import triton.language as tl
    from triton.language.core import is_builtin
    from triton.runtime import interpreter

    from tests import quick_interpreter

    quick_interpreter.install()
    assert interpreter.inspect is not inspect

    def check() -> None:
        for namespace in (tl, tl.core, tl.tensor, tl.math):
            ours, real = (
                {name for name, member in where.getmembers(namespace) if is_builtin(member)}
                for where in (interpreter.inspect, inspect)
            )
            assert ours == real

    check()
    labo_loss(torch.randn(2, 5), torch.tensor([0, 1]), label_smoothing=0.1, beta=2.0, impl="triton")
    check()  # what stood there does so again, but for Triton 3.2, where the interpreter's stay
    assert len(quick_interpreter._names_of_builtins(tl)) > 50
