"""Processes that end with the one that began them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments import processes


@pytest.mark.skipif(
    sys.platform != "linux", reason="prctl is Linux's; run_logged calls it there only"
)
def test_a_command_does_not_outlive_a_parent_killed_before_it_began() -> None:
    for parent, ends in ((os.getpid(), False), (os.getpid() + 1, True)):
        child = os.fork()
        if child == 0:
            processes.end_with(parent)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) == ends


def test_a_command_that_ends_as_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`Popen.wait` takes the end of a child that comes within its last quarter of a second."""

    class Ended(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            status = super().wait(timeout)
            if not hasattr(self, "told"):
                self.told = True
                raise KeyboardInterrupt
            return status

    monkeypatch.setattr(subprocess, "Popen", Ended)
    with pytest.raises(KeyboardInterrupt):
        processes.run_logged(["true"], tmp_path / "log", cwd=tmp_path)


def test_an_interrupted_command_ends_with_its_own_processes(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            processes.run_logged(
                ["sh", "-c", "sleep 99 & echo $! $PWD; wait"], tmp_path / "log", cwd=tmp_path
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    number, folder = (tmp_path / "log").read_text(encoding="utf-8").split()
    assert folder == str(tmp_path)
    stat = Path(f"/proc/{number}/stat")
    assert not stat.exists() or stat.read_text().split()[2] in "ZX"
