"""A small parallel text, and what `labo prepare own` makes of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.files import write_lines
from tests.conftest import preprocessing_in_process

SIZES = {"train": 60, "valid": 6, "test": 5}


def write_text(folder: Path, change: Callable[[str, list[str]], object] | None = None) -> Path:
    """Parallel text, changed by `change(name, lines)`."""
    folder.mkdir()
    for split, size in SIZES.items():
        for lang, line in (("de", "Ein Hund, der {} Hüte trägt."), ("en", "A dog has {} hats.")):
            lines = [line.format(number) for number in range(size)]
            if change is not None:
                change(f"{split}.{lang}", lines)
            write_lines(folder / f"{split}.{lang}", lines)
    return folder


def words(text: Path, destdir: Path, *options: str) -> list[str]:
    """`labo prepare own` of that text."""
    given = [word for split in SIZES for word in (f"--{split}", str(text / split))]
    own = ["prepare", "own", "--pair", "de-en", "--bpe-size", "60", *given]
    return [*own, "--destdir", str(destdir), *options]


def content(destdir: Path) -> dict[str, bytes]:
    """The bytes of every file but the logs, which hold times and paths."""
    paths = (path for path in destdir.rglob("*") if path.is_file() and path.suffix != ".log")
    return {str(path.relative_to(destdir)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("source") / "text")


@pytest.fixture(scope="module")
def made(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That text, prepared; not to be changed."""
    destdir = tmp_path_factory.mktemp("made") / "own"
    with preprocessing_in_process():
        assert cli.main(words(text, destdir)) == 0
    return destdir


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))
