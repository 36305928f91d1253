"""Trainings that must come to the same: repeated, accumulated, or shared by two workers."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import REPOSITORY, TRAINING
from tests.shared import made_once
from tests.training.runs import LABO, TSLA, Run, Train, assert_same_parameters

pytestmark = pytest.mark.slow  # trainings

# Adam would divide rounding errors by themselves where a gradient is next to nothing.
SGD = ("--optimizer", "sgd", "--lr", "0.2", "--log-interval", "1")


def assert_close_parameters(found: Run, expected: Run) -> None:
    """To rounding: gradients summed in another order."""
    for name, tensor in expected.parameters().items():
        torch.testing.assert_close(found.parameters()[name], tensor, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("criterion", [LABO, TSLA])
def test_same_seed_same_losses(criterion: tuple[str, ...], train: Train) -> None:
    flags = (*criterion, "--smoothing-updates", 6, "--max-update", 12, "--dropout", 0.1)
    first, second = (train(name, *flags, "--log-interval", 1) for name in ("first", "second"))
    for key in ("loss", "nll_loss", "reg_loss", "gnorm"):
        assert first.logged(key) == second.logged(key) != []
    assert_same_parameters(first, second)
    other = train("other", *flags, "--log-interval", 1, "--seed", 4)
    assert other.logged("loss") != first.logged("loss")


@pytest.mark.parametrize("criterion", [LABO, TSLA])
@pytest.mark.parametrize("sentence_avg", [(), ("--sentence-avg", "--lr", "0.02")])
def test_update_freq_4_equals_batches_four_times_as_large(
    criterion: tuple[str, ...], sentence_avg: tuple[str, ...], train: Train
) -> None:
    """--curriculum keeps the batches in order, so that both read the same sentences."""
    flags = (*criterion, *SGD, *sentence_avg, "--smoothing-updates", 3, "--max-update", 6)
    flags = (*flags, "--curriculum", 1, "--max-tokens", 10**5)
    accumulated = train("four", *flags, "--batch-size", 8, "--update-freq", 4)
    at_once = train("one", *flags, "--batch-size", 32)
    for key in ("loss", "nll_loss", "reg_loss", "label_entropy", "smoothing", "bsz", "wpb"):
        assert accumulated.logged(key) == pytest.approx(at_once.logged(key), abs=2e-3), key
    assert_close_parameters(accumulated, at_once)


WHOLE = ("--smoothing-updates", 6, "--max-update", 12)
# Long enough for a last update in which one of the workers has no batch left.
EPOCHS = (*LABO, *SGD, "--max-tokens", 1700, "--smoothing-epochs", 1, "--max-epoch", 2)
SCHEDULED = ("--smoothing-schedule", "linear")
PRIOR = (*SCHEDULED, "--label-prior", "unigram")
Job = tuple[str, str, tuple[Any, ...]]


def train_in_two_processes(folder: Path, data: Path, jobs: list[Job]) -> None:
    """Run the trainings (name, folder to save in, flags); logs and folders lie in `folder`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    named = [
        (name, str(folder / save), [*TRAINING, *map(str, flags)]) for name, save, flags in jobs
    ]
    plan = {"data": str(data), "jobs": named}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.worker", folder, str(rank), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    for worker, output in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, output[-4000:]


@pytest.fixture(scope="module")
def two_workers(
    toy_corpus: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Run, Run]]:
    """Several trainings, one after the other, in two processes that share each of them."""
    tsla_pre = (*TSLA, *SGD, *WHOLE, "--teacher-path", teacher)
    jobs: list[Job] = [
        ("labo", "labo", (*LABO, *SGD, *WHOLE, *SCHEDULED)),
        ("stopped", "parts", (*LABO, *SGD, *WHOLE, *SCHEDULED, "--max-update", 4)),
        ("resumed", "parts", (*LABO, *SGD, *WHOLE, *SCHEDULED)),
        ("teacher", "teacher", tsla_pre),
        ("epochs", "epochs", EPOCHS),
        ("fused", "fused", (*LABO, *SGD, *WHOLE, *SCHEDULED, "--fused-projection")),
        ("prior", "prior", (*LABO, *SGD, *WHOLE, *PRIOR)),
    ]
    folder = made_once(
        tmp_path_factory,
        "two-workers",
        lambda folder: train_in_two_processes(folder, toy_corpus / "bin", jobs),
    )

    def run(name: str, save_dir: str, rank: int) -> Run:
        log = (folder / f"{name}.{rank}.log").read_text(encoding="utf-8")
        return Run(log, folder / save_dir)

    return {name: (run(name, save, 0), run(name, save, 1)) for name, save, _ in jobs}


LOGGED = ("loss", "nll_loss", "reg_loss", "label_entropy", "smoothing", "wpb", "gnorm")


def assert_same_training(found: Run, expected: Run) -> None:
    for key in LOGGED:
        assert found.logged(key) == pytest.approx(expected.logged(key), abs=2e-3), key
    for key in ("valid_loss", "valid_reg_loss", "valid_label_entropy"):
        ours, theirs = found.logged(key, "valid"), expected.logged(key, "valid")
        assert ours == pytest.approx(theirs, abs=2e-3), key
    assert_close_parameters(found, expected)


def test_two_workers_equal_one_with_update_freq_2(
    two_workers: dict[str, tuple[Run, Run]], train: Train
) -> None:
    together, other = two_workers["labo"]
    alone = train("alone", *LABO, *SGD, *WHOLE, *SCHEDULED, "--update-freq", 2)
    assert together.logged("smoothing") == pytest.approx(
        [0.2 * (1 - n / 6) for n in range(6)] + [0.0] * 6, abs=1e-5
    )
    assert_same_training(together, alone)
    assert "stage 2" in together.output and "stage 2" not in other.output  # told once


def test_two_workers_with_the_fused_projection(two_workers: dict[str, tuple[Run, Run]]) -> None:
    """The features come through the wrapper of data parallel training."""
    assert_same_training(two_workers["fused"][0], two_workers["labo"][0])


def test_two_workers_with_a_prior(two_workers: dict[str, tuple[Run, Run]], train: Train) -> None:
    """Both have counted the same."""
    together, _ = two_workers["prior"]
    alone = train("alone", *LABO, *SGD, *WHOLE, *PRIOR, "--update-freq", 2)
    assert_same_training(together, alone)
    uniform, _ = two_workers["labo"]
    assert together.logged("reg_loss") != uniform.logged("reg_loss")


def test_two_workers_resume_past_the_switch(two_workers: dict[str, tuple[Run, Run]]) -> None:
    """The checkpoint is broadcast from one worker to the other; and the same bits come out."""
    resumed, whole = two_workers["resumed"][0], two_workers["labo"][0]
    assert "(epoch 1 @ 4 updates)" in resumed.output
    assert resumed.announcements() == whole.announcements() != []
    assert resumed.logged("loss") == whole.logged("loss")[4:]
    assert_same_parameters(resumed, whole)


def test_two_workers_with_a_teacher(
    two_workers: dict[str, tuple[Run, Run]], train: Train, teacher: Path
) -> None:
    flags = (*TSLA, *SGD, *WHOLE, "--teacher-path", teacher, "--update-freq", 2)
    assert_same_training(two_workers["teacher"][0], train("alone", *flags))


def test_a_worker_without_a_batch_counts_for_nothing(
    two_workers: dict[str, tuple[Run, Run]], train: Train
) -> None:
    together = two_workers["epochs"][0]
    single = train("single", *EPOCHS, "--max-epoch", 1)
    assert len(single.logged("loss")) % 2 == 1  # batches in an epoch
    alone = train("alone", *EPOCHS, "--update-freq", 2)
    assert together.logged("train_smoothing", "train") == [0.2, 0.0]
    for key in ("train_loss", "train_nll_loss", "train_reg_loss", "train_smoothing"):
        ours, theirs = together.logged(key, "train"), alone.logged(key, "train")
        assert ours == pytest.approx(theirs, abs=2e-3), key
    assert_same_training(together, alone)
