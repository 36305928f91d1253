"""The microworld: a German-English corpus generated from a small grammar, without any download.

`python -m microworld --destdir DIR` writes DIR/{train,valid,test}.{de,en}, with --tsv
DIR/{train,valid,test}.tsv.gz, as they come with fairseq_labo. The sentences
are real German and English about a small world of people, animals, things and places, so that a
reader can judge what a model trained on them says; the same seed always gives the same text.
"""

import argparse
import gzip
import re
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from random import Random

from microworld.embedding import Embedding
from microworld.lexicon import NAMES

Corpus = dict[str, list[tuple[str, str]]]
SPLITS = ("train", "valid", "test")
SHORTEST, LONGEST = 3, 24  # words of a German sentence
DRAWS_PER_PAIR = 12
# "the skirt that I tried on on her balcony"; "Anna hopes that Peter will call Anna"
_NAMES = "|".join(entry.split()[-2] for entry in NAMES)
STUTTER = re.compile(rf"\b(\w+) \1\b|\b({_NAMES})\b.*\b\2\b")


def generate(*, seed: int = 1, train: int = 24_000, valid: int = 500, test: int = 500) -> Corpus:
    """Generate the splits: "train", "valid", "test", each a list of (German, English) sentences.

    All pairs differ, and neither side of a valid or test pair occurs in another split. Raises
    ValueError for negative sizes, and for sizes the grammar cannot fill.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(
                f"Expected a number of {name} pairs of 0 or more, found {size}. "
                "Give a size that is not negative."
            )
    draw = _Draw(seed, limit=1000 + DRAWS_PER_PAIR * sum(sizes.values()))
    # Held-out pairs come first: whatever repeats one of their sides is kept out of train.
    test_pairs = [draw.held_out() for _ in range(test)]
    valid_pairs = [draw.held_out() for _ in range(valid)]
    train_pairs = [draw.for_training() for _ in range(train)]
    return {"train": train_pairs, "valid": valid_pairs, "test": test_pairs}


class _Draw:
    """Draws pairs that have not been drawn before, at most `limit` attempts in all."""

    def __init__(self, seed: int, limit: int) -> None:
        self.rng = Random(seed)
        weighted = Embedding(self.rng).templates()
        self.templates = [template for _, template in weighted]
        self.weights = list(accumulate(weight for weight, _ in weighted))
        self.limit = self.left = limit
        self.found = 0
        self.seen: set[tuple[str, str]] = set()
        self.german: set[str] = set()
        self.english: set[str] = set()

    def _pair(self) -> tuple[str, str]:
        while self.left > 0:
            self.left -= 1
            template = self.rng.choices(self.templates, cum_weights=self.weights)[0]
            pair = template()
            fits = SHORTEST <= len(pair[0].split()) <= LONGEST and not STUTTER.search(pair[1])
            if fits and pair[0] not in self.german and pair[1] not in self.english:
                return pair
        raise ValueError(
            f"Expected enough different sentences, found {self.found} in {self.limit} draws. "
            "Ask for fewer pairs."
        )

    def held_out(self) -> tuple[str, str]:
        """A pair neither side of which has been held out before; remember both sides."""
        pair = self._pair()
        self.german.add(pair[0])
        self.english.add(pair[1])
        self.found += 1
        return pair

    def for_training(self) -> tuple[str, str]:
        """A new pair that shares no side with a held-out one."""
        while True:
            pair = self._pair()
            if pair not in self.seen:
                self.seen.add(pair)
                self.found += 1
                return pair


def write(destination: Path, corpus: Corpus) -> None:
    """Write DESTINATION/{train,valid,test}.{de,en}, one sentence a line."""
    for split in SPLITS:
        for side, language in enumerate(("de", "en")):
            text = "".join(f"{pair[side]}\n" for pair in corpus[split])
            (destination / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")


def write_tsv(destination: Path, corpus: Corpus) -> None:
    """Write DESTINATION/{train,valid,test}.tsv.gz, German TAB English a line.

    The same corpus gives the same bytes: no time and no name stand in the archives.
    """
    for split in SPLITS:
        text = "".join(f"{german}\t{english}\n" for german, english in corpus[split])
        with (
            (destination / f"{split}.tsv.gz").open("wb") as stream,
            gzip.GzipFile("", "wb", compresslevel=9, fileobj=stream, mtime=0) as archive,
        ):
            archive.write(text.encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = _parser().parse_args(argv)
    sizes = {split: getattr(args, split) for split in SPLITS}
    try:
        corpus = generate(seed=args.seed, **sizes)
        args.destdir.mkdir(parents=True, exist_ok=True)
        (write_tsv if args.tsv else write)(args.destdir, corpus)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for split in SPLITS:
        german, english = (
            sum(len(pair[side].split()) for pair in corpus[split]) for side in (0, 1)
        )
        print(f"{split}: {len(corpus[split])} pairs, {german} German and {english} English words")
    for german_text, english_text in corpus["train"][:3]:
        print(f"  {german_text}  |  {english_text}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m microworld",
        description="Generate the microworld corpus as raw text.",
        allow_abbrev=False,
    )
    parser.add_argument("--destdir", type=Path, required=True, help="folder to write to")
    parser.add_argument("--tsv", action="store_true", help="both sides in one file, gzipped")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the generator")
    parser.add_argument("--train", type=int, default=24_000, metavar="N", help="training pairs")
    parser.add_argument("--valid", type=int, default=500, metavar="N", help="validation pairs")
    parser.add_argument("--test", type=int, default=500, metavar="N", help="test pairs")
    return parser
