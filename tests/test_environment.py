"""A fairseq that is missing, broken, or imported later: what works, and what an error says."""

import importlib
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_labo.environment import INSTALL_COMMAND, after_import


def run_python(program: str) -> str:
    """What the program prints, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_ops_work_without_fairseq() -> None:
    """With fairseq hidden: the loss works, and the plugin says how to install fairseq."""
    program = """
import sys
sys.modules["fairseq"] = None
import torch, warnings
warnings.simplefilter("error")
from fairseq_labo.ops import labo_loss
print(labo_loss(torch.zeros(1, 2), torch.tensor([0]), label_smoothing=0.1, beta=2.0).item())
try:
    import fairseq_labo.criterions.labo_cross_entropy
except ImportError as error:
    print(error)
"""
    first, *rest = run_python(program).splitlines()
    assert float(first) == pytest.approx(math.log(2))
    assert "pip install --no-build-isolation 'fairseq-fixed==0.12.3.1'" in "\n".join(rest)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("provider", "remedy"),
    [
        ("fairseq", "pip uninstall -y fairseq && "),
        ("ve-fairseq", "Install what ve-fairseq needs, or install it anew."),
    ],
)
def test_broken_fairseq_is_told_apart_from_a_missing_one(
    tmp_path: Path, provider: str, remedy: str
) -> None:
    """PyPI's 0.12.2 raises ValueError on Python 3.11; other distributions are not sent away."""
    package = tmp_path / "fairseq"
    package.mkdir()
    (package / "__init__.py").write_text("raise ValueError('mutable default')\n")
    program = f"""
import importlib.metadata, sys
sys.path.insert(0, {str(tmp_path)!r})
importlib.metadata.packages_distributions = lambda: {{"fairseq": [{provider!r}]}}
import fairseq_labo.ops
try:
    import fairseq_labo.criterions
except ImportError as error:
    print(error)
"""
    output = run_python(program)
    assert "ValueError: mutable default" in output
    assert remedy in output
    assert (INSTALL_COMMAND in output) is (provider == "fairseq")


@pytest.mark.slow
def test_importing_the_package_imports_neither_torch_nor_fairseq() -> None:
    """And whatever imports them later finds the criterions and the safe loader's types."""
    program = """
import argparse, importlib.util, sys
import fairseq_labo
assert importlib.util.find_spec("fairseq") is not None
print({"torch", "fairseq"} & sys.modules.keys())
import torch
print(argparse.Namespace in torch.serialization.get_safe_globals())
import fairseq
from fairseq.criterions import CRITERION_REGISTRY
print({"labo_cross_entropy", "tsla_cross_entropy"} <= CRITERION_REGISTRY.keys())
"""
    assert run_python(program).splitlines()[-3:] == ["set()", "True", "True"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that fails in its first import."""
    name = f"waited_for_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "import os\nif not os.environ.pop('FAILS', None):\n    value = 3\nelse:\n    1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FAILS", "1")
    return name


def test_the_action_waits_for_an_import_that_succeeds(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    before, seen = sys.meta_path[:], []
    after_import(module, lambda: seen.append(sys.modules[module].value))
    assert importlib.util.find_spec(module) is not None and not seen
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(module)
    assert not seen
    importlib.import_module(module)
    assert seen == [3] and sys.meta_path == before
    after_import(module, lambda: seen.append(4))  # imported already: at once
    assert seen == [3, 4]
