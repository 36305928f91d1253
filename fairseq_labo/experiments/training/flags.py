"""Flags of a command as data: from one table come the parser, the help and every check."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fairseq_labo.experiments.errors import UserError

SWITCH = {"true": True, "false": False}


def _anything(value: Any) -> bool:
    return True


@dataclass(frozen=True)
class Flag:
    """A flag: its type, what it is for, the values that it takes (in words and as a check)."""

    kind: type
    help: str = ""
    default: Any = None
    wanted: str = "a text"
    accepts: Callable[[Any], bool] = _anything
    metavar: str = "NAME"

    def read(self, name: str, text: str) -> Any:
        """The value that `text` stands for; UserError, naming the flag, for any other text."""
        try:
            value = SWITCH[text.lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            value = None
        if value is None or not self.accepts(value):
            raise UserError(f"{option(name)}: expected {self.wanted}, found {text!r}")
        return value

    def words(self, name: str, value: Any) -> list[str]:
        """The flag and its value on a command line; of a switch its name, if it is thrown."""
        if self.kind is bool:
            return [option(name)] if value != bool(self.default) else []
        # 4 and 0.1, not 4.0: as one would write them.
        return [option(name), str(value).removesuffix(".0") if self.kind is float else str(value)]


def option(name: str) -> str:
    """``label_smoothing``, the name in tables and studies: ``--label-smoothing``."""
    return "--" + name.replace("_", "-")


def whole(help: str, least: int, default: int | None = None, *, most: float = math.inf) -> Flag:
    """A flag that takes whole numbers from `least` to `most`."""
    wanted = f"a whole number of at least {least}"
    wanted += f", at most {most}" if most < math.inf else ""
    return Flag(int, help, default, wanted, lambda value: least <= value <= most, "N")


def number(
    help: str,
    default: float | None = None,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    below: float | None = None,
) -> Flag:
    """A flag that takes numbers within bounds; inf only where nothing is `below`, never nan."""
    wanted = f"above {above:g}" if above > at_least else f"of at least {at_least:g}"
    wanted += "" if below is None else " and finite" if math.isinf(below) else f" and below {below}"

    def accepts(value: float) -> bool:
        return at_least <= value and above < value and (below is None or value < below)

    return Flag(float, help, default, f"a number {wanted}", accepts, "X")


def choice(help: str, default: str | None, *names: str) -> Flag:
    """A flag that takes one of `names`."""
    shown = "{" + ",".join(names) + "}"
    return Flag(str, help, default, f"one of {', '.join(names)}", names.__contains__, shown)


def switch(help: str) -> Flag:
    """A flag without a value; true or false, as a study writes it, is taken, too."""
    return Flag(bool, help, None, "true or false")


def add_flags(
    parser: argparse.ArgumentParser, title: str, flags: Mapping[str, Flag], *, defaults: bool = True
) -> None:
    """Add the flags to a parser, as a group; without `defaults`, those not given are None."""
    group = parser.add_argument_group(title)
    for name, flag in flags.items():
        shown = str(flag.default).removesuffix(".0")
        form: dict[str, Any] = {"metavar": flag.metavar}
        if flag.kind is bool:
            form = {"nargs": "?", "const": True, "metavar": "true|false"}
        group.add_argument(
            option(name),
            type=partial(flag.read, name),
            default=flag.default if defaults else None,
            help=flag.help + ("" if flag.default is None else f" (default: {shown})"),
            **form,
        )


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """The last value of a flag among fairseq's arguments (``--flag X`` or ``--flag=X``)."""
    found = None
    for index, word in enumerate(words):
        if word == flag:
            found = words[index + 1] if index + 1 < len(words) else ""
        elif word.startswith(flag + "="):
            found = word.partition("=")[2]
    return found
