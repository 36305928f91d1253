"""Processes that do not outlive this one."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def run_logged(command: Sequence[str], log_file: Path, *, cwd: Path) -> int:
    """Run a command in `cwd` with its output in `log_file`; return its exit status.

    It ends, with its own processes, when this one is interrupted; on Linux also when this one is
    killed.
    """
    with log_file.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=partial(end_with, os.getpid()) if sys.platform == "linux" else None,
        )
        try:
            return process.wait()
        except BaseException:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def end_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Let this process end, by signal `number`, when its parent does; Linux only.

    `parent` is that process's number. Otherwise it would go on writing beside the run that comes
    next.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # killed before the line above, so no signal will come
        os.kill(os.getpid(), signal.SIGKILL)
