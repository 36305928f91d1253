"""What the tests' processes need not import: two thirds of the time that a tiny training takes.

Python imports this module when it starts with this folder on PYTHONPATH. What is left out comes
as soon as it is used:

- the compiler, ``torch._dynamo``: torch marks functions of its optimizers as not to be compiled,
  and imports the compiler at the first call of one, to tell it so. Here it is told where something
  else has imported it.
- scikit-learn and ``scipy.stats``: fairseq takes functions from them for tasks other than
  translation. TensorBoard: only --tensorboard-logdir uses it.
"""

import functools
import importlib
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

DEFERRED = {
    "sklearn": (),
    "sklearn.metrics": ("f1_score", "matthews_corrcoef"),
    "scipy.stats": ("pearsonr", "spearmanr"),
    "torch.utils.tensorboard": ("SummaryWriter",),
}


class Deferred(ModuleType):
    """Stands for a module until more is asked of it than its functions' names."""

    def __init__(self, name: str, functions: tuple[str, ...]) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        for each in functions:
            setattr(self, each, functools.partial(self._call, each))

    def _call(self, function: str, *arguments: Any, **keywords: Any) -> Any:
        return getattr(_import(self.__name__), function)(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_import(self.__name__), name)


def _import(name: str) -> Any:
    package = name.partition(".")[0]
    for each in DEFERRED:
        if isinstance(sys.modules.get(each), Deferred) and each.partition(".")[0] == package:
            del sys.modules[each]
    return importlib.import_module(name)


class CompilerFinder(importlib.machinery.PathFinder):
    """Finds ``torch._compile``, and changes it when it has been executed."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        """The specification of that module, None for any other."""
        if fullname != "torch._compile":
            return None
        spec = super().find_spec(fullname, path, target)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            module._disable_dynamo = _told_once_imported(module._disable_dynamo)

        spec.loader.exec_module = execute_and_change
        return spec


def _told_once_imported(disable_dynamo: Any) -> Any:
    @functools.wraps(disable_dynamo)
    def mark(function: Any = None, *options: Any, **more: Any) -> Any:
        if function is None:
            return functools.partial(mark, *options, **more)
        disabled = disable_dynamo(function, *options, **more)

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            chosen = disabled if "torch._dynamo" in sys.modules else function
            return chosen(*arguments, **keywords)

        return call

    return mark


sys.meta_path.insert(0, CompilerFinder)
for module in DEFERRED:
    sys.modules[module] = Deferred(module, DEFERRED[module])
sys.modules["sklearn"].metrics = sys.modules["sklearn.metrics"]
