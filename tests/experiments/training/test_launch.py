"""Running the planned processes: logs, failures, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_labo.experiments.training.launch import is_finished, run
from fairseq_labo.experiments.training.launch_plan import Launch


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


WAIT = program("import time; time.sleep(60)")


def test_output_is_logged_and_shortened(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    talk = (
        "print('x | INFO | fairseq.trainer | begin'); print('x | INFO | t | done training in 1 s')"
    )
    others = "import sys; print('quiet', file=sys.stderr)"
    launch = Launch([program(talk), program(others)], "train.node-1.log")
    assert run(launch, save_dir=tmp_path / "new") == 0
    printed = capfd.readouterr()
    assert printed.out == "done training in 1 s\n"
    assert printed.err.count(f"+ {sys.executable} -c") == 2
    assert "begin" in (tmp_path / "new" / "train.node-1.log").read_text(encoding="utf-8")
    assert (tmp_path / "new" / "train.worker-1.log").read_text(encoding="utf-8") == "quiet\n"


def test_status_of_a_failure(tmp_path: Path) -> None:
    assert run(Launch([program("raise SystemExit(3)")]), save_dir=tmp_path) == 3
    killed = program("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(Launch([killed]), save_dir=tmp_path) == 128 + signal.SIGKILL


@pytest.mark.parametrize("failing", [0, 1])
def test_one_failure_ends_all(
    failing: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither worker waits for the other, which is gone."""
    commands = [WAIT, WAIT]
    commands[failing] = program("raise SystemExit(5)")
    start = time.monotonic()
    assert run(Launch(commands), save_dir=tmp_path) == 5
    assert time.monotonic() - start < 30
    assert ("a worker failed with status 5" in capfd.readouterr().err) == (failing == 1)


@pytest.mark.parametrize(
    ("state", "finished", "said"),
    [
        ({"finished": "all is done"}, True, "finished: all is done (last.pt). Nothing is trained"),
        ({"rebuilds_batches": True}, False, "warning: resuming in epoch 2: fairseq, with any"),
        ({}, False, ""),
    ],
)
def test_what_is_said_of_a_resume(
    state: dict[str, object],
    finished: bool,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = {"checkpoint": "last.pt", "epoch": 2, "finished": None, "rebuilds_batches": False}
    output = f"fairseq's own\n{json.dumps(whole | state)}\n"
    done = subprocess.CompletedProcess([], 0, stdout=output, stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert not is_finished(["bin"], save_dir=tmp_path)  # no checkpoint: nothing is asked
    assert capsys.readouterr().err == ""
    (tmp_path / "checkpoint_last.pt").touch()
    assert is_finished(["bin"], save_dir=tmp_path) == finished
    assert capsys.readouterr().err.startswith(said)


def test_an_unreadable_checkpoint_is_left_to_fairseq(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint_last.pt").touch()
    training = ["bin", "--arch", "transformer", "--save-dir", str(tmp_path)]
    assert not is_finished(training, save_dir=tmp_path)
    assert "could not read how far this run is: EOFError" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_launcher_leaves_nobody(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM, as a cluster sends it, reaches the training; so does Ctrl-C."""
    (tmp_path / "fairseq_cli").mkdir()
    (tmp_path / "fairseq_cli" / "__init__.py").touch()
    (tmp_path / "fairseq_cli" / "train.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    launcher = subprocess.Popen(
        [
            *(sys.executable, "-m", "fairseq_labo.experiments.training.launch"),
            *("--save-dir", tmp_path / "run", "--gpus", "0", "--", "bin"),
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )
    pid = tmp_path / "pid"
    for _ in range(200):
        if pid.exists() and pid.read_text(encoding="utf-8"):
            break
        time.sleep(0.05)
    launcher.send_signal(number)
    assert launcher.wait(30) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text(encoding="utf-8")), 0)
