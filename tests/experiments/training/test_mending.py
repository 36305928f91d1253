"""Checkpoints cut off by a kill or a full disk, as fairseq's copies may be."""

import os
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.training.mending import gone_on_from, mend


def save(path: Path, value: float, *, age: int = 0) -> bytes:
    """A checkpoint, written so many seconds ago."""
    torch.save({"model": {"w": torch.tensor(value)}}, path)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path.read_bytes()


def cut(path: Path, whole: bytes) -> bytes:
    path.write_bytes(whole[: len(whole) // 2])
    return path.read_bytes()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_last_one_cut_off_is_replaced_by_the_newest_good_one(kept: float, tmp_path: Path) -> None:
    save(tmp_path / "checkpoint_best.pt", 1.0, age=60)
    whole = save(tmp_path / "checkpoint_2_50.pt", 2.0, age=30)
    last = tmp_path / "checkpoint_last.pt"
    last.write_bytes(whole[: int(len(whole) * kept)])
    half = last.read_bytes()
    (said,) = mend(tmp_path, log="train.log")
    assert last.read_bytes() == whole
    assert (tmp_path / "checkpoint_last.pt.damaged-1").read_bytes() == half
    assert said.startswith(f"{last}: expected a checkpoint of fairseq, found ")
    assert said.endswith("a copy of checkpoint_2_50.pt; what was found is now "
                         "checkpoint_last.pt.damaged-1")  # fmt: skip


def test_a_best_one_cut_off_is_what_was_being_copied(tmp_path: Path) -> None:
    """The disk got full behind checkpoint_1_50.pt; the last one is from before."""
    old = save(tmp_path / "checkpoint_last.pt", 1.0, age=60)
    whole = save(tmp_path / "checkpoint_1_50.pt", 2.0)
    cut(tmp_path / "checkpoint_best.pt", whole)
    mend(tmp_path, log="train.log")
    assert (tmp_path / "checkpoint_best.pt").read_bytes() == whole
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == old


def test_the_last_one_is_not_taken_for_the_best(tmp_path: Path) -> None:
    whole = save(tmp_path / "checkpoint_last.pt", 1.0)
    cut(tmp_path / "checkpoint_best.pt", whole)
    (said,) = mend(tmp_path, log="train.log")
    assert names(tmp_path) == {"checkpoint_last.pt", "checkpoint_best.pt.damaged-1"}
    assert "going on" not in said


def test_without_a_good_one_training_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_last.pt").write_bytes(b"PK cut off")
    (said,) = mend(tmp_path, log="train.log")
    assert names(tmp_path) == {"checkpoint_last.pt.damaged-1"} and "no good one" in said
    (tmp_path / "checkpoint_last.pt").write_bytes(b"PK again")  # nothing is overwritten
    mend(tmp_path, log="train.log")
    assert (tmp_path / "checkpoint_last.pt.damaged-1").read_bytes() == b"PK cut off"
    assert (tmp_path / "checkpoint_last.pt.damaged-2").read_bytes() == b"PK again"


def test_whole_checkpoints_stay(tmp_path: Path) -> None:
    assert mend(tmp_path, log="train.log") == []  # nothing there: nothing to do
    files = {name: save(tmp_path / name, 1.0) for name in ("checkpoint_best.pt", "checkpoint1.pt")}
    files["checkpoint_last.pt"] = save(tmp_path / "checkpoint_last.pt", 2.0, age=99)
    assert mend(tmp_path, log="train.log") == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("trained", [True, False])
def test_a_kill_before_the_first_last_one(trained: bool, tmp_path: Path) -> None:
    """Only where a training has been: others may have put a checkpoint there."""
    whole = save(tmp_path / "checkpoint_best.pt", 1.0)
    if trained:
        (tmp_path / "train.log").touch()
    assert len(mend(tmp_path, log="train.log")) == trained
    last = tmp_path / "checkpoint_last.pt"
    if trained:  # with --no-last-checkpoints there never was one, and a copy would grow old
        last.unlink()
        assert mend(tmp_path, log="train.log", has_last=False) == [] and not last.exists()
        assert len(mend(tmp_path, log="train.log")) == 1
    assert last.exists() == trained and (not trained or last.read_bytes() == whole)


@pytest.mark.parametrize("trained", [True, False])
def test_what_is_gone_on_from_is_told_without_mending(trained: bool, tmp_path: Path) -> None:
    """A newer checkpoint that others have put there is not."""
    last, best = (tmp_path / f"checkpoint_{name}.pt" for name in ("last", "best"))
    assert gone_on_from(tmp_path, "train.log") is None
    whole = save(last, 1.0, age=60)
    save(best, 2.0)
    if trained:
        (tmp_path / "train.log").touch()
    before = names(tmp_path)
    assert gone_on_from(tmp_path, "train.log") == last
    cut(last, whole)
    assert gone_on_from(tmp_path, "train.log") == best and names(tmp_path) == before
    last.unlink()
    assert gone_on_from(tmp_path, "train.log") == (best if trained else None)


def test_what_may_not_be_read_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = save(tmp_path / "checkpoint_last.pt", 1.0)
    opened = Path.open

    def refused(path: Path, *arguments: str) -> object:
        if path.name == "checkpoint_last.pt":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        with pytest.raises(PermissionError, match=r"checkpoint_last\.pt"):
            mend(tmp_path, log="train.log")
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == whole
