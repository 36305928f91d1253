"""Multi30k, task 1: image captions, German and English (Elliott et al., 2016).

`python -m labo_data.multi30k --destdir DIR` downloads the release, or takes it from --source-dir,
and prepares it. The corpus is for non-commercial research.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from labo_data import download, pipeline
from labo_data.text import DataError, Split, check_parallel, read_lines, write_lines

LAYOUT = "data/task1/raw"
LANGUAGES = ("de", "en")
SPLITS = {
    "train": Split("train", 29_000),
    "valid": Split("val", 1_014),
    "test": Split("test_2016_flickr", 1_000),
    "test1": Split("test_2017_flickr", 1_000),
    "test2": Split("test_2017_mscoco", 461),
}


def main(
    argv: Sequence[str] | None = None,
    *,
    sources: Sequence[download.Source] | None = None,
    splits: Mapping[str, Split] = SPLITS,
) -> int:
    """Run the command; return its exit status. `sources` and `splits` can be replaced in tests."""
    args = _parser().parse_args(argv)
    try:
        if sources is None:
            sources = download.read_sources("multi30k")
        with pipeline.incoming_folder(args.destdir) as incoming:
            _unpack(_locate(args, sources), incoming, splits)
            pipeline.prepare(
                incoming,
                args.destdir,
                corpus="multi30k",
                source_lang=args.source_lang,
                target_lang=args.target_lang,
                splits=splits,
                bpe_merges=args.bpe_merges,
                workers=args.workers,
                force=args.force,
            )
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _locate(args: argparse.Namespace, sources: Sequence[download.Source]) -> dict[str, Path]:
    if args.source_dir is not None:
        return download.find_all(sources, args.source_dir, subfolder=LAYOUT)
    return download.fetch_all(sources, args.destdir / "download")


def _unpack(archives: Mapping[str, Path], folder: Path, splits: Mapping[str, Split]) -> None:
    for split, entry in splits.items():
        pair = {lang: archives[f"{entry.name}.{lang}.gz"] for lang in LANGUAGES}
        # Here rather than on the unpacked text, so that an error names the user's files.
        check_parallel(pair["de"], pair["en"], expected_lines=entry.expected_lines)
        for lang, archive in pair.items():
            write_lines(folder / f"{split}.{lang}", read_lines(archive))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m labo_data.multi30k",
        description="Prepare Multi30k (German, English) for fairseq.",
        allow_abbrev=False,
    )
    parser.add_argument("--destdir", type=Path, required=True, help="folder to prepare")
    parser.add_argument(
        "--source-dir",
        type=Path,
        help=f"folder with the release ({LAYOUT}/*.gz, or the .gz files themselves); "
        "default: download it",
    )
    parser.add_argument("--source-lang", choices=LANGUAGES, default="de")
    parser.add_argument("--target-lang", choices=LANGUAGES, default="en")
    parser.add_argument("--bpe-merges", type=int, default=8000, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="fairseq's processes")
    parser.add_argument("--force", action="store_true", help="prepare again even if up to date")
    return parser


if __name__ == "__main__":
    sys.exit(main())
