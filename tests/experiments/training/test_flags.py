"""Flags as data: what they read, refuse, and look like on a command line."""

import argparse
import math
from typing import Any

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.flags import Flag, add_flags, flags_of, value_of

COUNT = Flag(int, at_least=1)
FEW = Flag(int, at_least=0, at_most=5)
SHARE = Flag(float, at_least=0, below=1)
BETA = Flag(float, above=0)
WARMTH = Flag(float, above=0, below=math.inf)
CHOICE = Flag(choices=["step", "linear"])


@pytest.mark.parametrize(
    ("flag", "text", "value", "words"),
    [
        (COUNT, "3", 3, ["--my-flag", "3"]),
        (FEW, "5", 5, ["--my-flag", "5"]),
        (SHARE, "0", 0.0, ["--my-flag", "0"]),
        (SHARE, "0.25", 0.25, ["--my-flag", "0.25"]),
        (BETA, "4", 4.0, ["--my-flag", "4"]),
        (BETA, "inf", math.inf, ["--my-flag", "inf"]),
        (WARMTH, "1e-3", 0.001, ["--my-flag", "0.001"]),
        (CHOICE, "step", "step", ["--my-flag", "step"]),
        (Flag(bool), "True", True, ["--my-flag"]),
        (Flag(bool), "false", False, []),
        (Flag(bool, default=True), "false", False, ["--my-flag"]),  # fairseq's store_false
    ],
)
def test_values(flag: Flag, text: str, value: Any, words: list[str]) -> None:
    assert flag.read("my_flag", text) == value
    assert flag.words("my_flag", value) == words


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        (COUNT, "0", "a whole number of at least 1"),
        (COUNT, "2.5", "a whole number of at least 1"),
        (FEW, "6", "a whole number of at least 0, at most 5"),
        (SHARE, "1", "a number of at least 0 and below 1"),
        (SHARE, "-0.1", "a number of at least 0 and below 1"),
        (SHARE, "nan", "a number of at least 0 and below 1"),
        (BETA, "0", "a number above 0"),
        (BETA, "nan", "a number above 0"),
        (WARMTH, "inf", "a number above 0 and finite"),
        (WARMTH, "warm", "a number above 0 and finite"),
        (CHOICE, "Step", "one of step, linear"),
        (Flag(bool), "1", "true or false"),
    ],
)
def test_refusals(flag: Flag, text: str, expected: str) -> None:
    with pytest.raises(UserError, match=f"^--my-flag: expected {expected}, found '{text}'$"):
        flag.read("my_flag", text)


def test_a_parser_of_flags() -> None:
    flags = flags_of(
        {
            "beta": {"kind": "float", "help": "heat", "default": 4.0, "above": 0},
            "fused": {"kind": "bool", "help": "fuse"},
            "epochs": {"kind": "int", "help": "e", "at_least": 1},
            "schedule": {"choices": ["step", "linear"]},
        }
    )
    parser = argparse.ArgumentParser()
    add_flags(parser, "all", flags)
    assert vars(parser.parse_args([])) == {
        **{"beta": 4.0, "fused": None, "epochs": None, "schedule": None}
    }
    given = parser.parse_args(["--fused", "--beta", "2", "--epochs", "3", "--schedule", "step"])
    assert vars(given) == {"beta": 2.0, "fused": True, "epochs": 3, "schedule": "step"}
    assert parser.parse_args(["--fused", "false"]).fused is False
    described = parser.format_help()
    assert "heat (default: 4)" in described and "--schedule {step,linear}" in described
    assert "--epochs N" in described and "--beta X" in described
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
