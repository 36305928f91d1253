"""The shell scripts: help, refusals, and the demo from end to end on the toy corpus."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SCRIPTS = sorted(
    path.relative_to(REPOSITORY)
    for folder in ("scripts", "data-prep")
    for path in (REPOSITORY / folder).glob("*.sh")
    if path.name != "common.sh"
)


def shell(
    script: str | Path, *arguments: object, cwd: Path = Path("/"), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REPOSITORY / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "VENV": sys.prefix, **environment},
    )


def test_all_scripts_are_found() -> None:
    assert {"setup.sh", "train.sh", "evaluate.sh", "demo.sh", "test.sh"} <= {
        path.name for path in SCRIPTS
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_help_from_any_folder(script: Path, tmp_path: Path) -> None:
    done = shell(script, "-h", cwd=tmp_path)
    assert done.returncode == 0 and f"usage: {script}" in done.stdout


@pytest.mark.parametrize(
    ("script", "arguments", "match"),
    [
        ("scripts/train.sh", ["--nonsense", "1"], "unknown option --nonsense"),
        ("scripts/train.sh", ["--data"], "--data expects a value"),
        ("scripts/train.sh", ["--data", "/nowhere"], "expected --data and --save-dir"),
        ("scripts/train.sh", ["--data", "/nowhere", "--save-dir", "x"], "prepared corpus in /now"),
        ("scripts/evaluate.sh", ["--data", "/nowhere", "--checkpoint", "x"], "prepared corpus"),
        (
            "scripts/inspect_labels.sh",
            ["--data", "/nowhere", "--checkpoint", "x"],
            "prepared corpus",
        ),
        ("scripts/demo.sh", ["--source-dir", "x"], "goes with --corpus multi30k"),
        ("scripts/setup.sh", ["--fast"], "unknown argument --fast"),
    ],
)
def test_refused_arguments(script: str, arguments: list[str], match: str) -> None:
    done = shell(script, *arguments)
    assert done.returncode == 1
    assert re.search(f"^error: .*{re.escape(match)}", done.stderr, re.MULTILINE), done.stderr


def test_unknown_criterion(toy_corpus: Path, tmp_path: Path) -> None:
    done = shell(
        "scripts/train.sh", "--data", toy_corpus, "--save-dir", tmp_path / "x", "--criterion", "mse"
    )
    assert done.returncode == 1 and "unknown criterion mse" in done.stderr
    assert not (tmp_path / "x").exists()


def test_setup_needs_a_python(tmp_path: Path) -> None:
    done = shell("scripts/setup.sh", VENV=str(tmp_path / "venv"), PYTHON="/nowhere/python")
    assert done.returncode == 1 and "expected Python 3.11 or later at /nowhere" in done.stderr


def test_setup_needs_disk_space(tmp_path: Path) -> None:
    done = shell("scripts/setup.sh", VENV=str(tmp_path / "venv"), MIN_FREE_MIB="999999999")
    assert done.returncode == 1 and "expected at least 999999999 MiB free" in done.stderr


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="there is a wheel for Python 3.12")
def test_setup_needs_a_compiler(tmp_path: Path) -> None:
    """On a path that holds only what the script itself calls."""
    for tool in ("bash", "env", "dirname", "mkdir", "df", "awk", "sed", "grep"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    python = getattr(sys, "_base_executable", sys.executable)
    done = shell(
        "scripts/setup.sh", VENV=str(tmp_path / "venv"), PATH=str(tmp_path), PYTHON=python, CXX=""
    )
    assert done.returncode == 1 and "expected a C++ compiler" in done.stderr, done.stderr


@pytest.fixture(scope="module")
def demo(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo of two criterions on the toy corpus: its folder and what it printed."""
    output = tmp_path_factory.mktemp("demo") / "out"
    options = ["--no-setup", "--data", toy_corpus, "--epochs", "1", "--output", output]
    options += ["--criterions", "tsla_cross_entropy labo_cross_entropy"]
    first = shell("scripts/demo.sh", *options)
    assert first.returncode == 0, first.stderr[-3000:]
    again = shell("scripts/demo.sh", *options)
    assert again.returncode == 0 and "fairseq_cli.train" not in again.stderr
    start = "| criterion"
    assert again.stdout.partition(start)[2] == first.stdout.partition(start)[2] != ""
    return output, first.stdout


def test_demo_prints_a_table(demo: tuple[Path, str]) -> None:
    output, printed = demo
    rows = re.findall(
        r"^\| (tsla|labo)_cross_entropy +\| +[\d.]+ +\| +[\d.]+ \| +\d+ \| +\d+ \|$",
        printed,
        re.MULTILINE,
    )
    assert rows == ["tsla", "labo"]
    assert "tok:13a" in printed and "epoch   1 | valid" in printed
    table = (output / "table.md").read_text(encoding="utf-8")
    assert printed.endswith(table)
    assert table.count("reference  ") == 4  # translations side by side


def test_demo_keeps_foreign_folders(toy_corpus: Path, tmp_path: Path) -> None:
    kept = tmp_path / "labo_cross_entropy" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("mine", encoding="utf-8")
    done = shell(
        *("scripts/demo.sh", "--no-setup", "--data", toy_corpus, "--output", tmp_path),
        *("--criterions", "labo_cross_entropy"),
    )
    assert done.returncode == 1 and "something else" in done.stderr
    assert kept.read_text(encoding="utf-8") == "mine"
