"""The house's arrows: experiments → criterions and nn → ops, and never back."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, USER_DIR

PLUGIN = ("ops", "nn", "criterions", "config")
OF_EXPERIMENTS = (
    *("fairseq_labo.experiments", "sacrebleu", "sacremoses", "subword_nmt", "sentencepiece"),
    *("regex", "requests", "tqdm", "tabulate", "matplotlib", "jinja2", "yaml", "pydantic"),
)
# fairseq itself imports these.
OF_FAIRSEQ = {"sacrebleu", "regex", "tqdm", "tabulate", "yaml"}
NEVER = {
    "ops": ("fairseq", "fairseq_cli", "omegaconf", "fairseq_labo.criterions", "fairseq_labo.nn"),
    "nn": ("fairseq", "fairseq_cli", "omegaconf", "fairseq_labo.criterions"),
    "criterions": ("fairseq_cli",),
    "": (),  # the modules beside them
}


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere, also those named in a string for importlib."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def broken(path: Path, never: tuple[str, ...]) -> list[str]:
    return [name for name in imports(path) if any(f"{name}.".startswith(f"{n}.") for n in never)]


@pytest.mark.parametrize("folder", NEVER)
def test_no_arrow_goes_up(folder: str) -> None:
    paths = list((USER_DIR / folder).glob("*.py"))
    assert len(paths) > 2
    for path in paths:
        assert broken(path, (*NEVER[folder], *OF_EXPERIMENTS)) == [], path


def test_a_broken_rule_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from fairseq_labo import experiments\n", encoding="utf-8")
    assert broken(path, OF_EXPERIMENTS) == ["fairseq_labo.experiments"]
    path.write_text("import fairseq.models\nimport fairseq_labo\n", encoding="utf-8")
    assert broken(path, NEVER["ops"]) == ["fairseq.models"]


def test_no_folder_has_a_name_that_fairseq_imports_by_itself() -> None:
    """Its ``--user-dir`` imports every module of folders named tasks and models."""
    folders = {path.name for path in USER_DIR.rglob("*") if path.is_dir()}
    assert {"ops", "criterions", "experiments"} <= folders
    assert not {"models", "tasks"} & folders


@pytest.mark.slow
def test_user_dir_imports_the_plugin_and_nothing_around_it() -> None:
    """fairseq's own import of it, where nothing that only the experiments need is installed."""
    blocked = [name for name in OF_EXPERIMENTS if name not in OF_FAIRSEQ]
    program = f"""
import argparse, json, sys
for name in {blocked!r}:
    sys.modules[name] = None
from fairseq.utils import import_user_module
import_user_module(argparse.Namespace(user_dir={str(USER_DIR)!r}))
from fairseq.criterions import CRITERION_REGISTRY
assert {{"labo_cross_entropy", "tsla_cross_entropy"}} <= CRITERION_REGISTRY.keys()
print(json.dumps([name for name in sys.modules if name.startswith("fairseq_labo.")]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr[-4000:]
    loaded = [name.split(".")[1] for name in json.loads(done.stdout.splitlines()[-1])]
    beside = {path.stem for path in USER_DIR.glob("*.py")}
    assert set(loaded) - {"experiments"} <= {*PLUGIN, *beside}, loaded
    assert loaded.count("criterions") > 5 and loaded.count("experiments") == 1  # the blocked one


@pytest.mark.parametrize("folder", ["ops", "nn", "criterions", ""])
def test_every_module_of_the_plugin_has_a_test_of_its_name(folder: str) -> None:
    tests = REPOSITORY / "tests" / folder
    for path in (USER_DIR / folder).glob("*.py"):
        if path.stem != "__init__":
            assert list(tests.glob(f"test_{path.stem}*.py")), path
