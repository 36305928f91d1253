"""Preparation that is ended by a signal: no process is left, and the next run goes on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.files import read_lines, write_lines
from tests.conftest import REPOSITORY, preprocessing_in_process
from tests.faults.preparations import content, words, write_text

pytestmark = pytest.mark.usefixtures("in_process_fairseq")


def _state(process: int) -> str:
    """Z for one that has ended, nothing for one that is gone."""
    return _stat(process)[0] if Path(f"/proc/{process}").exists() else ""


def _tree(process: int) -> list[int]:
    """That process and all below it."""
    found = [process]
    for above in found:
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if _stat(int(path.name))[1] == str(above):
                    found.append(int(path.name))
    return found


def _stat(process: int) -> list[str]:
    """State and parent of a process."""
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[:2]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text that is long enough to be met at work."""
    folder = write_text(tmp_path_factory.mktemp("many") / "text")
    for lang in ("de", "en"):
        lines = list(read_lines(folder / f"train.{lang}")) * 150
        write_lines(folder / f"train.{lang}", lines)
    return folder


@pytest.fixture(scope="module")
def whole(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    destdir = tmp_path_factory.mktemp("whole") / "own"
    with preprocessing_in_process():
        assert cli.main(words(many, destdir)) == 0
    return content(destdir)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment", "delay"),
    [
        (signal.SIGTERM, "tokens/train.de", 0.0),  # as the pool begins
        (signal.SIGHUP, "tokens/train.de", 0.3),
        (signal.SIGINT, "bin/train.de-en.*", 0.0),  # fairseq's own processes
        (signal.SIGTERM, "bin/train.de-en.*", 0.1),
    ],
)
def test_signals_leave_no_process_and_the_next_run_goes_on(
    number: int, moment: str, delay: float, many: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    destdir = tmp_path / "dest"
    command = [sys.executable, "-m", "fairseq_labo.experiments.cli"]
    with subprocess.Popen(
        [*command, *words(many, destdir, "--workers", "3")],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        is_there = False
        while process.poll() is None and not (is_there and len(_tree(process.pid)) > 1):
            time.sleep(0.01)
            is_there = is_there or any(destdir.glob(f"work/.partial-*/**/{moment}"))
        time.sleep(delay)
        started = _tree(process.pid)
        assert process.poll() is None and len(started) > 1  # so there is something to end
        os.kill(process.pid, number)
        _, error = process.communicate()
    assert process.returncode == 128 + number and b"Traceback" not in error
    time.sleep(0.2)
    assert {_state(each) for each in started} <= {"", "Z"}
    assert not (destdir / "manifest.json").exists()
    assert cli.main(words(many, destdir)) == 0
    assert content(destdir) == whole
