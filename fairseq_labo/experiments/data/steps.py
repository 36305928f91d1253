"""What the stages of a preparation do; `build` lists and describes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data import binarize, bpe, clean, extract, moses, pieces
from fairseq_labo.experiments.data.archives import Container
from fairseq_labo.experiments.data.parallel import LineFunction, Workers
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import WORK, link_or_copy
from fairseq_labo.experiments.errors import UserError

FINAL_FOLDERS = ("raw", "tok", "bpe", "bin", "logs")
TEXT, TOKENS, DETOKENIZED, CLEAN, CODES, SUBWORDS = (
    f"{WORK}/{name}" for name in ("text", "tokens", "detokenized", "clean", "codes", "subwords")
)
CODES_NAME = "codes"


@dataclass(frozen=True)
class Steps:
    """Each method is the work of one stage: it writes into `folder` and returns counts."""

    corpus: Corpus
    containers: Mapping[str, Container]
    destdir: Path
    workers: int
    accept_counts: bool

    def extract(self, folder: Path) -> dict[str, Any]:
        if self.corpus.generate is None:
            return extract.extract(
                self.corpus, self.containers, folder / TEXT, accept_counts=self.accept_counts
            )
        self.corpus.generate(folder / TEXT)
        return {}

    def tokenize(self, folder: Path) -> dict[str, Any]:
        recipe = self.corpus.recipe
        lines = 0
        with Workers(self.workers) as workers:
            for part, content in self.corpus.parts.items():
                has_segments = any(member.markup == "segments" for member in content.members)
                for lang in self.corpus.languages:
                    options = moses.TokenizerOptions(
                        lang,
                        released_tokens=recipe.released_tokens,
                        straight_apostrophes=recipe.straight_apostrophes and has_segments,
                        normalize=recipe.normalize and part == "train",
                        aggressive_hyphens=recipe.aggressive_hyphens,
                        split_final_period=recipe.split_final_period,
                    )
                    name = f"{part}.{lang}"
                    source, tokens = self.destdir / TEXT / name, folder / TOKENS / name
                    function: LineFunction = partial(moses.tokenize_with, options)
                    lines += workers.map_lines(function, source, tokens)
                    if recipe.released_tokens:
                        function = partial(moses.detokenize, language=lang)
                        workers.map_lines(function, tokens, folder / DETOKENIZED / name)
        return {"lines": lines}

    def clean(self, folder: Path) -> dict[str, Any]:
        is_detokenized = self.corpus.recipe.released_tokens
        raw = self.destdir / (DETOKENIZED if is_detokenized else TEXT)
        pairs = clean.split_pairs(self.corpus, raw, self.destdir / TOKENS, folder / CLEAN)
        self._check("after cleaning", self.corpus.counts.cleaned, pairs["cleaned"])
        if self.corpus.recipe.clean_subwords is None:
            self._check_splits(pairs)
        for split in self.corpus.splits:
            if pairs[split] == 0:
                raise UserError(
                    f"{split}: expected sentence pairs, found none left after cleaning and "
                    "division; check the text"
                )
        return {"lines": 2 * sum(pairs[split] for split in self.corpus.splits), "pairs": pairs}

    def learn(self, folder: Path) -> dict[str, Any]:
        recipe = self.corpus.recipe
        codes = folder / CODES / CODES_NAME
        if recipe.codes is not None:
            bpe.load_codes(self.containers[recipe.codes].path)
            codes.write_bytes(self.containers[recipe.codes].path.read_bytes())
            return {"size": sum(1 for _ in codes.open("rb")) - 1, "given": True}
        texts = [self.destdir / CLEAN / "tok" / f"train.{lang}" for lang in self.corpus.languages]
        with Workers(self.workers) as workers:
            counts: Counter[str] = workers.count_words(texts)
        names = ", ".join(map(str, texts))
        if recipe.subwords == "sentencepiece":
            size = pieces.learn_from_counts(counts, codes, size=recipe.bpe_size, names=names)
        else:
            size = bpe.learn_from_counts(counts, codes, merges=recipe.bpe_size, names=names)
        return {"size": size, "words": len(counts)}

    def apply(self, folder: Path) -> dict[str, Any]:
        codes = str(self.destdir / CODES / CODES_NAME)
        encode = pieces.encode_with if self.corpus.recipe.subwords == "sentencepiece" else None
        function: LineFunction = partial(encode or bpe.encode_with, codes)
        lines = 0
        with Workers(self.workers) as workers:
            for split in self.corpus.splits:
                for lang in self.corpus.languages:
                    name = f"{split}.{lang}"
                    source = self.destdir / CLEAN / "tok" / name
                    lines += workers.map_lines(function, source, folder / SUBWORDS / name)
        return {"lines": lines}

    def select(self, folder: Path) -> dict[str, Any]:
        inputs = {kind: self.destdir / CLEAN / kind for kind in ("raw", "tok")}
        inputs["bpe"] = self.destdir / SUBWORDS
        limits = self.corpus.recipe.clean_subwords
        pairs = {
            split: clean.select_pairs(
                self.corpus.languages,
                inputs,
                folder,
                split,
                limits if split in ("train", "valid") else None,
            )
            for split in self.corpus.splits
        }
        link_or_copy(self.destdir / CODES / CODES_NAME, folder / "bpe" / CODES_NAME)
        if limits is not None:
            self._check_splits(pairs)
        return {"lines": 2 * sum(pairs.values()), "pairs": pairs}

    def binarize(self, folder: Path) -> dict[str, Any]:
        (self.destdir / "logs").mkdir(exist_ok=True)
        binarize.binarize(
            self.destdir / "bpe",
            folder / "bin",
            source_lang=self.corpus.source_lang,
            target_lang=self.corpus.target_lang,
            splits=self.corpus.splits,
            workers=self.workers,
            joined_dictionary=self.corpus.recipe.joined_dictionary,
            log_file=self.destdir / "logs" / "preprocess.log",
        )
        return {}

    def _check_splits(self, pairs: Mapping[str, int]) -> None:
        for split, expected in self.corpus.counts.splits.items():
            self._check(split, expected, pairs[split])

    def _check(self, what: str, expected: int | None, found: int) -> None:
        if expected not in (None, found) and not self.accept_counts:
            raise UserError(
                f"{what}: expected {expected:,} pairs as published, found {found:,}; the text is "
                "of another release, or a tool differs; add --accept-counts to go on (the table "
                "at the end shows both)"
            )
