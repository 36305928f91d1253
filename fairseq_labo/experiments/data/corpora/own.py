"""Somebody's own parallel text, in any two languages: plain or gzipped, one sentence a line."""

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fairseq_labo.experiments.data.recipe import Corpus, Limits, Member, Part, Recipe
from fairseq_labo.experiments.errors import UserError

TITLE = "your own text, in any two languages"
LIMITS = Limits(max_tokens=175)
CODES = r"[A-Za-z0-9_]+-[A-Za-z0-9_]+"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add where the text lies, and what is done to it."""
    add = parser.add_argument
    pair = _matching(CODES, "two languages as in de-en (letters, digits, _)")
    add("--pair", type=pair, required=True, metavar="xx-yy", help="source-target")
    text = "prefix of the {} text: P.xx and P.yy, or P.xx.gz and P.yy.gz"
    add("--train", type=Path, required=True, metavar="P", help=text.format("training"))
    add("--valid", type=Path, metavar="P", help=text.format("validation"))
    of_test = text.format("test") + "; may be repeated"
    add("--test", type=Path, action="append", default=[], metavar="P", help=of_test)
    add(
        "--split",
        type=_at_least_one,
        metavar="N",
        help="instead of --valid and --test: N pairs of --train each. Drawn by a hash among the "
        "pairs whose sentences occur once in the text (letters and digits compared, without case): "
        "no sentence is in two splits, and the same text is always split alike",
    )
    name = _matching(r"\w[\w.-]*", "a name of letters, digits, '.', '_' and '-'")
    add("--name", type=name, default="own", help="name of the corpus (default: own)")
    add("--tokenizer", choices=["moses", "none"], default="moses")
    add("--lowercase", action="store_true", help="lowercase the tokens (raw references stay)")
    add("--clean", action="store_true", help="drop training pairs that are too long or too unequal")
    size = f"of --clean: tokens of a sentence at most (default: {LIMITS.max_tokens})"
    add("--max-tokens", type=_at_least_one, metavar="N", help=size)
    ratio = f"of --clean: tokens of the longer side by the shorter's (default: {LIMITS.ratio:g})"
    add("--ratio", type=float, metavar="R", help=ratio)


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of the files that `options` name.

    Raises UserError for a file that is missing and options that contradict each other.
    """
    prefixes = _prefixes(options)
    at_hand = {
        f"{part}.{lang}": _find(flag, prefix, lang)
        for part, (flag, prefix) in prefixes.items()
        for lang in options.pair.split("-")
    }
    parts = {
        part: Part(prefix.name, (Member(f"{part}.{{lang}}"),))
        for part, (_, prefix) in prefixes.items()
    }
    recipe = Recipe(
        tokenizer=options.tokenizer,
        clean_tokens=_limits(options),
        lowercase=options.lowercase,
        held_out=options.split,
    )
    note = f"split of {options.train.name}" if options.split else ""
    return Corpus(options.name, options.pair, parts, recipe, at_hand=at_hand, note=note)


def _prefixes(options: argparse.Namespace) -> dict[str, tuple[str, Path]]:
    """Return for each part the flag that gives it, and its prefix."""
    given = options.valid is not None, bool(options.test)
    if options.split and any(given):
        raise UserError(
            "--split: expected no --valid and --test, which it makes of --train, found them given; "
            "give one or the other"
        )
    if options.split:
        return {"all": ("--train", options.train)}
    if not all(given):
        raise UserError(
            "expected --valid and --test beside --train, found one or both missing; add them, or "
            "--split N to take N pairs each of the training text"
        )
    tests = {f"test{number or ''}": ("--test", path) for number, path in enumerate(options.test)}
    return {"train": ("--train", options.train), "valid": ("--valid", options.valid)} | tests


def _find(flag: str, prefix: Path, lang: str) -> Path:
    plain, packed = Path(f"{prefix}.{lang}"), Path(f"{prefix}.{lang}.gz")
    for path in (plain, packed):
        if path.is_file():
            return path
    raise UserError(
        f"{flag} {prefix}: expected a file {plain} or {packed}, found neither; give the path "
        "without language and .gz"
    )


def _limits(options: argparse.Namespace) -> Limits | None:
    given = {"max_tokens": options.max_tokens, "ratio": options.ratio}
    given = {name: value for name, value in given.items() if value is not None}
    if options.ratio is not None and not options.ratio >= 1:
        raise UserError(f"--ratio: expected a number of at least 1, found {options.ratio:g}")
    if given and not options.clean:
        raise UserError("--max-tokens and --ratio: expected --clean with them, found none; add it")
    return replace(LIMITS, **given) if options.clean else None


def _matching(pattern: str, expected: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        return text

    return check


def _at_least_one(text: str) -> int:
    return int(_matching(r"0*[1-9][0-9]*", "a number of at least 1")(text))
