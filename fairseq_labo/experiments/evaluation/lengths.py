"""Lines longer than what a model was trained for: translated where its positions allow it.

fairseq refuses lines of more than 1,024 tokens (or of what the model was trained with). Sinusoidal
positions go on beyond that, so the limits are raised; learned ones end with their table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairseq_labo.experiments.checkpoints import settings_of
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.data.intact import MOST_POSITIONS, read_lengths
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError

ENDLESS = 100_000  # fairseq's own end of sinusoidal positions
SHOWN = 10
# Hypotheses are cut at MAX_LEN_A x the length of the batch's longest source + MAX_LEN_B tokens.
MAX_LEN_A, MAX_LEN_B = 1.2, 10


@dataclass(frozen=True)
class Fit:
    """How a subset fits a model: lines that do not (numbers from 0), and what fairseq is told.

    `limits`: values of max_source_positions and max_target_positions, empty if they may stay.
    """

    skipped: tuple[int, ...]
    limits: Mapping[str, int]
    max_tokens: int

    def kept(self, lines: Sequence[str]) -> list[str]:
        """Lines of the subset without those skipped."""
        return [line for number, line in enumerate(lines) if number not in self.skipped]

    @property
    def words(self) -> list[str]:
        """Words for fairseq-generate."""
        words = ["--max-tokens", str(self.max_tokens)]
        for name, value in self.limits.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        words += ["--model-overrides", str(dict(self.limits))] if self.limits else []
        return words + (["--skip-invalid-size-inputs-valid-test"] if self.skipped else [])


def learned_positions(model: Mapping[str, Any]) -> tuple[int, int]:
    """The most tokens, with the end of sentence, of source and target, by a model's parameters."""
    tables = [model.get(f"{side}.embed_positions.weight") for side in ("encoder", "decoder")]
    # Its first rows are for padding: positions begin behind that symbol's number, which is 1.
    source, target = (ENDLESS if table is None else len(table) - 2 for table in tables)
    return source, target


def fit(
    state: Mapping[str, Any], corpus: PreparedCorpus, subset: str, *, max_tokens: int, skip: bool
) -> Fit:
    """How the lines of a subset fit the model of a checkpoint; batches hold the longest of them.

    Raises UserError naming the lines that are too long for it, unless those are to be skipped.
    """
    stem = corpus.bin_dir / f"{subset}.{'-'.join(corpus.languages)}"
    indexes = [read_lengths(stem.with_name(f"{stem.name}.{lang}.idx")) for lang in corpus.languages]
    if len(indexes[0]) != len(indexes[1]):
        found = " and ".join(str(len(each)) for each in indexes)
        raise UserError(f"{stem}: expected as many source as target lines, found {found}")
    lengths = list(zip(*indexes, strict=True))
    limits = learned_positions(state["model"])
    long = {n: pair for n, pair in enumerate(lengths) if pair[0] > limits[0] or pair[1] > limits[1]}
    if long:
        text = ", ".join(f"{n} ({max(pair)})" for n, pair in list(long.items())[:SHOWN])
        message = (
            f"{subset}: expected lines of at most {limits[0]} source and {limits[1]} target "
            f"tokens, for which the model has learned positions, found {len(long)} longer, number "
            f"(from 0) and length: {text}{', ...' if len(long) > SHOWN else ''}"
        )
        if not skip or len(long) == len(lengths):
            raise UserError(f"{message}; --skip-long scores the others")
        say(f"{message}; they are skipped")
    kept = [pair for n, pair in enumerate(lengths) if n not in long]
    source, target = (max(each, default=0) for each in zip(*kept, strict=True))
    trained = settings_of(state, "model")
    names = "max_source_positions", "max_target_positions"
    usual = [min(MOST_POSITIONS, trained.get(name) or MOST_POSITIONS) for name in names]
    raised: dict[str, int] = {}
    needed = source, max(target, int(MAX_LEN_A * source + MAX_LEN_B) + 1)
    if any(least > limit for least, limit in zip(needed, usual, strict=True)):
        for name, limit, least in zip(names, limits, needed, strict=True):
            # Of learned positions the table's own size, or it could not be loaded.
            raised[name] = limit if limit < ENDLESS else min(ENDLESS, max(MOST_POSITIONS, least))
    return Fit(tuple(long), raised, max(max_tokens, source, target))
