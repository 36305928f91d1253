"""Is there a fairseq that can be imported, and if not, what to do; and what waits for it."""

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

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


@functools.cache  # it reads the lists of files of all that is installed
def providers_of_fairseq() -> list[str]:
    """The distributions that provide the module fairseq: fairseq-fixed, ve-fairseq, or others."""
    return sorted(set(importlib.metadata.packages_distributions().get("fairseq", [])))


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
        # fairseq-fixed, ve-fairseq and others provide the same module: theirs is another fault.
        providers = providers_of_fairseq()
        remedy = f"Install what {' and '.join(providers)} needs, or install it anew."
        if providers in ([], ["fairseq"]):
            remedy = (
                "fairseq 0.12.2 from PyPI does not import on Python 3.11 and later. Replace it:\n"
                f"    pip uninstall -y fairseq && {INSTALL_COMMAND}"
            )
        raise FairseqUnavailable(
            f"the installed fairseq cannot be imported: {type(cause).__name__}: {cause}\n{remedy}"
        ) from cause


def after_import(name: str, action: Callable[[], None]) -> None:
    """Call `action` now if the module `name` is imported, else as soon as it has been."""

    def find_spec(fullname: str, *path_and_target: Any) -> ModuleSpec | None:
        """Find the module as the other finders do, and have the action called behind its code."""
        if fullname != name:
            return None
        others = [each for each in sys.meta_path if each is not finder]
        specs = (each.find_spec(fullname, *path_and_target) for each in others)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                if finder in sys.meta_path:
                    sys.meta_path.remove(finder)
                    action()

            spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec

    finder: Any = SimpleNamespace(find_spec=find_spec)
    if sys.modules.get(name) is not None:
        action()
    else:
        sys.meta_path.insert(0, finder)
