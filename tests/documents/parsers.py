"""The parsers of everything that a document may call; a command that they refuse raises."""

import argparse
import functools
import importlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.corpora import CORPORA
from tests.conftest import REPOSITORY
from tests.documents.texts import FLAG

FACES = {
    "scripts/train.sh": ["train"],
    "scripts/evaluate.sh": ["evaluate"],
    "scripts/compare.sh": ["compare"],
    "scripts/inspect_labels.sh": ["inspect"],
    "scripts/bench_training.sh": ["benchmark"],
    "scripts/demo.sh": ["demo"],
}
# Of programs that are not asked here: pip, sbatch, hydra.
OTHERS = {"--index-url", "--no-build-isolation", "--nodes", "--ntasks-per-node", "--gpus-per-node"}
OTHERS |= {"--config-dir", "--config-name"}
CUT_SHORT = re.compile(r" (?:\.\.\.|…)")


class Parsed(BaseException):
    """A program's options were read; it is stopped here."""


def labo_words(command: str) -> list[str] | None:
    """Words behind `labo`, of the scripts that are faces of it too; None for other commands."""
    first, *rest = shlex.split(re.sub(r"[|>&].*", "", command))
    if first == "--criterion":  # of a table whose head says what stands before it
        return ["train", "--data", "DIR", "--save-dir", "DIR", first, *rest]
    rest = [word for word in rest if word != "--no-setup"]
    if first == "labo":
        return rest
    if first.startswith("data-prep/prepare-"):
        return ["prepare", first.removeprefix("data-prep/prepare-").removesuffix(".sh"), *rest]
    return [*FACES[first], *rest] if first in FACES else None


def check(command: str) -> None:
    """Raise SystemExit or AssertionError if the command is none of today's."""
    if (words := labo_words(command)) is not None:
        return check_labo(command, words)
    first, *rest = shlex.split(CUT_SHORT.sub("", command))
    if first.startswith("fairseq-"):
        check_fairseq(first, rest)
    elif first == "python":
        check_python(rest)
    elif first == "make":
        targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.M)
        assert set(rest) <= set(targets), rest
    elif first in ("pip", "pytest"):  # their flags are known by name: see `known_flags`
        check_flags(command)
        for extra in re.findall(r"\[([a-z,]+)\]", command):
            text = (REPOSITORY / "setup.py").read_text("utf-8")
            assert all(f'"{name}"' in text for name in extra.split(",")), extra
    else:
        text = (REPOSITORY / first).read_text(encoding="utf-8")
        assert all(flag in text for flag in FLAG.findall(command)), command


def check_labo(command: str, words: list[str]) -> None:
    """By `labo`'s own parser; what stands behind -- by fairseq's."""
    if len(words) < 2 or CUT_SHORT.search(command):
        name = words[0] if words and words[0] != "COMMAND" else "train"
        known = cli.parser_of(name).format_help()
        own = command.partition(" -- ")[0]
        assert all(flag in known for flag in FLAG.findall(own)), command
    elif words[0] == "prepare" and len(words) == 2:  # named only
        assert words[1] in {"NAME", *CORPORA}, command
    elif words[0] != "COMMAND":
        numbered = [re.sub(r"^[NRAXK]$", "1", word) for word in words]
        cli.parse([word.replace("HOST[:PORT]", "host:1") for word in numbered])
    if " -- " in command and words[0] == "train":
        criterion = re.findall(r"--criterion (\w+)", command)
        behind = shlex.split(CUT_SHORT.sub("", command.partition(" -- ")[2]))
        of_criterion = [word for name in criterion for word in ("--criterion", name)]
        check_fairseq("fairseq-train", ["DATA", *of_criterion, *behind])


def check_fairseq(tool: str, words: list[str]) -> None:
    """By fairseq's parsers, with the plugin; hydra's keys by the configuration file."""
    from fairseq import options

    import fairseq_labo  # noqa: F401  (registers the criterions)
    from fairseq_labo.criterions.labo_cross_entropy import LaboCrossEntropyConfig

    if tool == "fairseq-hydra-train":
        from hydra import compose, initialize_config_dir

        folder, name = (words[words.index(flag) + 1] for flag in ("--config-dir", "--config-name"))
        keys = words[words.index(name) + 1 :]
        for key in (key for key in keys if key.startswith("+criterion.")):
            field = key.removeprefix("+criterion.").partition("=")[0]
            assert field in LaboCrossEntropyConfig.__dataclass_fields__, key
        with initialize_config_dir(str(REPOSITORY / folder), version_base="1.1"):
            compose(name, overrides=keys)
        return
    if "examples/similar_types" in words and "similar_types" not in sys.modules:
        importlib.import_module("similar_types")
    parser = getattr(options, f"get_{TOOLS[tool]}_parser")()
    if tool in ("fairseq-train", "fairseq-validate") and "--arch" not in words:
        words = [*words, "--arch", "transformer"]  # fairseq knows none by default
    if tool == "fairseq-preprocess":
        _, unknown = parser.parse_known_args(words)
    else:
        _, unknown = options.parse_args_and_arch(parser, words, parse_known=True)
    assert not unknown, unknown


TOOLS = {
    "fairseq-train": "training",
    "fairseq-generate": "generation",
    "fairseq-interactive": "interactive_generation",
    "fairseq-validate": "validation",
    "fairseq-eval-lm": "eval_lm",
    "fairseq-preprocess": "preprocessing",
}


def check_python(words: list[str]) -> None:
    """A module (or a file) of the repository, by the parser that it makes; pytest by its name."""
    module = words[1] if words[0] == "-m" else None
    program = words[0] if module is None else module.replace(".", "/") + ".py"
    arguments = [word.replace("FILE", "file") for word in words[1 if module is None else 2 :]]
    if module in ("pytest", "venv"):
        return
    if not arguments:  # named only; what it needs stands in its -h
        folders = (REPOSITORY, REPOSITORY / "data-prep" / "microworld")
        assert any((folder / program).is_file() for folder in folders), program
        return

    def stop(parser: argparse.ArgumentParser, *given: object) -> None:
        parse(parser, *given)
        raise Parsed

    parse = argparse.ArgumentParser.parse_args
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Parsed):
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [program, *arguments])
        if module is None:
            runpy.run_path(str(REPOSITORY / program), run_name="__main__")
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)


def option_strings(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every flag of a parser and of its subcommands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from option_strings(each)


def of_classes(classes: Iterable[object]) -> Iterator[str]:
    """Flags that fairseq's models, tasks, criterions and the like add."""
    for each in classes:
        parser = argparse.ArgumentParser(conflict_handler="resolve")
        if add := getattr(each, "add_args", None):
            add(parser)
        yield from option_strings(parser)


@functools.cache
def known_flags() -> frozenset[str]:
    """Flags of labo, fairseq, pytest and of the repository's scripts, and those of `OTHERS`."""
    from fairseq import options
    from fairseq.models import MODEL_REGISTRY
    from fairseq.registry import REGISTRIES
    from fairseq.tasks import TASK_REGISTRY

    import fairseq_labo  # noqa: F401  (registers the criterions)

    known = {*OTHERS, "--hypothesis-seed"}
    for name in cli.COMMANDS:
        known.update(option_strings(cli.parser_of(name)))
    for name in set(TOOLS.values()):
        known.update(option_strings(getattr(options, f"get_{name}_parser")()))
    known.update(of_classes({*MODEL_REGISTRY.values(), *TASK_REGISTRY.values()}))
    for registry in REGISTRIES.values():
        known.update(of_classes(registry["registry"].values()))
    for folder in ("scripts", "benchmarks", "examples", "data-prep", "tests"):
        for path in (REPOSITORY / folder).rglob("*"):
            known.update(of_source(path))
    return frozenset(known)


def of_source(path: Path) -> Iterator[str]:
    """Flags that a script reads, or that a Python file adds to a parser."""
    if path.suffix == ".sh":
        yield from FLAG.findall(path.read_text(encoding="utf-8"))
    elif path.suffix == ".py":
        pattern = r"add(?:_argument|option)?\(\s*\"(--[a-z][a-z-]*)\""
        yield from re.findall(pattern, path.read_text(encoding="utf-8"))


def check_flags(text: str) -> None:
    """Every flag that a text mentions, in a command or not, is one that some parser knows."""
    for flag in sorted(set(FLAG.findall(text))):
        assert flag in known_flags() or flag.endswith("-"), f"{flag}: no parser knows it"
