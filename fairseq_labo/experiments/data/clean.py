"""Which pairs stay, and to which split they go: Moses' cleaning, and the recipes' own splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from fairseq_labo.experiments.data import moses
from fairseq_labo.experiments.data.recipe import Corpus, Limits
from fairseq_labo.experiments.data.stages import link_or_copy
from fairseq_labo.experiments.errors import UserError

Row = tuple[str, ...]


def keeps(source: str, target: str, limits: Limits) -> bool:
    """Return whether Moses' clean-corpus-n.perl with `limits` keeps this pair of token lines."""
    left, right = source.split(), target.split()
    shorter, longer = sorted((len(left), len(right)))
    if shorter < 1 or longer > limits.max_tokens or longer / shorter > limits.ratio:
        return False
    return all(len(token) <= limits.max_characters for token in (*left, *right))


def split_pairs(corpus: Corpus, raw: Path, tokens: Path, folder: Path) -> dict[str, int]:
    """Clean, lowercase and divide: write raw/ and tok/{split}.{lang} into `folder`.

    `raw` and `tokens` hold {part}.{lang}, line by line the same sentences. Returns the pairs of
    each split, and "cleaned": those that the training text had before the division. The order of
    the pairs stays.
    """
    recipe = corpus.recipe
    counts: Counter[str] = Counter()
    for kind in ("raw", "tok"):
        (folder / kind).mkdir(parents=True)
    for part in corpus.parts:
        inputs = [base / f"{part}.{lang}" for base in (raw, tokens) for lang in corpus.languages]
        if not _changes(corpus, part):
            counts[part] = _count(inputs[0])
            counts["cleaned"] += counts[part] if part == "train" else 0
            for path, name in zip(inputs, _names(corpus, part), strict=True):
                link_or_copy(path, folder / name)
            continue
        limits = recipe.clean_tokens if part == "train" else None
        with ExitStack() as files:
            outputs = _outputs(corpus, part, folder, files)
            for row in read_rows(inputs, files):
                if limits is not None and not keeps(row[2], row[3], limits):
                    continue
                counts["cleaned"] += part == "train"
                split = _split_of(corpus, part, row, counts["cleaned"])
                counts[split] += 1
                _write(outputs[split], _cased(row, recipe.lowercase))
    return {"cleaned": counts["cleaned"]} | {split: counts[split] for split in corpus.splits}


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
    if limits is None:
        for (kind, name), path in zip(names, paths, strict=True):
            link_or_copy(path, folder / kind / name)
        return _count(paths[0])
    kept = 0
    with ExitStack() as files:
        outputs = [files.enter_context((folder / kind / name).open("wb")) for kind, name in names]
        for row in read_rows(paths, files):
            if keeps(row[-2], row[-1], limits):
                _write(outputs, row)
                kept += 1
    return kept


def read_rows(paths: Sequence[Path], files: ExitStack) -> Iterator[Row]:
    """Yield the lines of several files side by side; UserError when one ends before another."""
    streams = [files.enter_context(path.open("rb")) for path in paths]
    while True:
        lines = [stream.readline() for stream in streams]
        if not any(lines):
            return
        if not all(lines):
            raise UserError(
                f"expected as many lines in {', '.join(map(str, paths))}, found one that ends "
                "before the others; prepare again with --force"
            )
        yield tuple(line.removesuffix(b"\n").decode("utf-8") for line in lines)


def _changes(corpus: Corpus, part: str) -> bool:
    recipe = corpus.recipe
    trained = recipe.clean_tokens is not None or recipe.valid_every is not None
    return corpus.divide is not None or recipe.lowercase or (part == "train" and trained)


def _names(corpus: Corpus, split: str) -> list[str]:
    return [f"{kind}/{split}.{lang}" for kind in ("raw", "tok") for lang in corpus.languages]


def _outputs(
    corpus: Corpus, part: str, folder: Path, files: ExitStack
) -> dict[str, list[IO[bytes]]]:
    splits = [part]
    if corpus.divide is not None:
        splits = corpus.splits
    elif part == "train" and corpus.recipe.valid_every is not None:
        splits = ["train", "valid"]
    return {
        split: [files.enter_context((folder / name).open("wb")) for name in _names(corpus, split)]
        for split in splits
    }


def _split_of(corpus: Corpus, part: str, row: Row, number: int) -> str:
    if corpus.divide is not None:
        return corpus.divide(row[corpus.languages.index(corpus.divide_by)])
    every = corpus.recipe.valid_every
    return "valid" if part == "train" and every and number % every == 0 else part


def _cased(row: Row, lowercase: bool) -> Row:
    """Lowercase the tokens; the raw text keeps its case."""
    change: Callable[[str], str] = moses.lowercase if lowercase else str
    return (*row[:2], *map(change, row[2:]))


def _write(outputs: Sequence[IO[bytes]], row: Row) -> None:
    for stream, line in zip(outputs, row, strict=True):
        stream.write(f"{line}\n".encode())


def _count(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)
