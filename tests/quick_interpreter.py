"""Triton's interpreter without its search, at every call of a function in a kernel, for builtins.

It puts its own in the place of those of ``triton.language``, which it finds among all that the
module holds: half of the time that a test of a kernel takes. Where they stand does not change.
"""

import functools
import inspect
from typing import Any

import triton.language as tl
from triton.language.core import is_builtin
from triton.runtime import interpreter


@functools.cache
def _names_of_builtins(namespace: Any) -> list[str]:
    return [name for name, member in inspect.getmembers(namespace) if is_builtin(member)]


class _Inspect:
    """In the place of the interpreter's ``inspect``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    @staticmethod
    def getmembers(namespace: Any) -> list[tuple[str, Any]]:
        return [(name, getattr(namespace, name)) for name in _names_of_builtins(namespace)]


def install() -> None:
    """Let the interpreter use it, in this process; to be called outside a kernel."""
    for namespace in (tl, tl.core, tl.tensor, tl.math):  # before its own stand in their places
        _names_of_builtins(namespace)
    interpreter.inspect = _Inspect()
