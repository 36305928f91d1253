"""Trainings that are killed, run out of room, or are given what is none: nothing is lost.

``pytest tests/faults/test_training.py --soak 20`` kills so often; a full disk then is a real one,
if this user may mount one.
"""

import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fairseq_labo.criterions.teacher import TeacherError
from fairseq_labo.experiments.checkpoints import load_checkpoint, newest_good
from fairseq_labo.experiments.cli import main, parse
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_lines
from fairseq_labo.experiments.training.inquiry import state_of
from fairseq_labo.experiments.training.mending import LAST_CHECKPOINT
from fairseq_labo.experiments.training.presets import fairseq_arguments
from tests.conftest import REPOSITORY, TINY_MODEL, TRAINING, preprocessing_in_process
from tests.training.runs import TSLA, fairseq_train

KILLS = 3  # in CI
UPDATES_OF_A_KILL = 40  # an update takes some milliseconds
MOST_UPDATES = 10  # before a kill
WAYS = [
    # signal, to the training (or to labo train), exit status
    (signal.SIGKILL, False, -signal.SIGKILL),
    (signal.SIGKILL, True, 128 + signal.SIGKILL),
    (signal.SIGTERM, False, 128 + signal.SIGTERM),
    (signal.SIGINT, False, 128 + signal.SIGINT),
    (signal.SIGHUP, False, 128 + signal.SIGHUP),
]
SECONDS = 120  # that a training may take on a busy machine
# A checkpoint at every second update, so that many kills fall into the writing of one; batches
# formed anew in every epoch, so that an interruption changes nothing.
FLAGS = [
    *TINY_MODEL, "--dropout", "0.1", "--max-tokens", "320", "--lr", "5e-3",
    "--save-interval-updates", "2", "--keep-interval-updates", "2", "--log-interval", "1",
    "--update-epoch-batch-itr", "True",
]  # fmt: skip


def command(data: Path, save_dir: Path, *passed_on: object, updates: int) -> list[str]:
    words = [sys.executable, "-m", "fairseq_labo.experiments.cli", "train", "--gpus", "0"]
    words += ["--data", str(data), "--save-dir", str(save_dir), "--epochs", "100", "--"]
    return [*words, *FLAGS, "--max-update", str(updates), *map(str, passed_on)]


def labo(words: list[str], **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        **options,  # type: ignore[call-overload]
    )


def ended(words: list[str], **options: object) -> tuple[int, str]:
    """The exit status and the messages of a command; no traceback is among what it shows."""
    with labo(words, **options) as process:
        printed, said = process.communicate(timeout=SECONDS)
    assert "Traceback" not in printed + said
    return process.returncode, said


def processes_of(save_dir: Path) -> dict[int, str]:
    """Processes, but for dead ones, that have the folder on their command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"\0{save_dir}\0" in words:
            found[int(path.parent.name)] = words
    return found


def wait_until(
    condition: Callable[[], object], seconds: float = SECONDS, *, interval: float = 0.02
) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(interval)
    return bool(condition())


def updates_of(path: Path) -> int:
    return int(load_checkpoint(path)["optimizer_history"][-1]["num_updates"])


@pytest.fixture(scope="module")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--soak") or KILLS)


@pytest.fixture(scope="module")
def whole(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory, kills: int) -> Path:
    """A training that nothing interrupted, in this process."""
    save_dir = tmp_path_factory.mktemp("whole") / "run"
    in_process(command(toy_corpus, save_dir, updates=kills * UPDATES_OF_A_KILL), save_dir)
    return save_dir


def in_process(words: list[str], save_dir: Path) -> str:
    """The training that a command starts, in this process; its log."""
    options = parse(words[words.index("train") :])
    data, *flags = fairseq_arguments(options, PreparedCorpus.read(options.data))
    return fairseq_train(data, save_dir, *flags).output


def interrupted(
    words: list[str], save_dir: Path, *, number: signal.Signals, of_training: bool, updates: int
) -> tuple[int, str]:
    """Start a training, kill it after so many updates; exit status and messages.

    The victim is `labo train`, or if `of_training` the process that trains.
    """
    log = save_dir / "train.log"
    size = log.stat().st_size if log.exists() else 0
    process = labo(words)

    def has(text: str, count: int) -> bool:
        found = log.read_bytes()[size:].count(text.encode()) if log.exists() else 0
        return found >= count or process.poll() is not None

    assert wait_until(lambda: has("Start iterating", 1))
    training = [pid for pid, said in processes_of(save_dir).items() if "fairseq_cli" in said]
    assert wait_until(lambda: has("| train_inner |", updates), interval=0.002)
    assert process.poll() is None, process.communicate()
    os.kill(training[0] if of_training else process.pid, number)
    printed, said = process.communicate(timeout=SECONDS)
    assert "Traceback" not in printed + said
    assert wait_until(lambda: not processes_of(save_dir), 20), processes_of(save_dir)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_kills_at_any_moment(whole: Path, toy_corpus: Path, tmp_path: Path, kills: int) -> None:
    """The same command goes on, with what was saved, to the same parameters, bit by bit.

    In turns labo train is killed, the training itself, or the former is sent a signal.
    """
    save_dir, generator = tmp_path / "run", random.Random(kills)
    words = command(toy_corpus, save_dir, updates=kills * UPDATES_OF_A_KILL)
    last, updates = save_dir / LAST_CHECKPOINT, 0
    for round_ in range(kills):
        number, of_training, status = WAYS[round_ % len(WAYS)]
        after = generator.randint(1, MOST_UPDATES)
        found, said = interrupted(
            words, save_dir, number=number, of_training=of_training, updates=after
        )
        assert found == status, said
        good = newest_good(save_dir)
        before, updates = updates, updates_of(good) if good else 0
        assert updates >= before
    assert updates > 0
    last.write_bytes(last.read_bytes()[:1000] if last.exists() else b"")  # as a kill may leave it
    status, said = ended(words)
    assert status == 0 and f"{last}: expected a checkpoint" in said, said
    assert "going on with a copy of" in said
    expected, result = (load_checkpoint(folder / LAST_CHECKPOINT) for folder in (whole, save_dir))
    assert expected["model"].keys() == result["model"].keys()
    assert all(torch.equal(each, result["model"][key]) for key, each in expected["model"].items())


def checkpoints_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("checkpoint*.pt")}


@pytest.mark.slow
def test_no_room_for_a_checkpoint(
    whole: Path,
    toy_corpus: Path,
    tmp_path: Path,
    kills: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was saved before is as it was; with room the same command goes on."""
    save_dir = tmp_path / "run"
    shutil.copytree(whole, save_dir)
    before = checkpoints_in(save_dir)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # fairseq waits before it tries again
    words = command(toy_corpus, save_dir, updates=kills * UPDATES_OF_A_KILL + 2)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[LAST_CHECKPOINT]) // 2, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            in_process(words, save_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoints_in(save_dir) == before
    assert "updates" in in_process(words, save_dir)
    assert updates_of(save_dir / LAST_CHECKPOINT) == kills * UPDATES_OF_A_KILL + 2


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, whose size can be changed."""
    if not request.config.getoption("--soak"):
        pytest.skip("mounts a disk: only with --soak")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_full_disk(disk: Path, whole: Path, toy_corpus: Path) -> None:
    """fairseq leaves a half checkpoint under its final name: the same command mends it."""
    save_dir = disk / "run"
    words = command(toy_corpus, save_dir, updates=4)
    room = int(1.6 * (whole / LAST_CHECKPOINT).stat().st_size)  # one, and the half of the next
    subprocess.run(["mount", "-o", f"remount,size={room}", disk], check=True)
    status, said = ended(words)
    assert status == 1 and "No space left on device" in said, said
    half = save_dir / "checkpoint_best.pt"
    with pytest.raises(UserError, match=r"its end is missing .* newest good one .*_1_2\.pt"):
        load_checkpoint(half)
    subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True)
    status, said = ended(words)
    assert status == 0 and f"{half}: expected a checkpoint" in said, said
    assert updates_of(half) == updates_of(save_dir / LAST_CHECKPOINT) == 4


@pytest.mark.slow
def test_a_validation_line_that_is_too_long(tmp_path: Path) -> None:
    """fairseq ends with an Exception; it is shown, with what to do, and with that it works."""
    for split, lines in (("train", 20), ("valid", 3), ("test", 3)):
        for language in ("de", "en"):
            longest = ["house"] * (1200 if split == "valid" else 2)
            text = [*["the house"] * lines, " ".join(longest)]
            write_lines(tmp_path / f"{split}.{language}", text)
    words = ["prepare", "own", "--pair", "de-en", "--bpe-size", "9", "--destdir", "data"]
    words += [word for split in ("train", "valid", "test") for word in (f"--{split}", split)]
    with pytest.MonkeyPatch.context() as patch, preprocessing_in_process():
        patch.chdir(tmp_path)
        assert main(words) == 0
    train = command(tmp_path / "data", tmp_path / "run", updates=1)
    status, said = ended(train)
    assert status == 1 and "Exception: Size of sample #3 is invalid" in said
    assert "Take it in: -- --max-source-positions N --max-target-positions N" in said
    assert f"the whole log: {tmp_path / 'run' / 'train.log'}" in said
    more = ["--max-source-positions", "1300", "--max-target-positions", "1300"]
    more += ["--max-tokens-valid", "1300"]
    assert "done training" in in_process([*train, *more], tmp_path / "run")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_that_would_run_something(
    zipped: bool, toy_corpus: Path, tmp_path: Path
) -> None:
    """As a teacher, to go on from, and as the last one of a folder: nothing of it runs."""
    bomb, path, ran = tmp_path / "bomb.pt", tmp_path / LAST_CHECKPOINT, tmp_path / "ran"
    content = {"model": {}, "args": Bomb(ran)}
    torch.save(content, bomb) if zipped else bomb.write_bytes(pickle.dumps(content))
    shutil.copyfile(bomb, path)
    arguments = [*TRAINING, "--save-dir", str(tmp_path)]
    with pytest.raises(UserError, match=r"bomb\.pt: expected a checkpoint of fairseq, found "):
        state_of(["data", *arguments, "--restore-file", str(bomb)], tmp_path, "train.log", True)
    finished, said = state_of(["data", *arguments], tmp_path, "train.log", True)
    assert not finished and "what was found is now checkpoint_last.pt.damaged-1" in said[0]
    with pytest.raises(TeacherError, match="--teacher-path: expected a checkpoint"):
        flags = [*TRAINING, *TSLA, "--smoothing-epochs", 1, "--teacher-path", bomb]
        fairseq_train(toy_corpus / "bin", tmp_path / "student", *flags, "--max-update", 1)
    assert not ran.exists()
    pickle.loads(pickle.dumps(content))  # it is one that would
    assert ran.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_interrupted_benchmark_leaves_nobody(toy_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "fairseq_cli").mkdir()
    (tmp_path / "fairseq_cli" / "__init__.py").touch()
    text = f"import pathlib, time; pathlib.Path({str(tmp_path / 'runs')!r}).touch(); time.sleep(60)"
    (tmp_path / "fairseq_cli" / "train.py").write_text(text)
    output = tmp_path / "output.json"
    words = [sys.executable, "-m", "fairseq_labo.experiments.cli", "benchmark"]
    process = subprocess.Popen(
        [*words, "--data", toy_corpus, "--output", output],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        stderr=subprocess.DEVNULL,
    )
    assert wait_until((tmp_path / "runs").exists)
    assert processes_of(toy_corpus / "bin")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM and not output.exists()
    assert wait_until(lambda: not processes_of(toy_corpus / "bin"), 20)
