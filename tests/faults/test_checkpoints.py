"""Checkpoints that are none: named, with the newest good one beside them, and never run."""

import os
import random
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments import cli, provenance
from fairseq_labo.experiments.checkpoints import fingerprint, load_checkpoint
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.averaging import average_checkpoints

MARK = "code-was-run"


class Malicious:
    """Makes a file when it is unpickled by what obeys a pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def saved(path: Path, content: Any, *, zipped: bool = True) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def cut(path: Path, *, zipped: bool) -> None:
    saved(path, {"model": {"w": torch.ones(5000)}}, zipped=zipped)
    path.write_bytes(path.read_bytes()[:9000])


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


def model(**content: Any) -> dict[str, Any]:
    return {"model": {"w": torch.ones(2)}, **content}


def mark(path: Path) -> Path:
    return path.parent / MARK


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no file"),
    "folder": (Path.mkdir, "a folder"),
    "pipe": (os.mkfifo, "no file"),
    "empty": (Path.touch, "an empty file"),
    "text": (lambda path: path.write_text("no checkpoint"), "another kind of file, or a damaged"),
    "bytes": (lambda path: path.write_bytes(bytes(range(256)) * 40), "another kind of file"),
    "archive": (other_archive, "another kind of file"),
    "cut": (lambda path: cut(path, zipped=True), "a part of one: its end is missing"),
    "cut-old-format": (lambda path: cut(path, zipped=False), "another kind of file, or a damaged"),
    "tensor": (lambda path: saved(path, torch.ones(2)), "a file without a model"),
    "no-model": (lambda path: saved(path, {"cfg": {}}), "a file without a model"),
    "no-tensors": (lambda path: saved(path, {"model": {"w": 1}}), "a file without a model"),
    "no-settings": (lambda path: saved(path, model(cfg=5)), "no dict in its entry 'cfg'"),
    "type": (lambda path: saved(path, model(x=Fraction(1, 2))), "an object of fractions.Fraction"),
    "code": (lambda path: saved(path, model(x=Malicious(mark(path)))), "an object of posix.system"),
    "code-old-format": (
        lambda path: saved(path, model(x=Malicious(mark(path))), zipped=False),
        "an object of posix.system",
    ),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """The place of a checkpoint that is none, and what is said of it."""
    make, found = BROKEN[request.param]
    make(tmp_path / "checkpoint9.pt")
    return tmp_path / "checkpoint9.pt", found


def test_named_with_the_newest_good_one(broken: tuple[Path, str]) -> None:
    path, found = broken
    with pytest.raises(UserError) as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"{path}: expected a checkpoint of fairseq, found {found}")
    assert str(error.value).endswith("no good one is beside it")
    good = path.with_name("checkpoint1.pt")
    saved(good, model())
    path.with_name("checkpoint2.pt").touch()
    with pytest.raises(UserError, match=f"the newest good one beside it is {good}"):
        load_checkpoint(path)
    assert not mark(path).exists()


def test_every_reader_refuses(
    broken: tuple[Path, str], materials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, found = broken
    good = path.with_name("checkpoint8.pt")
    saved(good, model())
    readers: list[Callable[[], object]] = [
        lambda: provenance.describe_checkpoint(path),
        lambda: average_checkpoints([good, path], path.with_name("average")),
    ]
    for reader in readers:
        with pytest.raises(UserError, match=found):
            reader()
    data = ["--data", str(materials / "corpus"), "--cpu"]
    commands = [
        ["inspect", *data, "--checkpoint", str(path)],
        ["evaluate", *data, "--checkpoint", str(path)],
    ]
    if path.exists():
        commands.append(["evaluate", *data, "--checkpoint", str(path.parent), "--average", "2"])
    for command in commands:
        assert cli.main(command) == 1
        said = capsys.readouterr().err
        assert found in said or (path.is_dir() and "found a folder" in said), command
        assert "Traceback" not in said and "weights_only" not in said
    assert not mark(path).exists()
    assert not path.with_name("average").exists()


def test_random_damage_is_found(tmp_path: Path) -> None:
    """A changed byte: found, or without effect (in what fills up the archive)."""
    path = tmp_path / "checkpoint1.pt"
    saved(path, {"model": {"w": torch.arange(100.0)}, "cfg": {"task": {"_name": "translation"}}})
    content = path.read_bytes()
    generator = random.Random(1)
    found = 0
    for _ in range(300):
        place = generator.randrange(len(content))
        byte = content[place] ^ (1 << generator.randrange(8))
        path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
        try:
            state = load_checkpoint(path)
            fingerprint([path])
        except UserError:
            found += 1
            continue
        assert torch.equal(state["model"]["w"], torch.arange(100.0)), place
        assert state["cfg"] == {"task": {"_name": "translation"}}, place
    assert found > 100


def test_every_length_is_found(tmp_path: Path) -> None:
    """Cut off anywhere, as by a kill or a full disk."""
    path = tmp_path / "checkpoint1.pt"
    saved(path, model())
    content = path.read_bytes()
    for length in range(0, len(content), 11):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="expected a checkpoint of fairseq, found"):
            load_checkpoint(path)


def test_a_guard_that_works(tmp_path: Path) -> None:
    """The malicious file does run where a pickle is obeyed."""
    path = tmp_path / "checkpoint9.pt"
    saved(path, model(x=Malicious(mark(path))))
    torch.load(path, weights_only=False)
    assert mark(path).exists()
