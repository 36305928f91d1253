"""What goes to the terminal: messages and commands on standard error, tables."""

import re
import shlex
import sys
from collections.abc import Sequence

# What steers a terminal, or turns the direction of text around; not line breaks and tabs.
CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` with control characters as visible escapes: ``\\x1b``, ``\\u202e``."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def say(message: str) -> None:
    """To standard error, after what was printed so far."""
    sys.stdout.flush()
    print(printable(message), file=sys.stderr, flush=True)


def show_command(command: Sequence[str]) -> None:
    """Print a command that is about to run, so that a user could run it."""
    say("+ " + shlex.join(command))


def format_table(rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """`rows` (the first is the header) as aligned lines, the first `left_columns` to the left."""
    from tabulate import tabulate  # of an extra, which not every command needs

    sides = ["left" if column < left_columns else "right" for column in range(len(rows[0]))]
    align = sides if len(rows) > 1 else None
    cells = [[printable(cell) for cell in row] for row in rows]
    return tabulate(cells[1:], cells[0], "plain", disable_numparse=True, colalign=align)
