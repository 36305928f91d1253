"""Which pairs stay, and to which split they go: Moses' cleaning, and the recipes' own splits.

Of a text that is divided, no sentence is in two splits. Sentences are compared by their letters
and digits, without case.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product, zip_longest
from pathlib import Path
from typing import IO, Any

import numpy as np

from fairseq_labo.experiments.data import moses
from fairseq_labo.experiments.data.recipe import Corpus, Limits
from fairseq_labo.experiments.data.stages import link_or_copy
from fairseq_labo.experiments.errors import UserError

Row = tuple[str, ...]
TRAINING = ("train", "all")
EMPTY = 0  # in the place of a hash, of pairs with an empty side


def keeps(source: str, target: str, limits: Limits) -> bool:
    """Return whether Moses' clean-corpus-n.perl with `limits` keeps this pair of token lines."""
    left, right = source.split(), target.split()
    shorter, longer = sorted((len(left), len(right)))
    if shorter < 1 or longer > limits.max_tokens or longer / shorter > limits.ratio:
        return False
    return all(len(token) <= limits.max_characters for token in (*left, *right))


def split_pairs(corpus: Corpus, raw: Path, tokens: Path, folder: Path) -> dict[str, Any]:
    """Clean, lowercase and divide: write raw/ and tok/{split}.{lang} into `folder`.

    `raw` and `tokens` hold {part}.{lang}, line by line the same sentences. Returns "pairs" (of
    each split, and "cleaned": those that the training text had before the division), "empty"
    (the numbers of the pairs with a side without tokens, by part; training does without them) and
    "in_train" (by split, the numbers of its pairs that stand in train, too, as they are written but
    for white space at the ends).
    The order of the pairs stays.
    """
    recipe = corpus.recipe
    counts: Counter[str] = Counter()
    empty: dict[str, list[int]] = {}
    hashes = {split: array("q") for split in corpus.splits}
    with ExitStack() as files:
        outputs: dict[str, list[IO[bytes]]] = {split: [] for split in corpus.splits}
        for kind, split, lang in product(("raw", "tok"), corpus.splits, corpus.languages):
            path = folder / kind / f"{split}.{lang}"
            path.parent.mkdir(parents=True, exist_ok=True)
            outputs[split].append(files.enter_context(path.open("wb")))
        for part in corpus.parts:
            inputs = [base / f"{part}.{x}" for base in (raw, tokens) for x in corpus.languages]
            drawn: Mapping[int, str] = {}
            if recipe.held_out is not None and part in TRAINING:
                kept = _kept(corpus, part, inputs, [])
                drawn = draw_held_out(((row[0], row[1]) for row in kept), recipe.held_out)
            found = empty.setdefault(part, [])
            for number, row in enumerate(_kept(corpus, part, inputs, found), start=1):
                counts["cleaned"] += part in TRAINING
                split = drawn.get(number) or _split_of(corpus, part, row, number)
                counts[split] += 1
                hashes[split].append(
                    hash(tuple(map(str.strip, row[:2]))) if row[2] and row[3] else EMPTY
                )
                if recipe.lowercase:  # the tokens; the raw text keeps its case
                    row = (*row[:2], *map(moses.lowercase, row[2:]))
                _write(outputs[split], row)
    pairs = {"cleaned": counts["cleaned"]} | {split: counts[split] for split in corpus.splits}
    return {
        "pairs": pairs,
        "empty": {part: found for part, found in empty.items() if found},
        "in_train": _in_train(hashes),
    }


def _in_train(hashes: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    """By split, the numbers of the pairs whose hash a pair of train has, too."""
    found = {}
    for split in hashes.keys() - {"train"}:
        both = set(hashes[split]).intersection(hashes["train"]) - {EMPTY}
        found[split] = [n for n, each in enumerate(hashes[split], start=1) if each in both]
    return {split: found[split] for split in hashes if found.get(split)}


def select_pairs(
    languages: tuple[str, str],
    inputs: Mapping[str, Path],
    folder: Path,
    split: str,
    limits: Limits | None,
) -> int:
    """Write {kind}/{split}.{lang} of raw, tok and bpe: the pairs whose subwords `limits` keep.

    `inputs` maps the kinds to the folders they are read from. Returns the number of pairs.
    """
    names = [(kind, f"{split}.{lang}") for kind in inputs for lang in languages]
    paths = [inputs[kind] / name for kind, name in names]
    targets = [folder / kind / name for kind, name in names]
    if limits is None:
        for path, target in zip(paths, targets, strict=True):
            link_or_copy(path, target)
        with paths[0].open("rb") as stream:
            return sum(1 for _ in stream)
    kept = 0
    with ExitStack() as files:
        outputs = [files.enter_context(target.open("wb")) for target in targets]
        for row in read_rows(paths):
            if keeps(row[-2], row[-1], limits):
                _write(outputs, row)
                kept += 1
    return kept


def read_rows(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the lines of several files side by side; UserError when one ends before another."""
    with ExitStack() as files:
        streams = [files.enter_context(path.open("rb")) for path in paths]
        for lines in zip_longest(*streams, fillvalue=b""):
            if not all(lines):
                raise UserError(
                    f"expected as many lines in {', '.join(map(str, paths))}, found one that ends "
                    "before the others; prepare again with --force"
                )
            yield tuple(line.removesuffix(b"\n").decode("utf-8") for line in lines)


def _kept(corpus: Corpus, part: str, inputs: Sequence[Path], empty: list[int]) -> Iterator[Row]:
    """Yield raw source, raw target and the tokens of both, without what the recipe drops.

    `empty` gets the numbers of the pairs that have no tokens on a side. Training does without
    them; in other parts they stay, since references and published counts are line by line, and
    where cleaning after BPE drops them, since the recipe divides the text before that.
    """
    limits = corpus.recipe.clean_tokens if part in TRAINING else None
    is_dropping = part in TRAINING and corpus.recipe.clean_subwords is None
    for number, row in enumerate(read_rows(inputs), start=1):
        if not (row[2] and row[3]):
            empty.append(number)
            if is_dropping:
                continue
        elif limits is not None and not keeps(row[2], row[3], limits):
            continue
        yield row


def _split_of(corpus: Corpus, part: str, row: Row, number: int) -> str:
    if corpus.divide_by:
        return split_of(row[corpus.languages.index(corpus.divide_by)])
    if corpus.is_divided:
        return "train"
    every = corpus.recipe.valid_every
    return "valid" if part == "train" and every and number % every == 0 else part


def _write(outputs: Sequence[IO[bytes]], row: Row) -> None:
    for stream, line in zip(outputs, row, strict=True):
        stream.write(f"{line}\n".encode())


def draw_held_out(pairs: Iterable[tuple[str, str]], size: int) -> dict[int, str]:
    """Return the split of the pairs that are held out, `size` each for "test" and "valid".

    Keys are the pairs' numbers in the text, from 1. Candidates are the pairs both of whose
    sentences occur once on their side of the text; those with the smallest hash are taken. So
    neither the order of the text nor the direction of the pair matters. Raises UserError when
    there are fewer candidates than needed.
    """
    found = (_hash(sentence) for pair in pairs for sentence in pair)
    hashes = np.fromiter(found, dtype=np.uint64).reshape(-1, 2)  # [pairs, 2]
    is_candidate = (hashes != _hash("")).all(axis=1)
    for side in hashes.T:
        _, place, counts = np.unique(side, return_inverse=True, return_counts=True)
        is_candidate &= counts[place] == 1
    candidates = np.flatnonzero(is_candidate)
    if len(candidates) < 2 * size:
        raise UserError(
            f"--split: expected {2 * size:,} pairs whose sentences occur once in the text, found "
            f"{len(candidates):,} of {len(hashes):,} (after cleaning, if there is any); choose a "
            "smaller number, or clean less (it counts what stands between white space)"
        )
    # Of both sides together (modulo 2**64), so that the direction does not matter.
    order = candidates[np.argsort(hashes[candidates].sum(axis=1), kind="stable")][: 2 * size] + 1
    return dict(zip(order.tolist(), ["test"] * size + ["valid"] * size, strict=True))


def split_of(sentence: str) -> str:
    """Return the split of all pairs with this sentence: one in a hundred each is held out."""
    return {0: "valid", 1: "test"}.get(_hash(sentence) % 100, "train")


def _hash(sentence: str) -> int:
    letters = "".join(filter(str.isalnum, sentence.casefold()))
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:8], "big")
