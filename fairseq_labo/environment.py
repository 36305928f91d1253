"""Is there a fairseq that can be imported, and if not, what to do; and what waits for it."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

FAIRSEQ_DISTRIBUTION = "fairseq-fixed==0.12.3.1"
INSTALL_COMMAND = (
    "pip install torch cython numpy setuptools wheel && "
    f"pip install --no-build-isolation '{FAIRSEQ_DISTRIBUTION}'"
)


class FairseqUnavailable(ImportError):
    """fairseq is missing, or is a distribution that this Python cannot import."""


def fairseq_installed() -> bool:
    """Whether a module `fairseq` can be found (it may still fail to import)."""
    return importlib.util.find_spec("fairseq") is not None


def require_fairseq() -> None:
    """Import fairseq, or raise `FairseqUnavailable` with the command that installs it."""
    if not fairseq_installed():
        raise FairseqUnavailable(
            f"the criterions of fairseq_labo need fairseq, and no module 'fairseq' was found.\n"
            f"Install the distribution that runs on Python 3.11 and later:\n"
            f"    {INSTALL_COMMAND}\n"
            f"(the same as the extra fairseq_labo[fairseq])."
        )
    try:
        importlib.import_module("fairseq")
    except Exception as cause:
        raise FairseqUnavailable(
            f"the installed fairseq cannot be imported: {type(cause).__name__}: {cause}\n"
            f"fairseq 0.12.2 from PyPI does not import on Python 3.11 and later. Replace it:\n"
            f"    pip uninstall -y fairseq && {INSTALL_COMMAND}"
        ) from cause


def after_import(name: str, action: Callable[[], None]) -> None:
    """Call `action` now if the module `name` is imported, else as soon as it has been."""
    if sys.modules.get(name) is not None:
        action()
    else:
        sys.meta_path.insert(0, _AfterImport(name, action))


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds one module as the other finders do, and has the action called behind its code."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name, self.action = name, action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                    self.action()

            spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec
