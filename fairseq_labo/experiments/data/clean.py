"""Which pairs stay, and to which split they go: Moses' cleaning, and the recipes' own splits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from fairseq_labo.experiments.data import held_out, moses
from fairseq_labo.experiments.data.recipe import Corpus, Limits
from fairseq_labo.experiments.data.stages import link_or_copy
from fairseq_labo.experiments.errors import UserError

Row = tuple[str, ...]
TRAINING = ("train", "all")


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
    each split, and "cleaned": those that the training text had before the division) and "empty"
    (the numbers of the pairs with a side without tokens, by part; training does without them).
    The order of the pairs stays.
    """
    recipe = corpus.recipe
    counts: Counter[str] = Counter()
    empty: dict[str, list[int]] = {}
    for kind in ("raw", "tok"):
        (folder / kind).mkdir(parents=True)
    for part in corpus.parts:
        inputs = [base / f"{part}.{lang}" for base in (raw, tokens) for lang in corpus.languages]
        drawn: Mapping[int, str] = {}
        if recipe.held_out is not None and part in TRAINING:
            with ExitStack() as files:
                rows = _kept(corpus, part, inputs, files, [])
                drawn = held_out.draw(((row[0], row[1]) for row in rows), recipe.held_out)
        with ExitStack() as files:
            outputs = _outputs(corpus, part, folder, files)
            found = empty.setdefault(part, [])
            for number, row in enumerate(_kept(corpus, part, inputs, files, found), start=1):
                counts["cleaned"] += part in TRAINING
                split = drawn.get(number) or _split_of(corpus, part, row, number)
                counts[split] += 1
                if recipe.lowercase:  # the tokens; the raw text keeps its case
                    row = (*row[:2], *map(moses.lowercase, row[2:]))
                _write(outputs[split], row)
    pairs = {"cleaned": counts["cleaned"]} | {split: counts[split] for split in corpus.splits}
    return {"pairs": pairs, "empty": {part: found for part, found in empty.items() if found}}


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
        with paths[0].open("rb") as stream:
            return sum(1 for _ in stream)
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


def _kept(
    corpus: Corpus, part: str, inputs: Sequence[Path], files: ExitStack, empty: list[int]
) -> Iterator[Row]:
    """Yield raw source, raw target and the tokens of both, without what the recipe drops.

    `empty` gets the numbers of the pairs that have no tokens on a side. Training does without
    them; in other parts they stay, since references and published counts are line by line, and
    where cleaning after BPE drops them, since the recipe divides the text before that.
    """
    limits = corpus.recipe.clean_tokens if part in TRAINING else None
    is_dropping = part in TRAINING and corpus.recipe.clean_subwords is None
    for number, row in enumerate(read_rows(inputs, files), start=1):
        if not (row[2] and row[3]):
            empty.append(number)
            if is_dropping:
                continue
        elif limits is not None and not keeps(row[2], row[3], limits):
            continue
        yield row


def _outputs(
    corpus: Corpus, part: str, folder: Path, files: ExitStack
) -> dict[str, list[IO[bytes]]]:
    is_cut = part == "train" and corpus.recipe.valid_every is not None
    splits = corpus.splits if corpus.is_divided else ["train", "valid"] if is_cut else [part]
    return {
        split: [
            files.enter_context((folder / kind / f"{split}.{lang}").open("wb"))
            for kind in ("raw", "tok")
            for lang in corpus.languages
        ]
        for split in splits
    }


def _split_of(corpus: Corpus, part: str, row: Row, number: int) -> str:
    if corpus.divide_by:
        return held_out.split_of(row[corpus.languages.index(corpus.divide_by)])
    if corpus.is_divided:
        return "train"
    every = corpus.recipe.valid_every
    return "valid" if part == "train" and every and number % every == 0 else part


def _write(outputs: Sequence[IO[bytes]], row: Row) -> None:
    for stream, line in zip(outputs, row, strict=True):
        stream.write(f"{line}\n".encode())
