"""The table at the end of a preparation, and the command that comes next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.splits import format_table

HEADER = ["split", "name", "side", "lines", "expected", "tokens", "expected", "unknown"]


def expected_counts(corpus: Corpus) -> dict[str, Any]:
    """Return what is known of `corpus` beside the lines of its splits, for the manifest."""
    return {
        "tokens": dict(corpus.counts.tokens),
        "dictionary": dict(corpus.counts.dictionary),
        "cleaned": corpus.counts.cleaned,
        "inferred_lines": dict(corpus.counts.inferred),
    }


def summary(manifest: Mapping[str, Any], destdir: Path) -> str:
    """Return the table of a prepared corpus and the command that trains on it."""
    return "\n".join(
        [
            format_table([HEADER, *_split_rows(manifest)], left_columns=3),
            "tokens: subwords with the ends of sentence, as fairseq counts them; expected: "
            "published or measured, ~ inferred",
            *_stage_lines(manifest),
            _vocabulary_line(manifest),
            *([f"note: {manifest['note']}"] if manifest.get("note") else []),
            *next_lines(manifest, destdir),
        ]
    )


def _split_rows(manifest: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    expected = manifest.get("expected", {})
    for split, entry in manifest["splits"].items():
        lines = entry["lines"]
        inferred = expected.get("inferred_lines", {}).get(split)
        lines_expected = _number(entry["expected_lines"])
        if entry["expected_lines"] is None and inferred is not None:
            lines_expected = f"~{inferred:,}"
        for index, lang in enumerate((manifest["source_lang"], manifest["target_lang"])):
            subwords = entry["bpe_tokens"][lang]
            unknown = entry["unknown_tokens"][lang] / max(1, subwords)
            rows.append(
                [
                    *((split, entry["name"]) if index == 0 else ("", "")),
                    lang,
                    f"{lines:,}",
                    lines_expected,
                    f"{subwords + lines:,}",
                    _number(expected.get("tokens", {}).get(f"{split}.{lang}")),
                    f"{unknown:.3%}",
                ]
            )
    return rows


def _stage_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Return what the cleaning left, where a corpus is cleaned."""
    stages, settings = manifest.get("stages", {}), manifest["settings"]
    lines = []
    extracted = stages.get("extract", {}).get("pairs", {}).get("train")
    if settings.get("clean_tokens") and extracted is not None:
        cleaned = stages["clean"]["pairs"]["cleaned"]
        expected = _number(manifest["expected"]["cleaned"])
        lines.append(
            f"training text: {extracted:,} pairs extracted, {cleaned:,} after cleaning "
            f"(expected {expected})"
        )
    if settings.get("clean_subwords"):
        before, after = stages["clean"]["pairs"], stages["select"]["pairs"]
        counts = ", ".join(
            f"{split} {before[split]:,} to {after[split]:,}" for split in ("train", "valid")
        )
        lines.append(f"cleaning after BPE: {counts} pairs")
    return lines


def _vocabulary_line(manifest: Mapping[str, Any]) -> str:
    sizes = manifest.get("vocabulary", {manifest["target_lang"]: manifest["vocabulary_size"]})
    expected = manifest.get("expected", {}).get("dictionary", {})
    if manifest.get("joined_dictionary", True):
        types = f"{manifest['vocabulary_size']:,} symbols, joined"
        expected = {}
    else:
        types = ", ".join(f"{lang} {size:,} symbols" for lang, size in sizes.items())
    if expected:
        types += f" (expected {', '.join(f'{lang} {n:,}' for lang, n in expected.items())})"
    unit = "pieces" if manifest.get("subwords") == "sentencepiece" else "merges"
    return (
        f"vocabulary: {types}; BPE {unit}: {manifest['bpe_merges_learned']:,} of "
        f"{manifest['bpe_merges']:,}"
    )


def next_lines(manifest: Mapping[str, Any], destdir: Path) -> list[str]:
    """Return the command that trains on a prepared folder, and what generation needs to know."""
    options = manifest.get("train_options", "")
    command, dashes, fairseq_options = options.partition("-- ")
    words = [
        f"next: scripts/train.sh --data {shlex.quote(str(destdir))}",
        f"--save-dir runs/{manifest['corpus']} --criterion labo_cross_entropy",
        command.strip(),
        f"{dashes}{fairseq_options}",
    ]
    lines = [" ".join(word for word in words if word)]
    if manifest.get("subwords") == "sentencepiece":
        lines.append(
            "to generate from these subwords: --post-process sentencepiece (evaluate.sh ... -- "
            "--post-process sentencepiece)"
        )
    return lines


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
