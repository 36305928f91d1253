"""What goes to the terminal: messages and commands on standard error, tables."""

import shlex
import sys
from collections.abc import Sequence

from tabulate import tabulate


def say(message: str) -> None:
    """To standard error, after what was printed so far."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)


def show_command(command: Sequence[str]) -> None:
    """Print a command that is about to run, so that a user could run it."""
    say("+ " + shlex.join(command))


def format_table(rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """`rows` (the first is the header) as aligned lines, the first `left_columns` to the left."""
    sides = ["left" if column < left_columns else "right" for column in range(len(rows[0]))]
    align = sides if len(rows) > 1 else None
    return tabulate(rows[1:], rows[0], "plain", disable_numparse=True, colalign=align)
