"""The microworld: a small generated corpus, German and English, that needs no download.

`python -m labo_data.prepare_microworld --destdir DIR` generates and prepares it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from labo_data import microworld, pipeline
from labo_data.text import DataError, Split

SIZES = {"train": 24_000, "valid": 500, "test": 500}


def main(argv: Sequence[str] | None = None, *, sizes: Mapping[str, int] = SIZES) -> int:
    """Run the command; return its exit status. `sizes` (pairs) can be replaced in tests."""
    args = _parser().parse_args(argv)
    try:
        with pipeline.incoming_folder(args.destdir) as incoming:
            microworld.write(incoming, seed=args.seed, **sizes)
            pipeline.prepare(
                incoming,
                args.destdir,
                corpus="microworld",
                source_lang="de",
                target_lang="en",
                splits={split: Split(f"seed {args.seed}", size) for split, size in sizes.items()},
                bpe_merges=args.bpe_merges,
                workers=args.workers,
                force=args.force,
            )
    except (DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m labo_data.prepare_microworld",
        description="Generate the microworld corpus and prepare it for fairseq.",
        allow_abbrev=False,
    )
    parser.add_argument("--destdir", type=Path, required=True, help="folder to prepare")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the generator")
    parser.add_argument("--bpe-merges", type=int, default=3000, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="fairseq's processes")
    parser.add_argument("--force", action="store_true", help="prepare again even if up to date")
    return parser


if __name__ == "__main__":
    sys.exit(main())
