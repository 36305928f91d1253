"""Names that numpy has dropped, for the modules of fairseq that still use them.

fairseq 0.12 says np.int, np.float, np.compat.long and np.percentile(interpolation=), which numpy
1.24 to 2.4 removed. The modules below get a numpy that has them; numpy itself stays as it is for
everybody else. A test scans fairseq's code for such names and finds no others on our paths.
"""

import importlib
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy

MODULES = (
    "fairseq.data.data_utils",
    "fairseq.data.language_pair_dataset",
    "fairseq.data.token_block_dataset",
)


def _percentile(a: Any, q: Any, *, interpolation: str) -> Any:
    return numpy.percentile(a, q, method=interpolation)  # type: ignore[call-overload]


DROPPED = {
    "int": int,
    "float": float,
    "compat": SimpleNamespace(long=int),
    "percentile": _percentile,
}


class _Numpy(ModuleType):
    """numpy, and the dropped names where it lacks them."""

    def __getattr__(self, name: str) -> Any:
        return DROPPED[name] if name in DROPPED else getattr(numpy, name)


def restore_dropped_names() -> None:
    """Let the modules of fairseq see the dropped names; numpy 1.25, which has some, too."""
    for name in MODULES:
        importlib.import_module(name).np = _Numpy("numpy")  # type: ignore[attr-defined]
