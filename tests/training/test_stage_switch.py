"""Stages through fairseq-train: resumed, accumulated, sharded, scheduled, reset, killed."""

import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TRAINING, USER_DIR
from tests.training.runs import (
    LABO,
    TSLA,
    Run,
    Train,
    assert_same_parameters,
    fairseq_train,
)

pytestmark = pytest.mark.slow  # trainings

SWITCH, EVERY, END = 8, 4, 16
BEGINS = f"stage 2 begins: one-hot targets from epoch 1, after {SWITCH} updates"
EACH_UPDATE = ("--log-interval", 1)


@pytest.mark.parametrize(
    "flags", [LABO, TSLA, (*LABO, "--smoothing-schedule", "cosine"), (*TSLA, "--teacher-path")]
)
def test_resume_before_at_and_after_the_switch(
    flags: tuple[str, ...], train: Train, tmp_path: Path, teacher: Path
) -> None:
    """The same bits as without the stop, wherever it was; and the switch is told once."""
    flags = (*flags, str(teacher)) if flags[-1] == "--teacher-path" else flags
    common = (*flags, "--smoothing-updates", SWITCH, "--max-update", END, *EACH_UPDATE)
    whole = train("whole", *common, "--save-interval-updates", EVERY)
    weights = whole.logged("smoothing")
    assert all(weight > 0 for weight in weights[:SWITCH]) and weights[SWITCH:] == [0.0] * SWITCH
    assert whole.announcements() == [BEGINS]
    for stop in (SWITCH - EVERY, SWITCH, SWITCH + EVERY):
        save_dir = tmp_path / f"from-{stop}"
        save_dir.mkdir()
        shutil.copy(whole.save_dir / f"checkpoint_1_{stop}.pt", save_dir / "checkpoint_last.pt")
        resumed = train(save_dir.name, *common)
        assert f"(epoch 1 @ {stop} updates)" in resumed.output
        assert resumed.logged("smoothing") == weights[stop:]
        assert resumed.logged("loss") == whole.logged("loss")[stop:]
        assert_same_parameters(resumed, whole)
        started = f"this run starts in stage 2: one-hot targets, epoch 1, {stop} updates done"
        assert resumed.announcements() == [BEGINS if stop < SWITCH else started]
        # A teacher is read in stage 1 only.
        assert ("teacher of stage 1" in resumed.output) == (
            "--teacher-path" in flags and stop < SWITCH
        )


@pytest.mark.parametrize("flags", [LABO, TSLA])
def test_killed_in_stage_1_and_resumed_past_the_switch(
    flags: tuple[str, ...], train: Train, tmp_path: Path, toy_corpus: Path
) -> None:
    """SIGKILL, as a cluster does it: what was saved is enough."""
    common = (*flags, "--smoothing-updates", SWITCH, "--disable-validation")
    command = [sys.executable, "-m", "fairseq_cli.train", toy_corpus / "bin", *TRAINING]
    command += [*common, "--user-dir", USER_DIR, "--save-dir", tmp_path / "killed"]
    command += ["--save-interval-updates", EVERY, "--max-update", 10**6]
    with subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if f"checkpoint_1_{EVERY}.pt" in line and "Saved checkpoint" in line:
                process.send_signal(signal.SIGSTOP)
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    # It may have gone on for a moment and saved again: the kill is to count from here.
    saved = tmp_path / "killed" / f"checkpoint_1_{EVERY}.pt"
    shutil.copy(saved, saved.with_name("checkpoint_last.pt"))

    resumed = train("killed", *common, "--max-update", END)
    assert f"(epoch 1 @ {EVERY} updates)" in resumed.output
    assert resumed.announcements() == [BEGINS]
    assert_same_parameters(resumed, train("whole", *common, "--max-update", END))


def test_updates_are_counted_not_batches(train: Train) -> None:
    """Under --update-freq 3 each update has three batches."""
    run = train(
        "accumulated",
        *(*LABO, "--smoothing-updates", 4, "--update-freq", 3, "--max-update", 6, *EACH_UPDATE),
    )
    assert run.logged("smoothing") == [0.2] * 4 + [0.0] * 2
    assert run.announcements() == ["stage 2 begins: one-hot targets from epoch 1, after 4 updates"]


@pytest.mark.parametrize("schedule", ["step", "linear", "cosine"])
@pytest.mark.parametrize("flags", [LABO, TSLA])
def test_logged_weight_is_that_of_the_schedule(
    flags: tuple[str, ...], schedule: str, train: Train
) -> None:
    run = train(
        "run",
        *(*flags, "--smoothing-schedule", schedule, "--smoothing-updates", 8),
        *("--max-update", 10, *EACH_UPDATE),
    )
    shares = {
        "step": [1.0] * 8,
        "linear": [1 - n / 8 for n in range(8)],
        "cosine": [(1 + math.cos(math.pi * n / 8)) / 2 for n in range(8)],
    }[schedule]
    types = run.parameters()["decoder.embed_tokens.weight"].size(0)
    alpha = 0.2 if flags is LABO else 0.2 * types / (types - 1)
    expected = [alpha * share for share in shares] + [0.0, 0.0]
    assert run.logged("smoothing") == pytest.approx(expected, abs=1e-5)
    # And it is the weight that the loss was made with, in training's own logs.
    for loss, nll, reg, weight in zip(
        run.logged("loss")[:8],
        run.logged("nll_loss")[:8],
        run.logged("reg_loss"),
        expected[:8],
        strict=True,
    ):
        assert loss == pytest.approx((1 - weight) * nll + weight * reg, abs=2e-3)
    assert len(run.announcements()) == 1


EPOCHS = ("--max-tokens", 2000, "--smoothing-epochs", 2, "--max-epoch", 4)


def by_epoch(run: Run) -> list[float]:
    return run.logged("train_smoothing", "train")


def test_stage_in_epochs_resumed_between_them(train: Train) -> None:
    run = train("epochs", *LABO, *EPOCHS, "--max-epoch", 2)
    rest = train("epochs", *LABO, *EPOCHS)
    assert by_epoch(run) + by_epoch(rest) == [0.2, 0.2, 0, 0]
    (line,) = rest.announcements()
    assert line.startswith("this run starts in stage 2: one-hot targets, epoch 3")


def test_schedule_in_epochs(train: Train) -> None:
    run = train("linear", *LABO, *EPOCHS, "--smoothing-schedule", "linear")
    assert by_epoch(run) == [0.2, 0.1, 0, 0]


@pytest.mark.parametrize("flags", [("--curriculum", 3), ("--batch-size-valid", 7)])
def test_curriculum(flags: tuple[Any, ...], train: Train) -> None:
    assert by_epoch(train("run", *LABO, *EPOCHS, *flags)) == [0.2, 0.2, 0, 0]


def test_sharded_epochs(toy_corpus: Path, tmp_path: Path) -> None:
    """With data A:B an epoch is one shard, for fairseq and for the stage."""
    shard = tmp_path / "shard"
    shutil.copytree(toy_corpus / "bin", shard)
    run = fairseq_train(
        f"{toy_corpus / 'bin'}:{shard}", tmp_path / "run", *TRAINING, *TSLA, *EPOCHS
    )
    weights = by_epoch(run)
    assert weights[0] == weights[1] > 0.2 and weights[2:] == [0, 0]
    assert str(shard) in run.output


@pytest.fixture(scope="module")
def two_epochs(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, flags = tmp_path_factory.mktemp("stopped"), ("--max-tokens", 2000, "--max-epoch", 2)
    run = fairseq_train(toy_corpus / "bin", folder, *TRAINING, *LABO, *flags)
    assert run.last("num_updates", "train") > 10
    return run


@pytest.fixture
def stopped(two_epochs: Run, tmp_path: Path) -> Run:
    """A copy of it, which a test may train on in tmp_path/stopped."""
    return Run(two_epochs.output, shutil.copytree(two_epochs.save_dir, tmp_path / "stopped"))


@pytest.mark.parametrize("stage", ["--smoothing-updates", "--smoothing-epochs"])
@pytest.mark.parametrize(
    ("reset", "counts_again"),
    [
        ("--reset-optimizer", "--smoothing-updates"),
        ("--reset-dataloader", "--smoothing-epochs"),
        ("--reset-meters", None),
        ("--reset-lr-scheduler", None),
    ],
)
def test_reset_flags(
    stage: str, reset: str, counts_again: str | None, stopped: Run, train: Train
) -> None:
    """The stage follows fairseq's own counters: what a flag sets back begins anew."""
    done = int(stopped.last("num_updates", "train"))
    an_epoch = done // 2
    length = 1 if stage == "--smoothing-epochs" else an_epoch
    run = train(
        "stopped",
        *(*LABO, stage, length, "--max-tokens", 2000, *EACH_UPDATE, reset),
        *("--max-epoch", 4, "--max-update", done + an_epoch + 2),
    )
    weights = run.logged("smoothing")
    assert weights[0] == (0.2 if counts_again == stage else 0.0)
    assert weights[-1] == 0.0 and len(run.announcements()) == 1
