"""Flags of a command as data: from one table come the parser, the help and every check."""

import argparse
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fairseq_labo.experiments.errors import UserError

SWITCH = {"true": True, "false": False}
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
BOUNDS = (
    ("at_least", operator.ge, " of at least {}"),
    ("above", operator.gt, " above {}"),
    ("at_most", operator.le, ", at most {}"),
    ("below", operator.lt, " and below {}"),
)


@dataclass(frozen=True)
class Flag:
    """A flag: its type, what it is for, the values that it takes (``below`` inf: all but inf)."""

    kind: type = str
    help: str = ""
    default: Any = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: Sequence[str] = ()
    metavar: str = "NAME"

    @property
    def wanted(self) -> str:
        """The values that it takes, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        bounds = [(getattr(self, bound), form) for bound, _, form in BOUNDS]
        words = [form.format(bound) for bound, form in bounds if bound is not None]
        return "".join([KINDS[self.kind], *words]).replace("below inf", "finite")

    def read(self, name: str, text: str) -> Any:
        """The value that `text` stands for; UserError, naming the flag, for any other text."""
        try:
            value = SWITCH[text.lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            value = None
        bounds = [(getattr(self, bound), holds) for bound, holds, _ in BOUNDS]
        if (
            value is None
            or (self.choices and value not in self.choices)
            or not all(bound is None or holds(value, bound) for bound, holds in bounds)
        ):
            raise UserError(f"{option(name)}: expected {self.wanted}, found {text!r}")
        return value

    def words(self, name: str, value: Any) -> list[str]:
        """The flag and its value on a command line; of a switch its name, if it is thrown."""
        if self.kind is bool:
            return [option(name)] if value != bool(self.default) else []
        return [option(name), _shown(value)]


def _shown(value: Any) -> str:
    """4 and 0.1, not 4.0: as one would write them."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def option(name: str) -> str:
    """``label_smoothing``, the name in tables and studies: ``--label-smoothing``."""
    return "--" + name.replace("_", "-")


JOBS = partial(Flag(int, at_least=1, at_most=1024).read, "jobs")  # runs at a time, an argument


def flags_of(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Flag]:
    """Flags from a table of TOML: by name the fields of `Flag`, of which `kind` is a name."""
    kinds = {kind.__name__: kind for kind in KINDS}
    return {
        name: Flag(**{**fields, "kind": kinds[fields.get("kind", "str")]})
        for name, fields in table.items()
    }


def add_flags(
    parser: argparse.ArgumentParser, title: str, flags: Mapping[str, Flag], *, defaults: bool = True
) -> None:
    """Add the flags to a parser, as a group; without `defaults`, those not given are None."""
    group = parser.add_argument_group(title)
    for name, flag in flags.items():
        form: dict[str, Any] = {"metavar": {int: "N", float: "X"}.get(flag.kind, flag.metavar)}
        if flag.choices:
            form = {"metavar": "{" + ",".join(flag.choices) + "}"}
        elif flag.kind is bool:
            form = {"nargs": "?", "const": True, "metavar": "true|false"}
        form["default"] = flag.default if defaults else None
        shown = "" if flag.default is None else f" (default: {_shown(flag.default)})"
        form |= {"type": partial(flag.read, name), "help": flag.help + shown}
        group.add_argument(option(name), **form)


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """The last value of a flag among fairseq's arguments (``--flag X`` or ``--flag=X``)."""
    pairs = zip(words, [*words[1:], ""], strict=False)
    parts = [(word.partition("="), after) for word, after in pairs]
    found = [value if equals else after for (name, equals, value), after in parts if name == flag]
    return found[-1] if found else None
