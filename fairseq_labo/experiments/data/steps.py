"""The stages of every corpus: extract, tokenize, clean; learn and apply BPE, select, binarize.

Each names the settings that decide its outputs.
"""

import importlib.metadata
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data import binarize, bpe, clean, extract, moses
from fairseq_labo.experiments.data.locate import Located
from fairseq_labo.experiments.data.parallel import LineFunction, Workers
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import WORK, Stage, link_or_copy
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines, sha256_of, write_lines
from fairseq_labo.experiments.languages import short_code

TEXT, TOKENS, DETOKENIZED, CLEAN, CODES, SUBWORDS = (
    f"{WORK}/{name}" for name in ("text", "tokens", "detokenized", "clean", "codes", "subwords")
)
CODES_NAME = "codes"
TOKENIZER = ("normalize", "aggressive_hyphens", "split_final_period", "straight_apostrophes")


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

    def check(self, pairs: Mapping[str, int], expected: Mapping[str, int | None]) -> None:
        """Raise UserError unless the counts agree, are unknown, or do not matter."""
        for what, number in expected.items():
            found = pairs[what]
            if number not in (None, found) and not self.accept_counts:
                raise UserError(
                    f"{'after cleaning' if what == 'cleaned' else what}: expected {number:,} pairs "
                    f"as published, found {found:,}; the text is of another release, or a tool "
                    "differs; add --accept-counts to go on (the table at the end shows both)"
                )


def _versions(*names: str) -> dict[str, Any]:
    """The versions of installed distributions, as a setting."""
    return {"versions": {name: importlib.metadata.version(name) for name in names}}


def extract_stage(job: Job) -> Stage:
    """The texts of the release, as lines: TEXT/{part}.{lang}."""
    texts = []
    for part, _, member, lang, path, _ in job.corpus.texts():
        text: list[Any] = [part, path, member.markup, member.expected_lines]
        if member.tokenize:
            text.append(_versions("sacremoses", "regex"))
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
    flags: dict[str, bool] = {name: getattr(recipe, name) for name in TOKENIZER}

    def tokenizer(part: str, lang: str) -> LineFunction:
        if recipe.tokenizer == "none" or recipe.released_tokens:
            return moses.fold_white_space
        members, own = job.corpus.parts[part].members, dict(flags)
        own["straight_apostrophes"] &= any(member.markup == "segments" for member in members)
        own["normalize"] &= part == "train"
        return partial(moses.tokenize_with, moses.TokenizerOptions(lang, **own))

    def run(folder: Path) -> dict[str, Any]:
        lines = 0
        with Workers(job.workers) as workers:
            for part, lang in product(job.corpus.parts, job.corpus.languages):
                name = f"{part}.{lang}"
                source, tokens = job.destdir / TEXT / name, folder / TOKENS / name
                lines += workers.map_lines(tokenizer(part, lang), source, tokens)
                if recipe.released_tokens:
                    function = partial(moses.detokenize, language=lang)
                    workers.map_lines(function, tokens, folder / DETOKENIZED / name)
        return {"lines": lines}

    settings: dict[str, Any] = {"tokenizer": "none"}
    if recipe.tokenizer != "none":
        settings = {"released_tokens": recipe.released_tokens, **flags}
        settings |= _versions("sacremoses", "regex")
        rules = {lang: short_code(lang) for lang in job.corpus.languages}
        settings |= {"rules_of": rules} if any(lang != rules[lang] for lang in rules) else {}
    return Stage("tokenize", (TOKENS, DETOKENIZED), settings, run, reads=("extract",))


def clean_stage(job: Job) -> Stage:
    """The pairs that stay, divided into splits: CLEAN/raw and CLEAN/tok/{split}.{lang}."""
    corpus, recipe = job.corpus, job.corpus.recipe

    def run(folder: Path) -> dict[str, Any]:
        raw = job.destdir / (DETOKENIZED if recipe.released_tokens else TEXT)
        counts = clean.split_pairs(corpus, raw, job.destdir / TOKENS, folder / CLEAN)
        pairs = counts["pairs"]
        job.check(pairs, {"cleaned": corpus.counts.cleaned})
        if recipe.clean_subwords is None:
            job.check(pairs, corpus.counts.splits)
        for split in corpus.splits:
            if pairs[split] == 0:
                raise UserError(
                    f"{split}: expected sentence pairs, found none left after cleaning and "
                    "division; check the text, or clean less (it counts what stands between white "
                    "space)"
                )
        return {"lines": 2 * sum(pairs[split] for split in corpus.splits), **counts}

    settings = {
        "limits": recipe.clean_tokens and asdict(recipe.clean_tokens),
        "lowercase": recipe.lowercase,
        "valid_every": recipe.valid_every,
        "divided_by": corpus.divide_by,
        "unicode": unicodedata.unidata_version,
        "expected": job.expected,
    } | ({"held_out": recipe.held_out} if recipe.held_out else {})
    return Stage("clean", (CLEAN,), settings, run, reads=("extract", "tokenize"))


def _subwords(job: Job) -> dict[str, Any]:
    kind = job.corpus.recipe.subwords
    return {"subwords": kind} | _versions(kind)


def learn_stage(job: Job) -> Stage:
    """The merges (or the SentencePiece model) of both languages: CODES, or those that are given."""
    recipe = job.corpus.recipe
    given = job.located.containers[recipe.codes].path if recipe.codes is not None else None

    def run(folder: Path) -> dict[str, Any]:
        codes = folder / CODES / CODES_NAME
        for split, lang in product(job.corpus.splits, job.corpus.languages):
            bpe.check_words(job.destdir / CLEAN / "raw" / f"{split}.{lang}")
            bpe.check_no_marks(job.destdir / CLEAN / "tok" / f"{split}.{lang}", recipe.subwords)
        if given is not None:
            bpe.load_codes(given)
            return {"size": write_lines(codes, read_lines(given)) - 1, "given": True}
        texts = [job.destdir / CLEAN / "tok" / f"train.{lang}" for lang in job.corpus.languages]
        with Workers(job.workers) as workers:
            counts = workers.count_words(texts)
        is_pieces = recipe.subwords == "sentencepiece"
        learn = bpe.learn_pieces if is_pieces else bpe.learn_merges
        size = learn(counts, codes, size=recipe.bpe_size, names=", ".join(map(str, texts)))
        return {"size": size, "words": len(counts)}

    learning = {"size": recipe.bpe_size, "given": sha256_of(given) if given else None}
    return Stage("learn BPE", (CODES,), _subwords(job) | learning, run, reads=("clean",))


def apply_stage(job: Job) -> Stage:
    """The subwords of every split: SUBWORDS/{split}.{lang}."""

    def run(folder: Path) -> dict[str, Any]:
        is_pieces = job.corpus.recipe.subwords == "sentencepiece"
        encode = bpe.encode_as_pieces if is_pieces else bpe.encode_with
        function = partial(encode, str(job.destdir / CODES / CODES_NAME))
        lines = 0
        with Workers(job.workers) as workers:
            for split, lang in product(job.corpus.splits, job.corpus.languages):
                name = f"{split}.{lang}"
                source = job.destdir / CLEAN / "tok" / name
                lines += workers.map_lines(function, source, folder / SUBWORDS / name)
        return {"lines": lines}

    return Stage("apply BPE", (SUBWORDS,), _subwords(job), run, reads=("clean", "learn BPE"))


def select_stage(job: Job) -> Stage:
    """raw/, tok/ and bpe/: the pairs whose subwords are not too many, and the merges."""
    limits = job.corpus.recipe.clean_subwords

    def run(folder: Path) -> dict[str, Any]:
        inputs = {kind: job.destdir / CLEAN / kind for kind in ("raw", "tok")}
        inputs["bpe"] = job.destdir / SUBWORDS
        pairs = {}
        for split in job.corpus.splits:
            of_split = limits if split in ("train", "valid") else None
            pairs[split] = clean.select_pairs(job.corpus.languages, inputs, folder, split, of_split)
        link_or_copy(job.destdir / CODES / CODES_NAME, folder / "bpe" / CODES_NAME)
        if limits is not None:
            job.check(pairs, job.corpus.counts.splits)
        return {"lines": 2 * sum(pairs.values()), "pairs": pairs}

    settings = {"limits": limits and asdict(limits), "expected": job.expected}
    reads = ("clean", "learn BPE", "apply BPE")
    return Stage("select", ("raw", "tok", "bpe"), settings, run, reads=reads)


def binarize_stage(job: Job) -> Stage:
    """bin/: what fairseq-preprocess makes of bpe/."""
    corpus, log = job.corpus, job.destdir / "logs" / "preprocess.log"

    def run(folder: Path) -> dict[str, Any]:
        for split, lang in product(corpus.splits, corpus.languages):
            binarize.check_words(job.destdir / "bpe" / f"{split}.{lang}")
        log.parent.mkdir(exist_ok=True)
        binarize.binarize(
            job.destdir / "bpe",
            folder / "bin",
            source_lang=corpus.languages[0],
            target_lang=corpus.languages[1],
            splits=corpus.splits,
            workers=job.workers,
            joined_dictionary=corpus.recipe.joined_dictionary,
            log_file=log,
        )
        return {}

    settings = {
        "languages": list(corpus.languages),
        "splits": corpus.splits,
        "joined_dictionary": corpus.recipe.joined_dictionary,
        "fairseq": binarize.tool_versions()["fairseq"],
    }
    return Stage("binarize", ("bin",), settings, run, reads=("select",))


def build_stages(job: Job) -> list[Stage]:
    """Return the stages of every corpus, in order."""
    makers = [extract_stage, tokenize_stage, clean_stage, learn_stage, apply_stage, select_stage]
    return [make(job) for make in (*makers, binarize_stage)]
