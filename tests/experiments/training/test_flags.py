"""Flags as data: what they read, refuse, and look like on a command line."""

import argparse
import math
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.flags import (
    Flag,
    add_flags,
    choice,
    number,
    switch,
    value_of,
    whole,
)

SHARE = number("", at_least=0, below=1)
BETA = number("", above=0)
WARMTH = number("", above=0, below=math.inf)


@pytest.mark.parametrize(
    ("flag", "text", "value", "words"),
    [
        (whole("", 1), "3", 3, ["--my-flag", "3"]),
        (whole("", 0, most=5), "5", 5, ["--my-flag", "5"]),
        (SHARE, "0", 0.0, ["--my-flag", "0"]),
        (SHARE, "0.25", 0.25, ["--my-flag", "0.25"]),
        (BETA, "4", 4.0, ["--my-flag", "4"]),
        (BETA, "inf", math.inf, ["--my-flag", "inf"]),
        (WARMTH, "1e-3", 0.001, ["--my-flag", "0.001"]),
        (choice("", None, "step", "linear"), "step", "step", ["--my-flag", "step"]),
        (switch(""), "True", True, ["--my-flag"]),
        (switch(""), "false", False, []),
        (Flag(bool, default=True), "false", False, ["--my-flag"]),  # fairseq's store_false
    ],
)
def test_values(flag: Flag, text: str, value: Any, words: list[str]) -> None:
    assert flag.read("my_flag", text) == value
    assert flag.words("my_flag", value) == words


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        (whole("", 1), "0", "a whole number of at least 1"),
        (whole("", 1), "2.5", "a whole number of at least 1"),
        (whole("", 0, most=5), "6", "a whole number of at least 0, at most 5"),
        (SHARE, "1", "a number of at least 0 and below 1"),
        (SHARE, "-0.1", "a number of at least 0 and below 1"),
        (SHARE, "nan", "a number of at least 0 and below 1"),
        (BETA, "0", "a number above 0"),
        (BETA, "nan", "a number above 0"),
        (WARMTH, "inf", "a number above 0 and finite"),
        (WARMTH, "warm", "a number above 0 and finite"),
        (choice("", None, "step", "linear"), "Step", "one of step, linear"),
        (switch(""), "1", "true or false"),
    ],
)
def test_refusals(flag: Flag, text: str, expected: str) -> None:
    with pytest.raises(UserError, match=f"^--my-flag: expected {expected}, found '{text}'$"):
        flag.read("my_flag", text)


def test_a_parser_of_flags() -> None:
    flags = {"beta": number("heat", 4.0, above=0), "fused": switch("fuse"), "epochs": whole("e", 1)}
    parser = argparse.ArgumentParser()
    add_flags(parser, "all", flags)
    assert vars(parser.parse_args([])) == {"beta": 4.0, "fused": None, "epochs": None}
    given = parser.parse_args(["--fused", "--beta", "2", "--epochs", "3"])
    assert vars(given) == {"beta": 2.0, "fused": True, "epochs": 3}
    assert parser.parse_args(["--fused", "false"]).fused is False
    assert "heat (default: 4)" in parser.format_help()
    with pytest.raises(UserError, match="--epochs: expected a whole number"):
        parser.parse_args(["--epochs", "many"])
    bare = argparse.ArgumentParser()
    add_flags(bare, "all", flags, defaults=False)
    assert bare.parse_args([]).beta is None


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], None),
        (["--max-tokens", "5"], "5"),
        (["--max-tokens=6"], "6"),
        (["--max-tokens", "5", "--max-tokens=6", "--max-tokens-valid", "7"], "6"),
        (["--max-tokens"], ""),
    ],
)
def test_value_among_fairseqs_arguments(words: list[str], value: str | None) -> None:
    assert value_of("--max-tokens", words) == value
