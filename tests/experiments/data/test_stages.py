"""Stages: skipped, made again, and killed at every moment."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import stages
from fairseq_labo.experiments.data.stages import Stage, StageRunner
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, read_json

REPOSITORY = Path(__file__).resolve().parents[3]


def _stages(destdir: Path, log: list[str] | None = None, *, text: str = "a") -> list[Stage]:
    """Two stages; the second makes two folders out of the first one's."""
    calls = [] if log is None else log

    def first(folder: Path) -> dict[str, int]:
        calls.append("first")
        for name in ("x", "y"):
            (folder / "work/one" / name).write_text(text * 3, encoding="utf-8")
        return {"lines": 2}

    def second(folder: Path) -> dict[str, int]:
        calls.append("second")
        content = (destdir / "work/one/x").read_text(encoding="utf-8")
        for name in ("two", "three"):
            (folder / name / "z").write_text(content + name, encoding="utf-8")
        return {}

    return [
        Stage("first", ("work/one",), {"text": text}, first),
        Stage("second", ("two", "three"), {}, second, reads=("first",)),
    ]


def _run(destdir: Path, stages_: list[Stage], *, force: bool = False) -> None:
    with locked(destdir, name="work/lock"):
        StageRunner(destdir, force=force).run(stages_)


def _content(destdir: Path) -> dict[str, bytes]:
    paths = (path for path in destdir.rglob("*") if path.is_file())
    return {str(path.relative_to(destdir)): path.read_bytes() for path in paths}


def test_what_is_done_is_skipped(tmp_path: Path) -> None:
    log: list[str] = []
    _run(tmp_path, _stages(tmp_path, log))
    before = _content(tmp_path)
    _run(tmp_path, _stages(tmp_path, log))
    assert log == ["first", "second"] and _content(tmp_path) == before
    assert set(before) == {
        "work/lock", "work/stages.json", "work/one/x", "work/one/y", "two/z", "three/z",
    }  # fmt: skip
    records = read_json(tmp_path / "work" / "stages.json")
    assert records["second"]["made_from"]["inputs"]["first"] == records["first"]["files"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("settings", ["first", "second"]),
        ("settings of the second", ["second"]),
        ("force", ["first", "second"]),
        ("output changed", ["first"]),  # the same again, so the second still fits
        ("output lost", ["second"]),
        ("records lost", ["first", "second"]),
    ],
)
def test_what_changed_is_made_again(tmp_path: Path, change: str, expected: list[str]) -> None:
    _run(tmp_path, _stages(tmp_path))
    before = _content(tmp_path)
    log: list[str] = []
    again = _stages(tmp_path, log, text="b" if change == "settings" else "a")
    if change == "settings of the second":
        again[1] = replace(again[1], settings={"other": 1})
    if change == "output changed":
        (tmp_path / "work/one/y").write_text("edited", encoding="utf-8")
    if change == "output lost":
        (tmp_path / "three/z").unlink()
    if change == "records lost":
        (tmp_path / stages.RECORDS).write_text("{broken", encoding="utf-8")
    _run(tmp_path, again, force=change == "force")
    assert log == expected
    if not change.startswith("settings"):
        assert _content(tmp_path) == before


def test_files_of_a_user_are_never_lost(tmp_path: Path) -> None:
    """They are no damage; what would replace them is refused before any work."""
    log: list[str] = []
    _run(tmp_path, _stages(tmp_path))
    (tmp_path / "two/mine").write_text("kept", encoding="utf-8")
    _run(tmp_path, _stages(tmp_path, log))
    for again, force in ((_stages(tmp_path, log), True), (_stages(tmp_path, log, text="b"), False)):
        with pytest.raises(UserError, match=r"expected only what labo prepare wrote .*'two/mine'"):
            _run(tmp_path, again, force=force)
    assert log == []
    assert (tmp_path / "two/mine").read_text("utf-8") == "kept"


@pytest.mark.parametrize("name", ["two/mine", "two/z"])
def test_files_of_a_user_are_never_lost_where_no_record_tells_them(
    name: str, tmp_path: Path
) -> None:
    """What is not the same as what is made is nobody's but a user's; what is the same may go."""
    _run(tmp_path, _stages(tmp_path))
    before = _content(tmp_path)
    shutil.rmtree(tmp_path / "work")
    (tmp_path / name).write_text("kept", encoding="utf-8")
    with pytest.raises(UserError, match=f"expected only what labo prepare wrote .*'{name}'"):
        _run(tmp_path, _stages(tmp_path))
    assert (tmp_path / name).read_text("utf-8") == "kept"
    (tmp_path / name).unlink()
    _run(tmp_path, _stages(tmp_path))
    assert _content(tmp_path) == before


def test_a_stage_that_fails_leaves_what_was(tmp_path: Path) -> None:
    _run(tmp_path, _stages(tmp_path))
    before = _content(tmp_path)

    def fail(folder: Path) -> dict[str, int]:
        (folder / "work/one/x").write_text("half", encoding="utf-8")
        raise UserError("no")

    bad = [replace(_stages(tmp_path)[0], run=fail, settings={"text": "c"})]
    with pytest.raises(UserError, match="no"):
        _run(tmp_path, bad)
    assert _content(tmp_path) == before


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path, name="work/lock"),
        pytest.raises(UserError, match="found another process at work"),
        locked(tmp_path, name="work/lock"),
    ):
        raise AssertionError("both hold it")
    with locked(tmp_path, name="work/lock"):
        pass


def _killed_at(event: int, work: Callable[[], None]) -> bool:
    """Run `work` in a child that kills itself before its `event`-th change on disk."""
    child = os.fork()
    if child == 0:
        count = 0

        def watched(original: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal count
                count += 1
                if count == event:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args, **kwargs)

            return call

        for name in ("mkdir", "rename", "replace", "unlink", "write_text", "touch"):
            setattr(Path, name, watched(getattr(Path, name)))
        shutil.rmtree = watched(shutil.rmtree)  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
def test_killed_before_every_change_on_disk(tmp_path: Path) -> None:
    """First from nothing, then while other settings replace finished outputs."""
    expected = {}
    for text in ("a", "b"):
        _run(tmp_path / text, _stages(tmp_path / text, text=text))
        expected[text] = _content(tmp_path / text)
    kills = 0
    for beginning, text in ((None, "a"), ("b", "a")):
        for event in range(1, 100):
            destdir = tmp_path / f"{beginning}{event}"
            if beginning is not None:
                shutil.copytree(tmp_path / beginning, destdir)

            def work(destdir: Path = destdir, text: str = text) -> None:
                _run(destdir, _stages(destdir, text=text))

            if not _killed_at(event, work):
                break
            kills += 1
            work()
            assert _content(destdir) == expected[text], (beginning, event)
    assert kills > 25
