"""Somebody's own parallel text, in any two languages: plain or gzipped, one sentence a line."""

import argparse
from dataclasses import replace
from pathlib import Path

from fairseq_labo.experiments.data.recipe import Corpus, Limits, Member, Part, Recipe
from fairseq_labo.experiments.errors import UserError

LIMITS = Limits(max_tokens=175)


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of the files that `options` name.

    Raises UserError for a file that is missing and options that contradict each other.
    """
    given = options.valid is not None, bool(options.test)
    if options.split and any(given):
        raise UserError(
            "--split: expected no --valid and --test, which it makes of --train, found them given; "
            "give one or the other"
        )
    if not options.split and not all(given):
        raise UserError(
            "expected --valid and --test beside --train, found one or both missing; add them, or "
            "--split N to take N pairs each of the training text"
        )
    prefixes = {"all" if options.split else "train": ("--train", options.train)}
    prefixes |= {"valid": ("--valid", options.valid)} if options.valid else {}
    prefixes |= {f"test{n or ''}": ("--test", path) for n, path in enumerate(options.test)}
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
