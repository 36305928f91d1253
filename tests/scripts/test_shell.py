"""The shell scripts: each is a face of the command, from any folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

OWN_USAGE = {
    f"scripts/{name}.sh" for name in ("setup", "test", "lock", "test-matrix", "gpu-wheels")
}
SCRIPTS = sorted(
    str(path.relative_to(REPOSITORY))
    for folder in ("scripts", "data-prep")
    for path in (REPOSITORY / folder).glob("*.sh")
    if path.name != "common.sh"
)
FACES = [script for script in SCRIPTS if script not in OWN_USAGE]


def shell(
    script: str | Path, *arguments: object, cwd: Path = Path("/"), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with the tests' own Python."""
    return subprocess.run(
        [REPOSITORY / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "VENV": sys.prefix, **environment},
    )


def test_every_script_of_before_is_still_there() -> None:
    kept = "setup test train evaluate compare demo inspect_labels bench_training"
    corpora = "iwslt14 iwslt14-15k iwslt15 iwslt17 microworld mixed multi30k tatoeba wmt14"
    expected = {f"scripts/{name}.sh" for name in kept.split()}
    expected |= {f"data-prep/prepare-{name}.sh" for name in corpora.split()}
    assert expected <= set(SCRIPTS)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_from_any_folder(script: str, tmp_path: Path) -> None:
    """Also by a link to it, as from a folder on the PATH."""
    (tmp_path / "link").symlink_to(REPOSITORY / script)
    done = shell(tmp_path / "link", "-h", cwd=tmp_path)
    usage = f"usage: {script}" if script in OWN_USAGE else "usage: labo "
    assert done.returncode == 0 and usage in done.stdout, done.stderr


@pytest.mark.parametrize("script", FACES)
def test_a_face_holds_no_logic(script: str) -> None:
    lines = (REPOSITORY / script).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= (20 if script == "scripts/demo.sh" else 6)


@pytest.mark.parametrize(
    ("script", "arguments", "status", "message"),
    [
        ("scripts/demo.sh", ["--no-setup", "--nonsense"], 2, "unrecognized arguments: --nonsense"),
        ("scripts/train.sh", ["--data", "/nowhere"], 2, "required: --save-dir"),
        ("scripts/train.sh", ["--data", "/no", "--save-dir", "x"], 1, "prepared corpus in /no"),
        ("scripts/evaluate.sh", ["--data", "/no", "--checkpoint", "x"], 1, "prepared corpus"),
        ("scripts/inspect_labels.sh", ["--data", "/no", "--checkpoint", "x"], 1, "prepared corpus"),
        ("scripts/setup.sh", ["--fast"], 1, "unknown argument --fast"),
    ],
)
def test_refused_arguments(script: str, arguments: list[str], status: int, message: str) -> None:
    done = shell(script, *arguments)
    error = done.stderr.splitlines()[-1]
    assert done.returncode == status
    assert error.startswith("error: ") and message in error


def test_a_clone_in_a_path_with_a_colon(tmp_path: Path) -> None:
    """PYTHONPATH would be parted there, and the package run that happens to be installed."""
    folder = shutil.copytree(REPOSITORY / "scripts", tmp_path / "12:30" / "scripts")
    done = shell(folder / "train.sh", "-h")
    assert done.returncode == 1 and "a path without a colon, found " in done.stderr
    assert "rename the folder" in done.stderr and not done.stdout


def test_corpora_lie_in_the_repository_by_default(tmp_path: Path) -> None:
    done = shell("data-prep/prepare-microworld.sh", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"microworld de-en in {REPOSITORY / 'data' / 'microworld'}" in done.stdout


def test_the_shells_pythonpath_is_kept_out_of_the_environment(tmp_path: Path) -> None:
    """Another version of a package on PYTHONPATH must not win over the environment's."""
    (tmp_path / "sacremoses.py").write_text("raise RuntimeError('the wrong one')")
    (tmp_path / "argparse.py").write_text("raise RuntimeError('the wrong one')")
    done = shell("scripts/train.sh", "-h", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and "the wrong one" not in done.stderr
