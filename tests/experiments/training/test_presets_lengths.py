"""When the training of a command ends, and its first stage."""

from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import presets
from fairseq_labo.experiments.training.flags import option, value_of
from fairseq_labo.experiments.training.progress import STAGE_FLAGS
from tests.experiments.training.test_presets import arguments, corpus


@pytest.mark.parametrize(
    ("passed_on", "found"),
    [
        ("--max-epoch 0", "--max-epoch 0"),
        ("--max-epoch=-1", "--max-epoch -1"),
        (
            "--max-epoch 0 --max-update 0 --patience -1",
            "--max-epoch 0 --max-update 0 --patience -1",
        ),
        ("--max-update -5", "--max-epoch 10 --max-update -5"),
        ("--max-epoch 0 --stop-time-hours inf", "--max-epoch 0 --stop-time-hours inf"),
        # It counts validations.
        ("--max-epoch 0 --patience 2 --disable-validation", "--max-epoch 0 --patience 2"),
    ],
)
def test_a_training_without_an_end(passed_on: str, found: str, tmp_path: Path) -> None:
    """fairseq's 0 is no limit; below it, it trains nothing, or one update."""
    with pytest.raises(UserError) as caught:
        arguments(corpus(tmp_path / "data"), *passed_on.split())
    assert f"expected an end of the training, found {found}: for fair" in str(caught.value)


def test_a_training_that_leaves_no_checkpoint(tmp_path: Path) -> None:
    """fairseq saves at the end of an epoch, not at that of the training."""
    data = corpus(tmp_path / "data")
    with pytest.raises(UserError, match="found --save-interval 11 and 10 epochs; give a smaller"):
        arguments(data, "--save-interval", "11")
    with pytest.raises(UserError, match="found --save-interval 4 and 3 epochs"):
        arguments(data, "--save-interval", "4", "--max-epoch", "3")
    for words in ("10", "11 --max-epoch 0 --patience 9", "11 --max-update 5", "11 --no-save"):
        arguments(data, "--save-interval", *words.split())


@pytest.mark.parametrize(
    "passed_on",
    ["", "--max-update 0", "--max-epoch 0 --max-update 9", "--max-epoch 0 --stop-time-hours 0.5",
     "--max-epoch 0 --patience 3", "--max-epoch 0 --stop-min-lr 1e-9", "--max-epoch many"],
)  # fmt: skip
def test_a_training_with_an_end(passed_on: str, tmp_path: Path) -> None:
    words = arguments(corpus(tmp_path / "data"), *passed_on.split())
    assert words[len(words) - len(passed_on.split()) :] == passed_on.split()


@pytest.mark.parametrize(
    "before",
    [
        {"smoothing_epochs": 1},
        {"smoothing_updates": 9, "smoothing_schedule": "cosine"},
        {"teacher_path": "t.pt", "teacher_temperature": 2.5},
        None,  # it cannot be read: the training will say so
    ],
)
@pytest.mark.parametrize("flag", [None, "--restore-file", "--continue-once"])
def test_more_epochs_do_not_begin_stage_1_again(
    before: dict[str, Any] | None,
    flag: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Half of the epochs is the default of a training that begins; another keeps its stages."""
    data = corpus(tmp_path / "data")
    run = tmp_path / "run"
    run.mkdir()
    tsla: Any = {"criterion": "tsla_cross_entropy", "epochs": 8, "save_dir": run}
    file = (tmp_path if flag else run) / "checkpoint_last.pt"
    words = [flag, str(file)] if flag else []
    assert value_of("--smoothing-epochs", arguments(data, *words, **tsla)) == "4"
    file.touch()
    asked = []
    monkeypatch.setattr(presets, "apart", lambda function, path: asked.append(path) or before)
    expected = before or {"smoothing_epochs": 4}
    made = arguments(data, *words, **tsla)
    assert {flag: value_of(option(flag), made) for flag in STAGE_FLAGS} == {
        flag: str(expected[flag]) if flag in expected else None for flag in STAGE_FLAGS
    }
    assert asked == [file if flag else run]
    assert value_of("--smoothing-epochs", arguments(data, smoothing_epochs=3, **tsla)) == "3"
    made = arguments(data, *words, smoothing_schedule="linear", **tsla)
    assert value_of("--smoothing-schedule", made) == "linear"
    # Whose epochs are counted anew begins.
    made = arguments(data, *words, "--reset-dataloader", **tsla)
    assert value_of("--smoothing-epochs", made) == "4"
    # Another's checkpoint is continued but once.
    (run / "checkpoint_last.pt").touch()
    del asked[:]
    arguments(data, *words, **tsla)
    assert asked == [file if flag == "--restore-file" else run]


def test_the_default_restore_file_is_that_of_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint_last.pt").touch()
    asked = []
    monkeypatch.setattr(
        presets, "apart", lambda _, path: asked.append(path) or {"teacher_path": "t"}
    )
    tsla: Any = {"criterion": "tsla_cross_entropy", "save_dir": tmp_path}
    words = ["--restore-file", "checkpoint_last.pt"]
    data = corpus(tmp_path / "data")
    assert value_of("--teacher-path", arguments(data, *words, **tsla)) == "t"
    assert asked == [tmp_path]
    # The teacher that is kept does not go with a prior; with a length it is not kept.
    match = r"found both \(unigram, t\); leave one out, or give the length of stage 1"
    for words, flags in (([], {"label_prior": "unigram"}), (["--label-prior", "unigram"], {})):
        with pytest.raises(UserError, match=match):
            arguments(data, *words, **tsla, **flags)
        made = arguments(data, *words, smoothing_epochs=2, **tsla, **flags)
        assert value_of("--teacher-path", made) is None


def test_of_a_training_without_stages_the_length_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its epochs count: half of all may be past, and no update would be smoothed."""
    data = corpus(tmp_path / "data")
    (tmp_path / "checkpoint_last.pt").touch()
    monkeypatch.setattr(presets, "apart", lambda function, path: {"teacher_temperature": 1.0})
    tsla: Any = {"criterion": "tsla_cross_entropy", "epochs": 8, "save_dir": tmp_path}
    with pytest.raises(UserError, match=r"without stages is gone on from .*, found none; give"):
        arguments(data, **tsla)
    assert value_of("--smoothing-epochs", arguments(data, smoothing_epochs=6, **tsla)) == "6"


@pytest.mark.parametrize(
    ("passed_on", "expected"),
    [
        (["--smoothing-updates", "5"], None),
        (["--teacher-path=t.pt"], None),
        (["--smoothing-epochs", "2"], "2"),
        (["--max-epoch", "30"], "15"),
        (["--max-epoch", "20", "--max-update", "0"], "10"),
        (["--max-epoch", "many"], "4"),  # fairseq's to refuse
    ],
)
def test_stage_1_by_what_stands_behind_the_dashes(
    passed_on: list[str], expected: str | None, tmp_path: Path
) -> None:
    tsla: Any = {"criterion": "tsla_cross_entropy", "epochs": 8, "save_dir": tmp_path}
    words = arguments(corpus(tmp_path / "data"), *passed_on, **tsla)
    assert value_of("--smoothing-epochs", words) == expected


def test_the_length_of_stage_1_must_be_given_where_updates_end(tmp_path: Path) -> None:
    """Half of the epochs is more than ten updates: stage 2 would never begin."""
    data = corpus(tmp_path / "data")
    tsla: Any = {"criterion": "tsla_cross_entropy", "save_dir": tmp_path}
    with pytest.raises(UserError, match=r"expected the length of stage 1.* N below 10$"):
        arguments(data, "--max-update", "10", **tsla)
    words = arguments(data, "--max-update", "10", smoothing_updates=5, **tsla)
    assert value_of("--smoothing-updates", words) == "5"
    with pytest.raises(UserError, match=r"half of one epoch is none, .* give --smoothing-updates"):
        arguments(data, epochs=1, **tsla)
    assert value_of("--smoothing-epochs", arguments(data, epochs=2, **tsla)) == "1"
