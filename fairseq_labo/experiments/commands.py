"""The commands of ``labo``, and the parser of each.

A module of a command has ``DESCRIPTION``, ``add_options(parser)`` and ``run(options)``, which
returns the exit status (None is 0). Only the module of the command that is called is imported.
"""

import argparse
import importlib
import os
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from fairseq_labo.experiments.console import printable

PACKAGE = "fairseq_labo.experiments"


class Command(NamedTuple):
    """The module that holds a command, and what it does in one line."""

    module: str
    summary: str
    passes_on: str = ""  # the program that gets what stands behind --


COMMANDS = {
    "prepare": Command("data.prepare", "prepare a corpus: a known one, or your own text"),
    "train": Command("training.train", "train a model on a prepared corpus", "fairseq-train"),
    "evaluate": Command("evaluation.evaluate", "translate and score", "fairseq-generate"),
    "compare": Command("studies.compare", "run a study (methods x seeds) and report it"),
    "inspect": Command("evaluation.inspect", "show what a loss teaches at each target token"),
    "benchmark": Command("training.benchmark", "speed and memory of training, beside fairseq's"),
    "demo": Command("studies.demo", "from nothing to a table: four methods on an embedded corpus"),
}


def _path(text: str) -> Path:
    if not text:  # the current folder, to pathlib
        raise argparse.ArgumentTypeError(
            "expected a path, found an empty text; is a variable unset?"
        )
    # As a shell expands it at the beginning of a word, but not behind --flag=.
    return Path(os.path.expanduser(text) if text.startswith("~/") else text)


class Parser(argparse.ArgumentParser):
    """A parser of one command; an error is one line, status 2."""

    def __init__(self, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **options)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        line = printable(message).replace("\n", "\\n")
        self.exit(2, f"error: {line}; see {self.prog} -h\n")


def parser_of(name: str) -> Parser:
    """The parser of one command."""
    command = COMMANDS[name]
    module = importlib.import_module(f"{PACKAGE}.{command.module}")
    behind = f"What stands behind -- is passed to {command.passes_on} as it is, after the above."
    parser = Parser(prog=f"labo {name}", description=module.DESCRIPTION.strip())
    parser.epilog = behind if command.passes_on else None
    module.add_options(parser)
    return parser
