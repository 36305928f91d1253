"""What fairseq's logs show of a criterion: json, simple and TensorBoard."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import reports
from tests.training.runs import Train

pytestmark = pytest.mark.slow  # trainings

OURS = ("loss", "nll_loss", "ppl", "reg_loss", "label_entropy", "smoothing")
# Stage 1 lasts six of nine updates: both stages are in the log.
TWO_STAGES = ("--smoothing-updates", 6, "--max-update", 9, "--log-interval", 3)
CRITERIONS = {
    "labo_cross_entropy": ("--label-smoothing", 0.2, "--labo-beta", 2),
    "tsla_cross_entropy": ("--label-smoothing", 0.2),
}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each scalar, read back from TensorBoard's event file."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


@pytest.fixture
def close_writers() -> Any:
    """fairseq keeps its writers for the life of the process."""
    from fairseq.logging import progress_bar

    yield
    progress_bar._close_writers()
    progress_bar._tensorboard_writers.clear()


def numbers(report: dict[str, Any], prefix: str) -> dict[str, float]:
    """Our metrics of a json report; fairseq writes them as strings."""
    found = {key: report.get(prefix + key) for key in OURS}
    return {key: float(value) for key, value in found.items() if value is not None}


@pytest.mark.parametrize("criterion", CRITERIONS)
@pytest.mark.usefixtures("close_writers")
def test_json_and_tensorboard(criterion: str, tmp_path: Path, train: Train) -> None:
    board = tmp_path / "board"
    flags = ("--criterion", criterion, *CRITERIONS[criterion], *TWO_STAGES)
    log = train("run", *flags, "--tensorboard-logdir", board).output

    inner = reports(log, "train_inner")  # parses the json
    assert [int(report["num_updates"]) for report in inner] == [3, 6, 9]
    stage1, stage2 = numbers(inner[0], ""), numbers(inner[2], "")
    assert stage1.keys() == set(OURS)
    weight = stage1["smoothing"]
    assert weight == pytest.approx(0.2, abs=0.02)
    mixed = (1 - weight) * stage1["nll_loss"] + weight * stage1["reg_loss"]
    assert stage1["loss"] == pytest.approx(mixed, abs=0.01)
    assert stage1["ppl"] == pytest.approx(2 ** stage1["nll_loss"], rel=0.01)
    assert 0 < stage1["label_entropy"] <= math.log2(1000)
    assert (stage2["smoothing"], stage2["loss"]) == (0, stage2["nll_loss"])
    assert "reg_loss" not in stage2  # null: not computed there

    (valid,) = reports(log, "valid")
    (epoch,) = reports(log, "train")
    assert numbers(valid, "valid_").keys() == numbers(epoch, "train_").keys() == set(OURS)
    assert numbers(valid, "valid_")["loss"] == numbers(valid, "valid_")["nll_loss"]

    for tag, report, prefix in (("train", epoch, "train_"), ("valid", valid, "valid_")):
        found = scalars(board / tag)
        for key, value in numbers(report, prefix).items():
            assert found[key] == [(9, pytest.approx(value, rel=1e-3, abs=1e-3))], (tag, key)
    shown = scalars(board / "train_inner")
    assert shown["smoothing"] == [
        *((3, pytest.approx(weight, abs=1e-3)), (6, pytest.approx(weight, abs=1e-3)), (9, 0.0))
    ]
    assert [step for step, _ in shown["reg_loss"]] == [3, 6]


def test_simple(train: Train) -> None:
    flags = ("--criterion", "labo_cross_entropy", *CRITERIONS["labo_cross_entropy"], *TWO_STAGES)
    log = train("run", *flags, "--log-format", "simple").output
    (first, *_, last) = re.findall(
        r"^INFO \| train_inner \| epoch 001: +\d+ / \d+ (.*)$", log, re.M
    )
    found = dict(pair.split("=") for pair in first.split(", "))
    assert found.keys() >= set(OURS) and float(found["smoothing"]) == 0.2
    assert "smoothing=0," in last and "reg_loss=None," in last
    for kind, title in (("train", "epoch 001"), ("valid", "epoch 001 | valid on 'valid' subset")):
        (line,) = re.findall(rf"^INFO \| {kind} \| {re.escape(title)} \| (.*)$", log, re.M)
        names = [pair.split()[0] for pair in line.split(" | ")]
        assert set(names) >= set(OURS), names
