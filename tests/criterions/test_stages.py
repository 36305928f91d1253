"""Which stage a batch belongs to, from what the trainer tells the task."""

from types import SimpleNamespace
from typing import Any

import pytest
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask

from fairseq_labo.criterions.stages import SmoothingStage, TrainingProgress


def stage_of(**flags: Any) -> SmoothingStage:
    return SmoothingStage.from_flags(
        **({"epochs": None, "updates": None, "required": False} | flags)
    )


def at(*, epoch: int | None = None, num_updates: int | None = None) -> TrainingProgress:
    progress = TrainingProgress()
    progress.epoch, progress.num_updates = epoch, num_updates
    return progress


def test_updates_count_from_0() -> None:
    stage = stage_of(updates=3)
    assert [stage.factor(at(num_updates=n)) for n in range(5)] == [1, 1, 1, 0, 0]


def test_epochs_count_from_1() -> None:
    stage = stage_of(epochs=2)
    assert [stage.factor(at(epoch=n)) for n in range(1, 5)] == [1, 1, 0, 0]


def test_stage_of_length_0_is_never_in_force() -> None:
    assert stage_of(epochs=0).factor(at(epoch=1)) == 0
    assert stage_of(updates=0).factor(at(num_updates=0)) == 0


def test_without_an_end_the_stage_is_always_in_force() -> None:
    assert stage_of().factor(at()) == 1
    assert stage_of().factor(at(epoch=99, num_updates=10**6)) == 1


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("step", [1, 1, 1, 1, 0, 0]),
        ("linear", [1, 0.75, 0.5, 0.25, 0, 0]),
        ("cosine", [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0, 0]),
    ],
)
def test_schedules_fall_from_1_to_0_over_the_stage(schedule: str, shares: list[float]) -> None:
    by_update = stage_of(updates=4, schedule=schedule)
    assert [by_update.factor(at(num_updates=n)) for n in range(6)] == pytest.approx(shares)
    by_epoch = stage_of(epochs=4, schedule=schedule)
    assert [by_epoch.factor(at(epoch=n)) for n in range(1, 7)] == pytest.approx(shares)


def test_unknown_progress_is_an_error_not_a_guess() -> None:
    with pytest.raises(RuntimeError, match="stage of training is unknown"):
        stage_of(epochs=2).factor(at(num_updates=7))
    with pytest.raises(RuntimeError, match="stage of training is unknown"):
        stage_of(updates=2).factor(at(epoch=1))


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ({"epochs": 1, "updates": 2}, r"found both \(--smoothing-epochs 1, --smoothing-updates 2"),
        ({"required": True}, "found neither"),
        ({"schedule": "cosine"}, "--smoothing-schedule cosine needs the length .* found neither"),
        ({"updates": 3, "schedule": "cubic"}, "must be one of step, linear, cosine, found 'cubic'"),
        ({"epochs": -1}, "0 or more.*found --smoothing-epochs -1"),
        ({"updates": -5}, "0 or more.*found --smoothing-updates -5"),
    ],
)
def test_refused_flags(flags: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        stage_of(**flags)


class Task:
    """Takes the trainer's calls as fairseq's tasks do, and notes them."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def begin_epoch(self, epoch: int, model: Any) -> None:
        self.calls.append(("epoch", epoch, model))

    def train_step(
        self, sample: Any, model: Any, criterion: Any, optimizer: Any, update_num: int, **_: Any
    ) -> str:
        self.calls.append(("step", sample, update_num))
        return "result"


def test_progress_follows_the_trainer_and_passes_its_calls_on() -> None:
    task, progress = Task(), TrainingProgress()
    progress.follow(task)
    task.begin_epoch(4, "model")
    assert task.train_step("batch", "m", "c", "o", 17) == "result"
    assert (progress.epoch, progress.num_updates) == (4, 17)
    task.train_step(
        sample="next", model="m", criterion="c", optimizer="o", update_num=18, ignore_grad=True
    )
    task.begin_epoch(epoch=5, model="model")
    assert (progress.epoch, progress.num_updates) == (5, 18)
    assert task.calls == [
        ("epoch", 4, "model"),
        ("step", "batch", 17),
        ("step", "next", 18),
        ("epoch", 5, "model"),
    ]


def test_two_criterions_of_one_task_both_hear() -> None:
    task, first, second = Task(), TrainingProgress(), TrainingProgress()
    first.follow(task)
    second.follow(task)
    task.begin_epoch(2, None)
    assert first.epoch == second.epoch == 2
    assert len(task.calls) == 1


@pytest.mark.parametrize("by_name", [True, False])
def test_a_task_that_passes_its_arguments_on_is_followed(by_name: bool) -> None:
    """As a user's own may, and as fairseq's audio_classification does."""
    heard = []

    class PassesOn(FairseqTask):
        def begin_epoch(self, *args: Any, **kwargs: Any) -> None:
            heard.append(args)

        def train_step(self, sample: Any, *args: Any, **kwargs: Any) -> Any:
            heard.append((sample, *args, *kwargs.values()))

    task, progress = PassesOn(FairseqDataclass()), TrainingProgress()
    progress.follow(task)
    task.begin_epoch(3, "model")
    if by_name:
        names = {"model": "m", "criterion": "c", "optimizer": "o", "update_num": 7}
        task.train_step(sample="batch", **names, ignore_grad=False)
    else:
        task.train_step("batch", "m", "c", "o", 7, ignore_grad=False)
    assert (progress.epoch, progress.num_updates) == (3, 7)
    assert heard == [(3, "model"), ("batch", "m", "c", "o", 7, False)]


def test_what_a_task_is_not_told_stays_unknown() -> None:
    """No error where no stage needs it."""
    task = SimpleNamespace(begin_epoch=lambda *_: "begun", train_step=lambda *_: None)
    progress = TrainingProgress()
    progress.follow(task)
    assert task.begin_epoch() == "begun" and progress.epoch is None


def test_a_task_of_another_shape_is_still_followed() -> None:
    """Only the names `epoch` and `update_num` are relied on, not their positions."""
    calls = []
    task = SimpleNamespace(
        begin_epoch=lambda epoch, model: None,
        train_step=lambda update_num, sample: calls.append((update_num, sample)),
    )
    progress = TrainingProgress()
    progress.follow(task)
    task.train_step(3, sample="batch")
    assert progress.num_updates == 3 and calls == [(3, "batch")]
