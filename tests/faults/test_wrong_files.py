"""Files that are not what they should be, in every place where a file or folder is taken."""

import argparse
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.corpora import CORPORA
from tests.faults.conftest import Outcome, Sandbox
from tests.faults.test_fuzz import GOOD, placed

TEXT = "Nur ein Text.\nUnd noch eine Zeile.\n"
# What stands in the place of `path`, which had the bytes given.
DAMAGES: dict[str, Callable[[Path, bytes], object]] = {
    "empty": lambda path, before: path.write_bytes(b""),
    "truncated": lambda path, before: path.write_bytes(before[: len(before) // 2]),
    "random": lambda path, before: path.write_bytes(random.Random(3).randbytes(3000)),
    "zeros": lambda path, before: path.write_bytes(bytes(3000)),
    "text": lambda path, before: path.write_text(TEXT),
    "json": lambda path, before: path.write_text('[1, {"a": null}]'),
    "nested": lambda path, before: path.write_text("[" * 100_000),
    "archive": lambda path, before: path.write_bytes(b"PK\5\6" + bytes(18)),  # of no files
    "folder": lambda path, before: path.mkdir(),
    "missing": lambda path, before: None,
    "dangling": lambda path, before: path.symlink_to("nowhere"),
    "loop": lambda path, before: path.symlink_to(path.name),
    # This process's memory at address 0: opens, and fails when it is read, even for root.
    "unreadable": lambda path, before: path.symlink_to("/proc/self/mem"),
}
# The others take the same ways, and all of them together take minutes.
FAST = {"empty", "truncated", "random", "folder", "dangling", "unreadable"}
KINDS = [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGES]
# These differ from random bytes only for who opens the file.
FOR_READERS = {"zeros", "text", "json", "nested", "archive"}
OWN = "prepare own --pair de-en --bpe-size 20 --train @text/train --valid @text/valid --test "
COMMANDS = {
    **{f"prepare {name}": f"prepare {name} --destdir @new" for name in CORPORA if name != "own"},
    "prepare own": f"{OWN} @text/test --destdir @new",
    "train": "train --data @corpus --save-dir @new --criterion tsla_cross_entropy",
    "evaluate": "evaluate --data @corpus --checkpoint @save/checkpoint_best.pt --cpu",
    "evaluate bin": "evaluate --data @bin --checkpoint @save/checkpoint_best.pt --cpu "
    "--subwords subword-nmt --tokenizer moses --references @text/test.en",
    "inspect": "inspect --data @corpus --checkpoint @save/checkpoint_best.pt --cpu",
    "compare": "compare @study.yaml --output @new",
    "benchmark": "benchmark --data @corpus --updates 20 --repeats 1 --output @new",
    "demo": "demo --data @corpus --output @new --epochs 1",
}
PREPARED = ("prepare own", "prepare multi30k")  # of which every damage is tried in CI
AGAIN = f"{OWN} @text/test --name tiny --destdir @corpus"
# Files in a folder that a command reads: the most telling ones, for each command.
CORPUS_FILES = ["manifest.json", "raw/test.en", "bin/dict.en.txt", "bin/dict.de.txt", "bpe/codes",
                "bin/test.de-en.en.idx", "bin/test.de-en.de.bin", "work/stages.json"]  # fmt: skip
SAVE_FILES = ["checkpoint_last.pt", *(pytest.param(file, marks=pytest.mark.slow) for file in (
    "train.log", "resources.json", ".lock"))]  # fmt: skip


def _options() -> Iterator[Any]:
    """Command, option (or the place of the study) and what it should be."""
    for name in COMMANDS:
        parser: argparse.ArgumentParser = cli.parser_of(name.split()[0])
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parser = action.choices[name.split()[1]]
        for action in parser._actions:
            takes_path = action.metavar in ("FILE", "DIR", "P", "[SUBSET=]FILE", "STUDY")
            if takes_path and (name != "evaluate bin" or action.dest == "references"):
                good = "save/checkpoint_last.pt" if action.dest == "comet" else GOOD[action.dest][0]
                option = action.option_strings[0] if action.option_strings else "@study.yaml"
                case = name, option, good.removeprefix("@")
                is_like_another = name.startswith("prepare ") and name not in PREPARED
                yield pytest.param(*case, marks=pytest.mark.slow) if is_like_another else case


def damage(path: Path, kind: str) -> None:
    """Put something else in the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.is_file() else TEXT.encode()
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    DAMAGES[kind](path, before)


@pytest.fixture
def sandbox(materials: Path, harmless: None, tmp_path: Path) -> Sandbox:
    """A folder in which the command can do no harm."""
    return Sandbox(tmp_path, materials)


def ready(command: str, sandbox: Sandbox) -> list[str]:
    """The words of a command, with what they name in place."""
    return [placed(word, sandbox) for word in command.split()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("command", "option", "good"), _options())
def test_in_the_place_of_an_option(
    command: str, option: str, good: str, kind: str, sandbox: Sandbox
) -> None:
    words = ready(COMMANDS[command], sandbox)
    path = sandbox.place(good) if not good.startswith("new") else sandbox.here / good
    if option.startswith("@"):  # it stands in the first place
        damage(path, kind)
    else:
        is_prefix = good.startswith("text/") and path.suffix == ""
        damage(path.with_name(f"{path.name}.de") if is_prefix else path, kind)
        words = [word for word in words if word != option]
        words += [option, str(path)]
    sandbox.run(words).check()


@pytest.mark.parametrize("kind", sorted(FAST))  # of all kinds: in any file, below
@pytest.mark.parametrize("file", CORPUS_FILES)
@pytest.mark.parametrize("command", ["train", "evaluate", "inspect", "again"])
def test_in_a_prepared_corpus(command: str, file: str, kind: str, sandbox: Sandbox) -> None:
    words = ready(AGAIN if command == "again" else COMMANDS[command], sandbox)
    damage(sandbox.place("corpus") / file, kind)
    sandbox.run(words).check()


@pytest.mark.slow
@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["train", "evaluate", "inspect", "again"])
def test_in_any_file_of_a_prepared_corpus(
    command: str, kind: str, materials: Path, tmp_path: Path
) -> None:
    folder = materials / "corpus"
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    line = AGAIN if command == "again" else COMMANDS[command]

    def run_with(name: str, damaged: Sequence[Path]) -> tuple[Outcome, Sandbox]:
        sandbox = Sandbox(tmp_path / name, materials)
        words = ready(line, sandbox)
        for file in damaged:
            damage(sandbox.place("corpus") / file, kind)
        return sandbox.run(words), sandbox

    whole, sandbox = run_with("whole", [])
    assert whole.status == 0
    read = [file for file in files if str(sandbox.here / "corpus" / file) in sandbox.opened]
    assert Path("manifest.json") in read
    # What a command does not open, all together: if that harms nothing, none of them alone does.
    unread = [file for file in files if file not in read]
    harmless = kind in FOR_READERS or run_with("unread", unread)[0].status == 0
    for file in read if harmless else files:
        run_with(str(file).replace("/", "-"), [file])[0].check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", SAVE_FILES)
def test_in_the_folder_of_a_training(file: str, kind: str, sandbox: Sandbox) -> None:
    damage(sandbox.place("save") / file, kind)
    sandbox.run(ready("train --data @corpus --save-dir @save --epochs 3", sandbox)).check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "file",
    ["study.json", "report/results.json", "report", "runs", "runs/labo/seed-1/config.json",
     "runs/labo/seed-1/train.json", "runs/labo/seed-1/test-scores/scores.json"],
)  # fmt: skip
def test_in_the_output_of_a_study(file: str, kind: str, sandbox: Sandbox) -> None:
    words = ready("compare @study.yaml --output @new", sandbox)
    damage(sandbox.here / "new" / file, kind)
    sandbox.run(words).check()
