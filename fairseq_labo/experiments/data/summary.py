"""The table at the end of a preparation, and the command that comes next."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from fairseq_labo.experiments.console import format_table
from fairseq_labo.experiments.data.clean import TRAINING
from fairseq_labo.experiments.data.intact import MOST_POSITIONS
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.languages import UNSPACED, short_code

HEADER = ["split", "name", "side", "lines", "expected", "tokens", "expected", "unknown"]
SHOWN = 8  # of each kind of oddity


def summary(corpus: PreparedCorpus) -> str:
    """Return the table of a prepared corpus and the command that trains on it."""
    manifest = corpus.manifest
    return "\n".join(
        [
            format_table([HEADER, *_split_rows(corpus)], left_columns=3),
            "tokens: subwords with the ends of sentence, as fairseq counts them; expected: "
            "published or measured, ~ inferred",
            *_stage_lines(manifest),
            *_oddities(manifest),
            _vocabulary_line(corpus),
            *([f"note: {manifest['note']}"] if manifest["note"] else []),
            *_unspaced(corpus),
            next_command(corpus),
        ]
    )


def _split_rows(corpus: PreparedCorpus) -> list[list[str]]:
    rows, expected = [], corpus.manifest["expected"]
    for split, entry in corpus.manifest["splits"].items():
        lines, of_lines = entry["lines"], _number(entry["expected_lines"])
        if entry["expected_lines"] is None and split in expected["inferred_lines"]:
            of_lines = f"~{expected['inferred_lines'][split]:,}"
        names = [split, entry["name"]]
        for lang in corpus.languages:
            subwords = entry["bpe_tokens"][lang]
            unknown = entry["unknown_tokens"][lang] / max(1, subwords)
            of_tokens = _number(expected["tokens"].get(f"{split}.{lang}"))
            counts = [f"{lines:,}", of_lines, f"{subwords + lines:,}", of_tokens, f"{unknown:.3%}"]
            rows.append([*names, lang, *counts])
            names = ["", ""]
    return rows


def _stage_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Return what the cleaning left, where a corpus is cleaned."""
    stages, lines = manifest["stages"], []
    extracted, before, after = (stages[x]["pairs"] for x in ("extract", "clean", "select"))
    if manifest["settings"]["clean_tokens"]:
        lines.append(
            f"training text: {extracted.get('train', extracted.get('all')):,} pairs extracted, "
            f"{before['cleaned']:,} after cleaning "
            f"(expected {_number(manifest['expected']['cleaned'])})"
        )
    if manifest["settings"]["clean_subwords"]:
        counts = [f"{x} {before[x]:,} to {after[x]:,}" for x in ("train", "valid")]
        lines.append(f"cleaning after BPE: {', '.join(counts)} pairs")
    return lines


def _oddities(manifest: Mapping[str, Any]) -> list[str]:
    """Return what is in the text that a user should know: see `clean.split_pairs`, `measure`."""
    lines = [f"text: {note}" for note in _first(manifest["stages"]["extract"]["notes"])]
    for part, found in manifest["stages"]["clean"]["empty"].items():
        what = "dropped" if part in TRAINING else "kept, so that no other line moves"
        name = "training text" if part in TRAINING else part
        lines.append(f"pairs with an empty side: {name} {len(found):,}, {what}{_numbers(found)}")
    in_train = manifest["stages"]["clean"].get("in_train", {})  # older ones have none
    for split, found in in_train.items():
        before, after = (manifest["stages"][x]["pairs"][split] for x in ("clean", "select"))
        where = _numbers(found) if before == after else ""
        lines.append(f"{split}: {len(found):,} of {before:,} pairs stand in train, too{where}")
    too_long = [
        f"{MOST_POSITIONS:,} subwords or more: raw/{split}.{lang} {len(found):,}{_numbers(found)}"
        for split, entry in manifest["splits"].items()
        for lang, found in entry["too_long"].items()
    ]
    if too_long:
        too_long.append(
            "  fairseq takes one less (--max-source-positions, --max-target-positions): it trains "
            "without such lines, and may stop at them elsewhere; split or remove them"
        )
    return lines + too_long


def _unspaced(corpus: PreparedCorpus) -> list[str]:
    """Return a line for each language whose words Moses' rules tear."""
    if corpus.tokenizer != "moses":
        return []
    names = [UNSPACED.get(short_code(lang)) for lang in corpus.languages]
    return [
        f"note: {name} has no spaces, and Moses' tokens, which tear its words, cannot be joined "
        "again as they were: --tokenizer none keeps the text"
        for name in filter(None, names)
    ]


def _first(notes: Sequence[str]) -> list[str]:
    more = len(notes) - SHOWN
    return [*notes[:SHOWN], *([f"and {more:,} more, in the manifest"] if more > 0 else [])]


def _numbers(found: Sequence[int]) -> str:
    return f" (line {', '.join(_first([f'{number:,}' for number in found]))})"


def _vocabulary_line(corpus: PreparedCorpus) -> str:
    manifest = corpus.manifest
    if corpus.joined_dictionary:
        types = f"{manifest['vocabulary_size']:,} symbols, joined"
    else:
        sizes = manifest["vocabulary"].items()
        types = ", ".join(f"{lang} {size:,} symbols" for lang, size in sizes)
        if expected := manifest["expected"]["dictionary"]:
            types += f" (expected {', '.join(f'{lang} {n:,}' for lang, n in expected.items())})"
    unit = "pieces" if corpus.subwords == "sentencepiece" else "merges"
    return (
        f"vocabulary: {types}; BPE {unit}: {manifest['bpe_merges_learned']:,} of "
        f"{manifest['bpe_merges']:,}"
    )


def next_command(corpus: PreparedCorpus) -> str:
    """Return the command that trains on a prepared folder."""
    return (
        f"next: labo train --data {shlex.quote(str(corpus.folder))} --save-dir "
        f"runs/{corpus.name} --criterion labo_cross_entropy {corpus.manifest['train_options']}"
    ).rstrip()


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
