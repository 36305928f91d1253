"""The stages of every corpus: extract, tokenize, clean, learn BPE, apply BPE, select, binarize.

Each lists the settings that decide its outputs; the work itself is in `steps`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data import binarize
from fairseq_labo.experiments.data.locate import Located
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import Stage
from fairseq_labo.experiments.data.steps import (
    CLEAN,
    CODES,
    DETOKENIZED,
    SUBWORDS,
    TEXT,
    TOKENS,
    Steps,
)
from fairseq_labo.experiments.files import sha256_of

TOKENIZER_SETTINGS = (
    "released_tokens",
    "normalize",
    "aggressive_hyphens",
    "split_final_period",
    "straight_apostrophes",
)


def build_stages(
    corpus: Corpus, located: Located, destdir: Path, *, workers: int, accept_counts: bool
) -> list[Stage]:
    """Return the stages that prepare `corpus` in `destdir` from the files in `located`."""
    steps = Steps(corpus, located.containers, destdir, workers, accept_counts)
    # Counts are checked inside the stages, so others are another setting.
    checked: dict[str, Any] = {
        "accept_counts": accept_counts,
        "cleaned": corpus.counts.cleaned,
        "splits": dict(corpus.counts.splits),
    }
    return [
        *_text_stages(corpus, located, steps, checked),
        *_subword_stages(corpus, located, steps, checked),
    ]


def _text_stages(
    corpus: Corpus, located: Located, steps: Steps, checked: dict[str, Any]
) -> list[Stage]:
    settings = corpus.recipe.as_json()
    source = _source_settings(corpus, located) | {"accept_counts": checked["accept_counts"]}
    tokenizer = {name: settings[name] for name in TOKENIZER_SETTINGS}
    cleaning = {
        "limits": settings["clean_tokens"],
        "lowercase": corpus.recipe.lowercase,
        "valid_every": corpus.recipe.valid_every,
        "divided_by": corpus.divide_by,
        "unicode": unicodedata.unidata_version,
        "expected": checked,
    }
    return [
        Stage("extract", (TEXT,), source, steps.extract),
        Stage(
            "tokenize",
            (TOKENS, DETOKENIZED),
            tokenizer | _versions("sacremoses", "regex"),
            steps.tokenize,
            reads=("extract",),
        ),
        Stage("clean", (CLEAN,), cleaning, steps.clean, reads=("extract", "tokenize")),
    ]


def _subword_stages(
    corpus: Corpus, located: Located, steps: Steps, checked: dict[str, Any]
) -> list[Stage]:
    recipe = corpus.recipe
    given = located.containers.get(recipe.codes or "")
    subwords = {"subwords": recipe.subwords} | _versions(recipe.subwords)
    learning = {"size": recipe.bpe_size, "given": sha256_of(given.path) if given else None}
    binarizing = {
        "languages": list(corpus.languages),
        "splits": corpus.splits,
        "joined_dictionary": recipe.joined_dictionary,
        "fairseq": binarize.tool_versions()["fairseq"],
    }
    selecting = {"limits": recipe.as_json()["clean_subwords"], "expected": checked}
    return [
        Stage("learn BPE", (CODES,), subwords | learning, steps.learn, reads=("clean",)),
        Stage("apply BPE", (SUBWORDS,), subwords, steps.apply, reads=("clean", "learn BPE")),
        Stage(
            "select",
            ("raw", "tok", "bpe"),
            selecting,
            steps.select,
            reads=("clean", "learn BPE", "apply BPE"),
        ),
        Stage("binarize", ("bin",), binarizing, steps.binarize, reads=("select",)),
    ]


def _source_settings(corpus: Corpus, located: Located) -> dict[str, Any]:
    """Return what decides the raw text: the files and what is read of them, or the generator."""
    if corpus.generate is None:
        texts = [
            [part, member.path_of(lang, corpus.languages), member.markup, member.expected_lines]
            + ([_versions("sacremoses", "regex")] if member.tokenize else [])
            for part, member, lang in corpus.texts()
        ]
        files = {name: sha256_of(path) for name, path in sorted(located.files.items())}
        return {"files": files, "texts": texts}
    code = Path(importlib.import_module(corpus.name).__file__ or "").parent
    assert isinstance(corpus.generate, partial)
    return {
        "generator": {path.name: sha256_of(path) for path in sorted(code.glob("*.py"))},
        "options": dict(corpus.generate.keywords),
    }


def _versions(*names: str) -> dict[str, Any]:
    return {"versions": {name: importlib.metadata.version(name) for name in names}}
