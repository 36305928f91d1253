"""How far a run is, and what is said of it before it goes on."""

import shutil
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import progress
from tests.conftest import TINY_MODEL
from tests.experiments.training.conftest import StateOf, checkpoint

EARLY_STOP = "early stop since valid performance hasn't improved for last {} runs"


def test_flags_of_the_command_line(tmp_path: Path) -> None:
    """As main reads them: fairseq's parser knows them, the last one of a flag counts."""
    checkpoint(tmp_path / "checkpoint_last.pt")
    arguments = ["data", "--save-dir", str(tmp_path), *TINY_MODEL, "--optimizer", "adam"]
    arguments += ["--max-epoch", "9", "--max-epoch", "2", "--update-epoch-batch-itr", "True"]
    finished, (message,) = progress.state_of(arguments, tmp_path, "train.log", True)
    assert finished and message.startswith("finished: 2 epochs are done of --max-epoch 2 (")
    more = [*arguments, "--max-epoch", "3"]
    assert progress.state_of(more, tmp_path, "train.log", True) == (False, [])


@pytest.mark.slow
def test_a_damaged_last_checkpoint(tmp_path: Path) -> None:
    """Mended if asked to, else an error with the way out; what is named by a flag is not ours."""
    good = checkpoint(tmp_path / "checkpoint_best.pt")
    last, other = tmp_path / "checkpoint_last.pt", tmp_path / "other.pt"
    for path in (last, other):
        path.write_bytes(good.read_bytes()[:-300])
    arguments = ["data", "--save-dir", str(tmp_path), *TINY_MODEL, "--optimizer", "adam"]
    with pytest.raises(
        UserError, match=r"last\.pt: .* its end is missing .*best\.pt: --resume auto"
    ):
        progress.state_of(arguments, tmp_path, "train.log", False)
    for named in (other, tmp_path / "absent.pt"):
        words = [*arguments, "--restore-file", str(named)]
        with pytest.raises(UserError, match=rf"{named.name}: expected a checkpoint.*: name anothe"):
            progress.state_of(words, tmp_path, "train.log", True)
    assert len(last.read_bytes()) == len(other.read_bytes())  # neither was touched
    finished, said = progress.state_of(arguments, tmp_path, "train.log", True)
    assert not finished and "going on with a copy of checkpoint_best.pt" in said[0]
    assert last.read_bytes() == good.read_bytes()
    assert "resuming in epoch 3" in said[1]


def test_a_checkpoint_elsewhere_is_left_to_fairseq(state_of: StateOf) -> None:
    assert state_of("checkpoint.restore_file='s3://bucket/model.pt'") == (False, "")


def test_a_run_that_continues_another_once(state_of: StateOf, tmp_path: Path) -> None:
    """Another's checkpoint counts until the run has its own."""
    other = checkpoint(tmp_path / "elsewhere" / "other.pt", updates=50)
    words = (f"checkpoint.continue_once={other}", "optimization.max_update=50")
    finished, message = state_of(*words)
    assert finished and message.startswith(
        f"finished: 50 updates are done of --max-update 50 ({other}"
    )
    assert message.endswith("to train afresh, leave out the flag that names it")
    assert state_of("checkpoint.continue_once='s3://bucket/model.pt'") == (False, "")
    checkpoint(tmp_path / "checkpoint_last.pt", updates=40)
    finished, message = state_of(*words)
    assert not finished and "resuming in epoch 3" in message
    other.write_bytes(b"")
    assert not state_of(*words)[0]
    (tmp_path / "checkpoint_last.pt").unlink()
    with pytest.raises(UserError, match=r"other\.pt: .*: name another"):
        state_of(*words)


def test_a_new_run_begins(state_of: StateOf) -> None:
    assert state_of("optimization.max_update=1") == (False, "")


@pytest.mark.parametrize(
    ("options", "finished"),
    [
        ([], None),
        (["optimization.max_update=41"], None),
        (["optimization.max_update=40"], "40 updates are done of --max-update 40"),
        (["optimization.max_update=30"], "40 updates are done of --max-update 30"),
        (["optimization.max_epoch=3"], None),
        (["optimization.max_epoch=2"], "2 epochs are done of --max-epoch 2"),
        (["optimization.stop_time_hours=3"], None),
        (["optimization.stop_time_hours=2"], "2.5 hours are over of --stop-time-hours 2"),
        # What resets the count begins anew.
        (["optimization.max_update=40", "checkpoint.reset_optimizer=true"], None),
        (["optimization.max_epoch=2", "checkpoint.reset_dataloader=true"], None),
    ],
)
def test_limits(
    options: list[str], finished: str | None, state_of: StateOf, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "checkpoint_last.pt")
    state = state_of(*options)
    assert state[0] == (finished is not None)
    assert finished is None or state[1].startswith(f"finished: {finished} ({path}). Nothing is")


@pytest.mark.parametrize(
    ("lines", "patience", "finished"),
    [
        ([EARLY_STOP.format(3)], 3, True),
        ([EARLY_STOP.format(3)], 2, True),
        ([EARLY_STOP.format(3)], 4, False),  # more patience: it goes on
        ([EARLY_STOP.format(3)], 0, False),
        ([EARLY_STOP.format(3), "Start iterating over samples"], 3, False),  # it went on
        (["Start iterating over samples", "saved"], 3, False),
        ([], 3, False),
    ],
)
def test_early_stop(
    lines: list[str], patience: int, finished: bool, state_of: StateOf, tmp_path: Path
) -> None:
    checkpoint(tmp_path / "checkpoint_last.pt")
    (tmp_path / "train.log").write_text("\n".join(lines), encoding="utf-8")
    state = state_of(f"checkpoint.patience={patience}")
    assert state[0] == finished
    assert (f"it stopped early: {patience} validations without" in state[1]) == finished


def test_a_cut_off_checkpoint_to_begin_with_is_named(tmp_path: Path) -> None:
    good = checkpoint(tmp_path / "good.pt")
    cut = tmp_path / "checkpoint_best.pt"
    cut.write_bytes(good.read_bytes()[:-300])
    progress.check_begun_with({"--teacher-path": good})
    with pytest.raises(UserError, match=r"^--teacher-path: .*_best.pt: expected .* end is missing"):
        progress.check_begun_with({"--teacher-path": cut})


def test_stages_of_what_was_begun(tmp_path: Path) -> None:
    """Whatever says when it is regularized, and by whom; of a folder, or a file by its name."""
    path = checkpoint(tmp_path / "checkpoint_last.pt")
    assert progress.stages_of(tmp_path) == {}
    content = torch.load(path)
    stages = {"smoothing_updates": 9, "smoothing_schedule": "cosine", "teacher_path": "t.pt"}
    criterion = {"_name": "tsla_cross_entropy", "smoothing_epochs": None, "label_smoothing": 0.2}
    content["cfg"] = {"criterion": criterion | stages}
    torch.save(content, path)
    assert progress.stages_of(tmp_path) == progress.stages_of(path) == stages
    other = {"smoothing_epochs": 0, "teacher_temperature": 2.0}  # a first stage of none
    content["cfg"] = {"criterion": {"_name": "tsla_cross_entropy"} | other}
    foreign = tmp_path / "checkpoint_teacher.pt"  # newer, but nobody goes on from it
    torch.save(content, foreign)
    assert progress.stages_of(foreign) == other and progress.stages_of(tmp_path) == stages
    path.rename(tmp_path / "mine.pt")
    assert progress.stages_of(tmp_path) is None and progress.corpus_begun(tmp_path) == {}
    foreign.unlink()
    (tmp_path / "mine.pt").rename(path)
    best = tmp_path / "checkpoint_best.pt"
    shutil.copyfile(path, best)
    path.write_bytes(path.read_bytes()[:99])
    assert progress.stages_of(tmp_path) == stages  # it goes on with that one
    assert progress.stages_of(path) is None  # the training will say so
    best.unlink()
    assert progress.stages_of(tmp_path) is None


def test_early_stop_needs_a_log(state_of: StateOf, tmp_path: Path) -> None:
    checkpoint(tmp_path / "checkpoint_last.pt")
    assert not state_of("checkpoint.patience=3")[0]


@pytest.mark.parametrize(
    ("epoch", "option", "rebuilds"),
    [
        (1, "checkpoint.patience=-1", False),
        (2, "checkpoint.patience=-1", True),
        (2, "dataset.update_epoch_batch_itr=true", False),
        (2, "checkpoint.reset_dataloader=true", False),
    ],
)
def test_batches_of_a_restart(
    epoch: int, option: str, rebuilds: bool, state_of: StateOf, tmp_path: Path
) -> None:
    checkpoint(tmp_path / "checkpoint_last.pt", epoch=epoch)
    finished, message = state_of(option)
    assert not finished
    assert message.startswith(f"warning: resuming in epoch {epoch}: fairseq") == rebuilds
    assert rebuilds or not message


def test_another_checkpoint_is_asked_where_one_is_named(state_of: StateOf, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other" / "model.pt", updates=90)
    checkpoint(tmp_path / "checkpoint_last.pt", updates=10)
    state = state_of(f"checkpoint.restore_file={other}", "optimization.max_update=50")
    assert state[0] and f"90 updates are done of --max-update 50 ({other})" in state[1]
