"""Running the planned processes: lock, logs, failures, signals, memory."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.checkpoints import record_corpus
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import launch as launch_module
from fairseq_labo.experiments.training.launch import (
    begins_with,
    check_folder,
    is_finished,
    run,
    splits_of,
    train_in,
)
from fairseq_labo.experiments.training.launch_plan import Launch
from fairseq_labo.experiments.training.progress import state_of


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


def test_the_log_does_not_depend_on_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fairseq takes its level of logging from the environment; studies read what it logs."""
    monkeypatch.setenv("LOGLEVEL", "ERROR")
    tell = program("import os; print(os.environ['LOGLEVEL'])")
    assert run(Launch([tell]), save_dir=tmp_path) == 0
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "INFO\n"


def test_status_of_a_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(Launch([program("raise SystemExit(3)")]), save_dir=tmp_path) == 3
    killed = program("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(Launch([killed]), save_dir=tmp_path) == 128 + signal.SIGKILL
    assert "error: the training ended with SIGKILL" in capfd.readouterr().err


@pytest.mark.parametrize("exception", ["Exception", "KeyError", "AssertionError", "mine.Odd"])
@pytest.mark.parametrize("worker", [0, 1])
def test_whatever_ends_a_training_is_said_without_a_traceback(
    worker: int, exception: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ["Traceback (most recent call last):", '  File "x"', f"{exception}: it was this"]
    commands = [WAIT, WAIT]
    commands[worker] = program(f"print({chr(10).join(lines)!r}); raise SystemExit(7)")
    assert run(Launch(commands), save_dir=tmp_path) == 7
    printed = capfd.readouterr()
    log = tmp_path / ("train.worker-1.log" if worker else "train.log")
    assert f"status 7\n{exception}: it was this\nthe whole log: {log}\n" in printed.err
    said = [line for line in printed.err.splitlines() if not line.startswith("+ ")]
    assert said[0] == f"error: {'worker 1' if worker else 'the training'} ended with status 7"
    assert not any("Traceback" in line for line in said) and printed.out == ""


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
    said = capfd.readouterr().err
    assert said.count("error: ") == 1
    assert ("error: worker 1 ended with status 5" in said) == (failing == 1)


@pytest.mark.parametrize(
    ("finished", "message"), [(True, "all is done"), (False, "other batches"), (False, "")]
)
def test_what_is_said_of_a_resume(
    finished: bool,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    messages = [message] if message else []
    monkeypatch.setattr(launch_module, "apart", lambda *_: (finished, messages))
    assert not is_finished(["bin"], save_dir=tmp_path)  # no checkpoint: nothing is asked
    assert capsys.readouterr().err == ""
    for flag in ("--restore-file", "--continue-once"):
        assert is_finished(["bin", f"{flag}=x.pt"], save_dir=tmp_path) == finished
        assert capsys.readouterr().err == (message and f"{message}\n")
    (tmp_path / "checkpoint_last.pt").touch()
    assert is_finished(["bin"], save_dir=tmp_path) == finished
    assert capsys.readouterr().err == (message and f"{message}\n")


@pytest.mark.slow
def test_arguments_that_fairseq_refuses_are_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint_last.pt").touch()
    assert not is_finished(["bin", "--arch", "transformer", "--no-such"], save_dir=tmp_path)
    said = capsys.readouterr().err
    assert "could not read how far this run is: RuntimeError" in said
    assert "unrecognized arguments: --no-such" in said


@pytest.mark.parametrize("error", [UserError("half"), PermissionError(13, "no", "x.pt")])
def test_a_checkpoint_that_cannot_be_used_ends_the_first_machine_alone(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for what it does: it mends, or ends."""
    asked = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments[-1])
        raise error

    monkeypatch.setattr(launch_module, "apart", refuse)
    (tmp_path / "checkpoint_last.pt").touch()
    with pytest.raises(type(error)):
        is_finished(["bin"], save_dir=tmp_path)
    assert not is_finished(["bin"], save_dir=tmp_path, first=False)
    assert asked == [True, False]  # mending


@pytest.mark.parametrize(
    ("words", "splits"),
    [
        ("", ["train", "valid"]),
        ("--train-subset=train1 --valid-subset valid,valid1", ["train1", "valid", "valid1"]),
        ("--disable-validation", ["train"]),
    ],
)
def test_splits_that_are_read(words: str, splits: list[str]) -> None:
    assert splits_of(words.split()) == splits


@pytest.mark.parametrize("path", ["file", "file/below/it"])
def test_a_folder_that_is_a_file(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--save-dir: expected a folder, found a file at .*/file;"):
        check_folder(tmp_path / path)
    check_folder(tmp_path / "new" / "folder")


@pytest.mark.parametrize(("name", "why"), [("a:b", "a colon"), ("a${b}", r"\$\{, which fairseq's")])
def test_folders_that_fairseq_would_read_otherwise(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f": expected a path without {why}"):
        check_folder(tmp_path / name)


def test_the_corpus_of_foreign_checkpoints_is_asked_apart(
    toy_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fairseq-train has left no corpus.json; the process that starts a training reads no torch."""
    asked: list[str] = []

    def answer(function: Callable[..., Any], *arguments: Any) -> Any:
        asked.append(function.__name__)
        return (True, []) if function is state_of else {"languages": ["en", "de"]}

    monkeypatch.setattr(launch_module, "apart", answer)
    corpus = PreparedCorpus.read(toy_corpus)
    launch = Launch([program("raise SystemExit(3)")])
    assert train_in(tmp_path / "new", launch, [], corpus=corpus) == 3 and not asked
    (tmp_path / "checkpoint_last.pt").touch()
    with pytest.raises(UserError, match=r"expected checkpoints of the corpus .* other languages"):
        train_in(tmp_path, launch, [], corpus=corpus)
    assert asked == ["corpus_begun"]
    record_corpus(tmp_path, corpus)
    assert train_in(tmp_path, launch, [], corpus=corpus) == 0
    assert asked == ["corpus_begun", "state_of"]


def test_a_corpus_is_no_folder_for_a_training(toy_corpus: Path) -> None:
    for folder in (toy_corpus, toy_corpus / "bin"):
        with pytest.raises(UserError, match="expected a folder for results, found one of a corpus"):
            check_folder(folder)


def test_other_checkpoints_that_a_training_begins_with(tmp_path: Path) -> None:
    (path := tmp_path / "a.pt").touch()
    words = [f"--teacher-path={path}", "--finetune-from-model", str(path)]
    assert begins_with(words, tmp_path) == {"--teacher-path": path, "--finetune-from-model": path}
    (tmp_path / "checkpoint_last.pt").touch()
    assert begins_with(words, tmp_path) == {"--teacher-path": path}
    assert begins_with(["--teacher-path", "s3://a/b.pt"], tmp_path) == {}


def test_resources_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only of one that ran to its end; a finished run keeps what it had."""
    resources = tmp_path / "resources.json"
    assert train_in(tmp_path, Launch([program("raise SystemExit(3)")]), []) == 3
    assert not resources.exists()
    assert train_in(tmp_path, Launch([program("import time; time.sleep(0.3)")]), []) == 0
    found = json.loads(resources.read_text(encoding="utf-8"))
    assert found.keys() == {"seconds", "resumed", "peak_memory_mib"}
    assert 0.3 <= found["seconds"] < 20 and found["resumed"] is False
    monkeypatch.setattr(launch_module, "is_finished", lambda *_, **__: True)
    assert train_in(tmp_path, Launch([program("raise SystemExit(3)")]), []) == 0
    assert json.loads(resources.read_text(encoding="utf-8")) == found
    (tmp_path / "checkpoint_last.pt").touch()
    monkeypatch.setattr(launch_module, "is_finished", lambda *_, **__: False)
    assert train_in(tmp_path, Launch([program("pass")]), []) == 0
    assert json.loads(resources.read_text(encoding="utf-8"))["resumed"] is True


@pytest.mark.parametrize(
    ("flags", "log", "said"),
    [
        (["--smoothing-epochs", "6"], "early stop since", True),
        (["--smoothing-updates=9"], "", True),
        (["--smoothing-epochs", "6"], "stage 2 begins: one-hot targets", False),
        (["--smoothing-epochs", "0"], "this run starts in stage 2", False),
        (["--criterion", "cross_entropy"], "", False),
    ],
)
def test_a_training_of_two_stages_that_ends_in_the_first(
    flags: list[str], log: str, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_in(tmp_path, Launch([program(f"print({log!r})")]), flags) == 0
    assert ("warning: the training has ended in its first stage" in capsys.readouterr().err) == said


MEASURE = """
import pathlib, sys
from fairseq_labo.experiments.training.launch import train_in
from fairseq_labo.experiments.training.launch_plan import Launch
program = [sys.executable, "-c", f"x = b'x' * ({sys.argv[2]} << 20)"]
sys.exit(train_in(pathlib.Path(sys.argv[1]), Launch([program]), []))
"""


def test_memory_is_not_that_of_whoever_started_it(tmp_path: Path) -> None:
    """A caller of 300 MiB more than it has, and trainings of 100 and 150 MiB."""
    ballast = bytearray(300 << 20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    peaks = []
    for mib in (100, 150):
        folder = tmp_path / str(mib)
        command = [sys.executable, "-c", MEASURE, folder, str(mib)]
        subprocess.run(command, check=True)
        found = json.loads((folder / "resources.json").read_text(encoding="utf-8"))
        peaks.append(found["peak_memory_mib"])
    assert 100 <= peaks[0] < 130 and 45 < peaks[1] - peaks[0] < 55
    assert len(ballast) == 300 << 20


def test_labo_train_imports_neither_torch_nor_fairseq() -> None:
    """Its memory is the floor of the training's."""
    code = (
        "import sys, fairseq_labo.experiments.training.train\n"
        "print([name for name in ('torch', 'fairseq', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
