"""The stages before subwords: extract, tokenize, clean; each with the settings that decide it."""

import importlib.metadata
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data import clean, extract, moses
from fairseq_labo.experiments.data.locate import Located
from fairseq_labo.experiments.data.parallel import LineFunction, Workers
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import WORK, Stage
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import sha256_of

TEXT, TOKENS, DETOKENIZED, CLEAN = (
    f"{WORK}/{name}" for name in ("text", "tokens", "detokenized", "clean")
)
TOKENIZER_SETTINGS = [
    "released_tokens", "normalize", "aggressive_hyphens", "split_final_period",
    "straight_apostrophes",
]  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What all stages of one preparation know."""

    corpus: Corpus
    located: Located
    destdir: Path
    workers: int = 1
    accept_counts: bool = False

    @property
    def expected(self) -> dict[str, Any]:
        """The counts that stages check: with others, their outputs are others."""
        counts = self.corpus.counts
        return {
            "accept_counts": self.accept_counts,
            "cleaned": counts.cleaned,
            "splits": dict(counts.splits),
        }

    def check(self, what: str, expected: int | None, found: int) -> None:
        """Raise UserError unless the counts agree, are unknown, or do not matter."""
        if expected not in (None, found) and not self.accept_counts:
            raise UserError(
                f"{what}: expected {expected:,} pairs as published, found {found:,}; the text is "
                "of another release, or a tool differs; add --accept-counts to go on (the table "
                "at the end shows both)"
            )

    def check_splits(self, pairs: Mapping[str, int]) -> None:
        """`check` every split whose count is known."""
        for split, expected in self.corpus.counts.splits.items():
            self.check(split, expected, pairs[split])


def extract_stage(job: Job) -> Stage:
    """The texts of the release, as lines: TEXT/{part}.{lang}."""
    texts = []
    for part, _, member, lang, path, _ in job.corpus.texts():
        text: list[Any] = [part, path, member.markup, member.expected_lines]
        if member.tokenize:
            text.append(versions("sacremoses", "regex"))
        if member.columns:
            text.append([lang, *member.columns, member.first_lines])
        texts.append(text)

    def run(folder: Path) -> dict[str, Any]:
        return extract.extract(
            job.corpus, job.located.containers, folder / TEXT, accept_counts=job.accept_counts
        )

    settings = {
        "files": {name: sha256_of(path) for name, path in sorted(job.located.files.items())},
        "texts": texts,
        "accept_counts": job.accept_counts,
    }
    return Stage("extract", (TEXT,), settings, run)


def tokenize_stage(job: Job) -> Stage:
    """Moses tokens, TOKENS/{part}.{lang}, or what stands between white space.

    Where the release is tokens already, DETOKENIZED/{part}.{lang} is the text for scoring.
    """
    recipe = job.corpus.recipe

    def tokenizer(part: str, lang: str) -> LineFunction:
        if recipe.tokenizer == "none" or recipe.released_tokens:
            return moses.fold_white_space
        members = job.corpus.parts[part].members
        options = moses.TokenizerOptions(
            lang,
            straight_apostrophes=recipe.straight_apostrophes
            and any(member.markup == "segments" for member in members),
            normalize=recipe.normalize and part == "train",
            aggressive_hyphens=recipe.aggressive_hyphens,
            split_final_period=recipe.split_final_period,
        )
        return partial(moses.tokenize_with, options)

    def run(folder: Path) -> dict[str, Any]:
        lines = 0
        with Workers(job.workers) as workers:
            for part in job.corpus.parts:
                for lang in job.corpus.languages:
                    name = f"{part}.{lang}"
                    source, tokens = job.destdir / TEXT / name, folder / TOKENS / name
                    lines += workers.map_lines(tokenizer(part, lang), source, tokens)
                    if recipe.released_tokens:
                        function = partial(moses.detokenize, language=lang)
                        workers.map_lines(function, tokens, folder / DETOKENIZED / name)
        return {"lines": lines}

    settings: dict[str, Any] = {"tokenizer": "none"}
    if recipe.tokenizer != "none":
        settings = {name: getattr(recipe, name) for name in TOKENIZER_SETTINGS}
        settings |= versions("sacremoses", "regex")
    return Stage("tokenize", (TOKENS, DETOKENIZED), settings, run, reads=("extract",))


def clean_stage(job: Job) -> Stage:
    """The pairs that stay, divided into splits: CLEAN/raw and CLEAN/tok/{split}.{lang}."""
    corpus, recipe = job.corpus, job.corpus.recipe

    def run(folder: Path) -> dict[str, Any]:
        raw = job.destdir / (DETOKENIZED if recipe.released_tokens else TEXT)
        counts = clean.split_pairs(corpus, raw, job.destdir / TOKENS, folder / CLEAN)
        pairs = counts["pairs"]
        job.check("after cleaning", corpus.counts.cleaned, pairs["cleaned"])
        if recipe.clean_subwords is None:
            job.check_splits(pairs)
        for split in corpus.splits:
            if pairs[split] == 0:
                raise UserError(
                    f"{split}: expected sentence pairs, found none left after cleaning and "
                    "division; check the text"
                )
        return {"lines": 2 * sum(pairs[split] for split in corpus.splits), **counts}

    settings = {
        "limits": recipe.as_json()["clean_tokens"],
        "lowercase": recipe.lowercase,
        "valid_every": recipe.valid_every,
        "divided_by": corpus.divide_by,
        "unicode": unicodedata.unidata_version,
        "expected": job.expected,
    } | ({"held_out": recipe.held_out} if recipe.held_out else {})
    return Stage("clean", (CLEAN,), settings, run, reads=("extract", "tokenize"))


def versions(*names: str) -> dict[str, Any]:
    """The versions of installed distributions, as a setting."""
    return {"versions": {name: importlib.metadata.version(name) for name in names}}
