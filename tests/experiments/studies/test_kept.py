"""What trainings must leave for their study: told by their flags, before any of them begins."""

from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from tests.experiments.studies.test_study import methods, read

EVERY = "--save-interval-updates 100"
AVERAGE = {"checkpoint": "average5"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({}, r"smooth: expected 5 .*none are kept; add extra: --save-interval-updates N "
             "--keep-interval-updates 5$"),
        ({"extra": f"{EVERY} --keep-interval-updates 4"}, "found --keep-interval-updates 4; add"),
        ({"extra": f"{EVERY} --max-update 499"}, "found --save-interval-updates 100 and --max-up"),
        ({"extra": f"{EVERY} --max-update 500"}, None),
        ({"extra": "--save-interval inf"}, "expected 5 numbered checkpoints"),  # fairseq says so
        ({"extra": "--save-interval-updates=0"}, "expected 5 .*, found that none are kept"),
        ({"extra": "--keep-last-epochs 4", "epochs": 5}, "found --keep-last-epochs 4; give"),
        ({"extra": "--save-interval 2", "epochs": 8}, "found --save-interval 2 and 8 epochs; give"),
        ({"extra": EVERY, "grid": {"epochs": [2, 6]}}, None),
        ({"extra": f"{EVERY} --save-interval=100"}, None),
        ({"extra": "--save-interval=1", "grid": {"epochs": [5, 4]}}, "1 and 4 epochs"),
        ({"extra": f"{EVERY} --save-interval=4 --keep-last-epochs 2", "epochs": 10}, None),
        ({"extra": f"{EVERY} --keep-interval-updates 2 --keep-interval-updates-pattern 100"}, None),
        ({"extra": "--save-interval 1", "epochs": 5}, None),
        ({"extra": f"{EVERY} --keep-interval-updates 5"}, None),
        ({"extra": f"{EVERY} --keep-interval-updates -1"}, None),
    ],
)  # fmt: skip
def test_checkpoints_to_average_are_kept(
    changes: dict[str, Any], match: str | None, tmp_path: Path
) -> None:
    """Else all would be trained before the first evaluation says so."""
    entries = {"baseline": "smooth", "evaluate": AVERAGE, **methods(**changes)}
    if match is None:
        read(tmp_path, **entries)
        return
    with pytest.raises(UserError, match=f"methods.{match}" if "smooth" in match else match):
        read(tmp_path, **entries)


def test_a_methods_extra_goes_before_the_studys(tmp_path: Path) -> None:
    train = {"epochs": 3, "extra": f"{EVERY} --keep-interval-updates 5"}
    read(tmp_path, train=train, evaluate=AVERAGE)
    own = methods(extra="--keep-interval-updates 3")
    with pytest.raises(UserError, match=r"methods\.smooth: .*found --keep-interval-updates 3"):
        read(tmp_path, train=train, evaluate=AVERAGE, **own)


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({"extra": "--validate-interval 4"}, True),
        ({"extra": "--validate-interval 3"}, False),
        ({"extra": "--validate-interval 4", "epochs": 4}, False),
        ({"extra": "--validate-interval 4", "grid": {"epochs": [4, 2]}}, True),
        ({"extra": f"--validate-interval 4 {EVERY}"}, False),
        ({"extra": "--validate-interval 4 --validate-interval-updates=9"}, False),
        ({"extra": "--validate-interval 4 --max-update 9"}, False),  # fairseq validates at its end
    ],
)
def test_trainings_without_validation_are_refused(
    changes: dict[str, Any], is_refused: bool, tmp_path: Path
) -> None:
    if not is_refused:
        read(tmp_path, **methods(**changes))
        return
    match = "methods.smooth: expected a validation .*, found --validate-interval 4 and [23] epochs"
    with pytest.raises(UserError, match=match):
        read(tmp_path, **methods(**changes))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"epochs": 1}, "expected the length of stage 1, for half of one epoch is none"),
        ({"extra": "--max-update 50"}, r"stage 1 where --max-update ends .* N below 50$"),
        ({"grid": {"epochs": [2, 1]}}, "half of one epoch is none"),
        ({"epochs": 1, "smoothing_updates": 3}, None),
        ({"epochs": 1, "grid": {"smoothing-updates": [3, 4]}}, None),
        ({"epochs": 1, "teacher": "smooth"}, None),
        ({"epochs": 2}, None),
    ],
)
def test_two_stages_whose_first_has_no_length(
    changes: dict[str, Any], match: str | None, tmp_path: Path
) -> None:
    """Else the run before it is trained, and this one then fails."""
    both = methods()["methods"] | {"two": {"criterion": "tsla_cross_entropy", **changes}}
    if match is None:
        read(tmp_path, methods=both)
        return
    with pytest.raises(UserError, match=rf"methods\.two: .*{match}"):
        read(tmp_path, methods=both)


def test_the_length_of_stage_1_may_be_the_study_s(tmp_path: Path) -> None:
    two = {"criterion": "tsla_cross_entropy"}
    train = {"epochs": 1, "smoothing_updates": 5}
    read(tmp_path, train=train, baseline="two", methods={"two": two})


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        ("--save-interval 4", "a checkpoint of the training, found --save-interval 4 and 3 epochs"),
        ("--save-interval 4 --patience 2", "a .*, found --save-interval 4 and 3 epochs"),
        ("--save-interval 3", None),
        ("--save-interval 4 --max-update 9", None),  # at whose end fairseq saves
        ("--save-interval 4 --stop-time-hours 0.5", None),
        (f"--save-interval 4 {EVERY}", None),
        (
            "--validate-after-updates 10 --max-update 9",
            "a validation in each training, .*-updates 10 and --max-update 9; give",
        ),
        ("--validate-after-updates 9 --max-update 9", None),
        ("--validate-after-updates 10", None),
    ],
)
def test_a_training_saves_and_validates(extra: str, match: str | None, tmp_path: Path) -> None:
    """Else it is trained to its end, and lost."""
    entries = methods(extra=extra)
    if match is None:
        read(tmp_path, train={"epochs": 3}, **entries)
        return
    with pytest.raises(UserError, match=rf"methods\.smooth: expected {match}"):
        read(tmp_path, train={"epochs": 3}, **entries)


@pytest.mark.parametrize(
    ("extra", "checkpoint", "is_refused"),
    [
        ("--save-interval 2 --validate-interval 3", "best", True),
        ("--save-interval 3 --validate-interval 2", "best", True),
        ("--save-interval 2 --validate-interval 3", "last", False),
        ("--save-interval 2 --validate-interval 4", "best", False),
        ("--save-interval 2 --validate-interval 3 --max-update 9", "best", False),
    ],
)
def test_a_best_checkpoint_is_saved_when_it_is_validated(
    extra: str, checkpoint: str, is_refused: bool, tmp_path: Path
) -> None:
    entries = {
        **methods(extra=extra),
        "train": {"epochs": 4},
        "evaluate": {"checkpoint": checkpoint},
    }
    if not is_refused:
        read(tmp_path, **entries)
        return
    with pytest.raises(UserError, match="saved when it is validated, as evaluate"):
        read(tmp_path, **entries)


@pytest.mark.parametrize("place", ["method", "grid", "train"])
def test_stage_1_has_one_length(place: str, tmp_path: Path) -> None:
    length = {"smoothing_updates": 3}
    two = {"criterion": "tsla_cross_entropy", "smoothing-epochs": 1}
    two |= {"method": length, "grid": {"grid": {"smoothing_updates": [3, 4]}}, "train": {}}[place]
    train = {"epochs": 2, **(length if place == "train" else {})}
    with pytest.raises(UserError, match=r"methods\.two: expected one of .*, found both; leave"):
        read(tmp_path, train=train, baseline="two", methods={"two": two})


def test_the_last_checkpoint_is_kept_where_it_is_evaluated(tmp_path: Path) -> None:
    none = methods(extra="--no-last-checkpoints")
    with pytest.raises(UserError, match=r"methods\.smooth: .*found --no-last-checkpoints; leave"):
        read(tmp_path, **none)
    read(tmp_path, evaluate={"checkpoint": "best"}, **none)
