"""Trainings that are killed, or run out of room: nothing is lost, the same command goes on.

Longer: ``-k moment --soak 30 -s`` kills so often; ``-k disk --soak 1`` fills a disk, which it
mounts.
"""

import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.checkpoints import load_checkpoint, newest_good
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.mending import LAST_CHECKPOINT
from tests.faults.trainings import (
    SECONDS,
    command,
    ended,
    in_process,
    labo,
    processes_of,
    updates_of,
    wait_until,
)

KILLS = 3  # in CI
UPDATES_OF_A_KILL = 40  # an update takes some milliseconds
MOST_UPDATES = 10  # before a kill
# The victim is labo train itself, the process that trains, or labo train, which hears a signal.
WAYS = [
    (number, of_training)
    for heard in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number, of_training in ((signal.SIGKILL, False), (signal.SIGKILL, True), (heard, False))
]


@pytest.fixture(scope="module")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--soak") or KILLS)


@pytest.fixture(scope="module")
def whole(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory, kills: int) -> Path:
    """A training that nothing interrupted, in this process."""
    save_dir = tmp_path_factory.mktemp("whole") / "run"
    in_process(command(toy_corpus, save_dir, updates=kills * UPDATES_OF_A_KILL), save_dir)
    return save_dir


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
    last, kept = save_dir / LAST_CHECKPOINT, [0]
    for number, of_training in itertools.islice(itertools.cycle(WAYS), kills):
        after = generator.randint(1, MOST_UPDATES)
        status, said = interrupted(
            words, save_dir, number=number, of_training=of_training, updates=after
        )
        by_itself = number == signal.SIGKILL and not of_training
        assert status == (-number if by_itself else 128 + number), said
        good = newest_good(save_dir)
        kept.append(updates_of(good) if good else 0)
    found = list(save_dir.glob("*.damaged-*"))
    print(
        f"{kills} kills; updates kept: {kept[1:]}; of them with a checkpoint cut off: {len(found)}"
    )
    assert kept == sorted(kept) and kept[-1] > 0
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
