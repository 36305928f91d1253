"""scripts/setup.sh: what it refuses, and what surrounds it (the installation itself: CI)."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.scripts.test_shell import shell

TOOLS = ("bash", "env", "dirname", "basename", "mkdir", "df", "awk", "sed", "grep", "ls", "rm")
TOOLS += ("find", "mktemp", "touch", "flock", "readlink")


def path_of(folder: Path, *tools: str) -> str:
    """A folder that holds these programs alone, as the PATH."""
    for tool in tools:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return str(folder)


@pytest.mark.parametrize("named", ["/nowhere/python", "no-such-python"])
def test_needs_the_python_that_is_named(named: str, tmp_path: Path) -> None:
    done = shell("scripts/setup.sh", VENV=str(tmp_path / "venv"), PYTHON=named)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: expected Python 3.11, 3.12 or 3.13 at {named} ($PYTHON), found no program there\n"
    )
    assert not (tmp_path / "venv").exists()


def test_refuses_an_old_python(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.18 || echo 38\n')
    old.chmod(0o755)
    done = shell("scripts/setup.sh", VENV=str(tmp_path / "venv"), PYTHON=str(old))
    assert done.returncode == 1 and "found Python 3.8.18" in done.stderr


def test_needs_disk_space(tmp_path: Path) -> None:
    done = shell("scripts/setup.sh", VENV=str(tmp_path / "venv"), MIN_FREE_MIB="999999999")
    assert done.returncode == 1 and "expected at least 999999999 MiB free" in done.stderr
    done = shell("scripts/setup.sh", VENV=str(tmp_path / "venv"), MIN_FREE_MIB="much")
    assert done.returncode == 1 and "$MIN_FREE_MIB: expected a number, found much" in done.stderr


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """Whatever its files are called."""
    (tmp_path / "unfinished").write_text("my thesis", encoding="utf-8")
    done = shell("scripts/setup.sh", VENV=str(tmp_path), MIN_FREE_MIB="0")
    assert done.returncode == 1 and f"expected nothing in {tmp_path}, or an" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="there is a wheel for Python 3.12")
def test_needs_a_compiler(tmp_path: Path) -> None:
    python = getattr(sys, "_base_executable", sys.executable)
    done = shell(
        "scripts/setup.sh",
        VENV=str(tmp_path / "venv"),
        PATH=path_of(tmp_path, *TOOLS),
        PYTHON=python,
        CXX="",
    )
    assert done.returncode == 1 and "expected a C++ compiler" in done.stderr, done.stderr


def test_keeps_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    """Also another virtual environment: it would be replaced."""
    for name in ("thesis.txt", "pyvenv.cfg"):
        venv = tmp_path / name
        venv.mkdir()
        (venv / name).write_text("mine", encoding="utf-8")
        done = shell("scripts/setup.sh", VENV=str(venv))
        assert done.returncode == 1 and "found something else" in done.stderr
        assert (venv / name).read_text(encoding="utf-8") == "mine"


def test_prefers_the_python_that_has_a_wheel(tmp_path: Path) -> None:
    """3.12 before python3, also where only pyenv has it; a shim that fails is passed over."""
    tools = tmp_path / "tools"
    tools.mkdir()
    path = path_of(tools, *TOOLS)
    fakes = {
        tools / "python3": "echo 311",
        tools / "python3.12": "exit 127",
        tmp_path / "pyenv" / "versions" / "3.12.9" / "bin" / "python3.12": (
            'case "$*" in *version_info*) echo 312 ;; -*) cat >/dev/null; echo 12 chosen ;; esac'
        ),
    }
    (tools / "cat").symlink_to(str(shutil.which("cat")))
    for program, action in fakes.items():
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{shutil.which('bash')}\n{action}\n")
        program.chmod(0o755)
    done = shell(
        "scripts/setup.sh",
        VENV=str(tmp_path / "venv"),
        PATH=path,
        PYENV_ROOT=str(tmp_path / "pyenv"),
        MIN_FREE_MIB="0",
    )
    assert f"+ {tmp_path}/pyenv/versions/3.12.9/bin/python3.12 -m venv" in done.stderr, done.stderr


STAND_IN = """#!{bash}
case "$*" in
    *version_info*) echo 312 ;;
    *"-m venv"*) mkdir -p "$VENV/bin"; cp "$0" "$VENV/bin/python" ;;
    *"import fairseq_cli.train"*)
        echo "${{PYTHONDONTWRITEBYTECODE-written}}" >"{seen}"
        echo "{error}" >&2
        exit {status}
        ;;
    -*) cat >/dev/null; echo 0 ;;
esac
"""


@pytest.mark.parametrize("error", ["", "OSError: libtorch.so: cannot open shared object file"])
def test_byte_code_is_kept_of_what_loads(error: str, tmp_path: Path) -> None:
    """Also where an image of Docker says that there be none; what does not load is not done."""
    seen, python, tools = tmp_path / "seen", tmp_path / "python", tmp_path / "tools"
    tools.mkdir()
    bash = shutil.which("bash")
    python.write_text(STAND_IN.format(bash=bash, seen=seen, error=error, status=int(bool(error))))
    python.chmod(0o755)
    done = shell(
        "scripts/setup.sh",
        VENV=str(tmp_path / "venv"),
        PYTHON=str(python),
        PATH=path_of(tools, *TOOLS, "cat", "cp"),
        PYTHONDONTWRITEBYTECODE="1",
        MIN_FREE_MIB="0",
    )
    assert seen.read_text(encoding="utf-8") == "written\n"
    assert done.returncode == int(bool(error)), done.stderr
    if error:
        assert done.stderr.endswith(f"error: what was installed does not load: {error}\n")
    assert (tmp_path / "venv" / "fairseq_labo.unfinished").exists() == bool(error)


def test_killed_while_the_old_environment_is_removed(tmp_path: Path) -> None:
    """It is known again as one that this script made, and made anew."""
    venv, tools = tmp_path / "venv", tmp_path / "tools"
    for folder in (venv, tools):
        folder.mkdir()
    (venv / "fairseq_labo.setup").write_text("of older requirements\n", encoding="utf-8")
    python = tmp_path / "python"
    python.write_text(f"#!{shutil.which('bash')}\n[[ $* != *version_info* ]] || echo 312\n")
    python.chmod(0o755)
    path = path_of(tools, *(tool for tool in TOOLS if tool not in ("rm", "find")))
    for removes in ("rm", "find"):
        (tools / removes).write_text(
            f'#!{shutil.which("bash")}\nunlink "$VENV/fairseq_labo.setup"\nexit 9\n'
        )
        (tools / removes).chmod(0o755)
    (tools / "unlink").symlink_to(str(shutil.which("unlink")))
    given = {"VENV": str(venv), "PYTHON": str(python), "PATH": path, "MIN_FREE_MIB": "0"}
    assert shell("scripts/setup.sh", **given).returncode != 0
    assert not (venv / "fairseq_labo.setup").exists()
    (venv / "lib").mkdir()  # what was not removed yet
    assert "found something else" not in shell("scripts/setup.sh", **given).stderr


@pytest.mark.skipif(shutil.which("flock") is None, reason="without flock there is no lock")
def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    holder = subprocess.Popen(["flock", f"{venv}.lock", "sleep", "60"], start_new_session=True)
    waiting = subprocess.Popen(
        [REPOSITORY / "scripts" / "setup.sh"],
        env={**os.environ, "VENV": str(venv), "MIN_FREE_MIB": "999999999"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert waiting.stderr is not None
        assert "another set-up is at work" in waiting.stderr.readline()
        time.sleep(0.5)
        assert waiting.poll() is None
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
    assert "expected at least 999999999 MiB free" in waiting.communicate(timeout=90)[1]


def test_every_distribution_is_pinned_with_hashes() -> None:
    locks = REPOSITORY / "scripts" / "locks"
    for version in ("311", "312", "313"):
        for kind in ("", "-cpu", "-cuda"):
            text = (locks / f"py{version}{kind}.txt").read_text(encoding="utf-8")
            pins = [line for line in text.splitlines() if line and line[0].isalnum()]
            assert pins and all("==" in line and line.endswith("\\") for line in pins)
            assert text.count("--hash=sha256:") >= len(pins)
        names = {line.partition("==")[0] for line in pins}
        assert "torch" in names


def test_what_runs_here_is_what_is_pinned() -> None:
    """Of the environment that set-up makes; others may hold other versions."""
    import importlib.metadata

    if not (Path(sys.prefix) / "fairseq_labo.setup").exists():
        pytest.skip("not an environment of scripts/setup.sh")
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    text = (REPOSITORY / "scripts" / "locks" / f"py{version}.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and line[0].isalnum():
            name, _, pinned = line.split()[0].partition("==")
            assert importlib.metadata.version(name) == pinned, name
