"""What the command lines share: errors without a traceback, commands shown before they run."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from fairseq_labo.experiments.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like those of the shell scripts."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} -h")


def split_passed_on(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and behind the first ``--``."""
    given = list(arguments)
    if "--" not in given:
        return given, []
    place = given.index("--")
    return given[:place], given[place + 1 :]


def show_command(command: Sequence[str]) -> None:
    """Print a command as the shell scripts do."""
    print("+", shlex.join(command), file=sys.stderr, flush=True)


def run_main(main: Callable[[Sequence[str]], None]) -> None:
    """Run `main` on the process's arguments; a UserError ends it with a message and status 1."""
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
