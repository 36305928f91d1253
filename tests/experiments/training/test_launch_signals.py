"""Who else may be at work in a folder, and who is left when somebody is killed or interrupted."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.launch import train_in
from fairseq_labo.experiments.training.launch_plan import Launch
from tests.conftest import REPOSITORY


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_one_training_in_a_folder(tmp_path: Path) -> None:
    """The second says so; the lock is held by the training itself, should labo train be killed."""
    quick = Launch([program("")])
    holder = subprocess.Popen([*program(HOLD), str(tmp_path)])
    wait_for(tmp_path / "pid")
    with pytest.raises(UserError, match="expected to be alone in this folder"):
        train_in(tmp_path, quick, [])
    holder.kill()
    holder.wait()
    with pytest.raises(UserError, match="expected to be alone in this folder"):
        train_in(tmp_path, quick, [])
    # Another machine's part of a training has a lock of its own.
    assert train_in(tmp_path, Launch([program("")], "train.node-1.log"), []) == 0
    assert not (tmp_path / "resources.json").exists()
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)
    for _ in range(100):
        try:
            assert train_in(tmp_path, quick, []) == 0
            break
        except UserError:  # until the kernel has ended it
            time.sleep(0.05)
    assert (tmp_path / "resources.json").exists()


HOLD = """
import pathlib, sys
from fairseq_labo.experiments.training.launch import train_in
from fairseq_labo.experiments.training.launch_plan import Launch
folder = pathlib.Path(sys.argv[1])
training = "import os, pathlib, signal, sys, time\\n"
training += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"  # as one that is slow to end
training += "pathlib.Path(sys.argv[1], 'pid').write_text(str(os.getpid())); time.sleep(60)"
train_in(folder, Launch([[sys.executable, "-c", training, sys.argv[1]]]), [])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
def test_a_training_ends_with_a_killed_launcher(tmp_path: Path) -> None:
    text = HOLD.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "pass")
    assert text != HOLD
    holder = subprocess.Popen([*program(text), str(tmp_path)])
    wait_for(tmp_path / "pid")
    holder.kill()
    holder.wait()
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert gone(pid)


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends in so many seconds (one that nobody has waited for counts)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def wait_for(path: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (path.exists() and path.read_text(encoding="utf-8")):
        time.sleep(0.02)


def start_fake_training(data: Path, folder: Path, on_sigterm: str, **options: Any) -> Any:
    """`labo train` of a fairseq that writes its number to the file pid, and waits."""
    (folder / "fairseq_cli").mkdir()
    (folder / "fairseq_cli" / "__init__.py").touch()
    (folder / "fairseq_cli" / "train.py").write_text(
        "import os, pathlib, signal, time\n"
        f"signal.signal(signal.SIGTERM, {on_sigterm})\n"
        f"pathlib.Path({str(folder / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    launcher = subprocess.Popen(
        [
            *(sys.executable, "-m", "fairseq_labo.experiments.cli", "train", "--data", data),
            *("--save-dir", folder / "run", "--gpus", "0"),
        ],
        env={**os.environ, "PYTHONPATH": f"{folder}:{REPOSITORY}"},
        stderr=subprocess.DEVNULL,
        **options,
    )
    wait_for(folder / "pid")
    return launcher


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_interrupted_launcher_leaves_nobody(
    number: signal.Signals, toy_corpus: Path, tmp_path: Path
) -> None:
    """SIGTERM, as a cluster sends it, reaches the training; so do a lost terminal and Ctrl-C.

    Twice, while the training takes its time to end.
    """
    slow = "lambda *_: (time.sleep(0.6), os._exit(0))"
    heard = partial(signal.signal, number, signal.SIG_DFL)  # a script's background job may not
    launcher = start_fake_training(toy_corpus, tmp_path, slow, preexec_fn=heard)
    launcher.send_signal(number)
    time.sleep(0.3)
    launcher.send_signal(number)
    assert launcher.wait(30) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 0)


def test_nohup_lets_a_training_outlive_its_terminal(toy_corpus: Path, tmp_path: Path) -> None:
    ignored = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    launcher = start_fake_training(toy_corpus, tmp_path, "signal.SIG_DFL", preexec_fn=ignored)
    launcher.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        launcher.wait(0.5)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(30) == 128 + signal.SIGTERM
