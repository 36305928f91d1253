"""Raw parallel text to a fairseq data folder, the same way for every corpus.

The folder holds raw/ (the untouched text: the references for scoring), tok/ (Moses tokens), bpe/
(codes and subwords), bin/ (fairseq's data), logs/, and manifest.json. The manifest is written
last, so a folder without it is unfinished and a run starts it over.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labo_data import binarize, bpe, moses, text
from labo_data.text import DataError, Split

FORMAT = "labo_data/1"
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
INCOMING = ".incoming"
STAGES = ("raw", "tok", "bpe", "bin", "logs")


@dataclass(frozen=True)
class Settings:
    """What, beside the raw text, decides the prepared data."""

    corpus: str
    source_lang: str
    target_lang: str
    splits: Mapping[str, Split]
    bpe_merges: int

    @property
    def languages(self) -> tuple[str, str]:
        return self.source_lang, self.target_lang

    @property
    def raw_names(self) -> list[str]:
        return [f"{split}.{lang}" for split in self.splits for lang in self.languages]

    def as_json(self) -> dict[str, Any]:
        return {
            "corpus": self.corpus,
            "source_lang": self.source_lang,
            "target_lang": self.target_lang,
            "splits": {split: entry.name for split, entry in self.splits.items()},
            "tokenizer": "moses, escaped, no aggressive hyphens",
            "bpe_merges": self.bpe_merges,
            "bpe_separator": bpe.SEPARATOR,
            "joined_dictionary": True,
        }


def prepare(
    raw_dir: Path,
    destdir: Path,
    *,
    corpus: str,
    source_lang: str,
    target_lang: str,
    splits: Mapping[str, Split],
    bpe_merges: int,
    workers: int = 1,
    force: bool = False,
) -> dict[str, Any]:
    """Prepare `raw_dir`/{split}.{lang} in `destdir`; return the manifest.

    `splits` maps train, valid, test, test1, ..., in this order, to the release's parts. With the
    same settings and text as before nothing is done, unless `force`. Raises DataError for text
    that is not parallel, a folder of other content, and a stage that fails; the text is checked
    before anything in `destdir` changes.
    """
    settings = Settings(corpus, source_lang, target_lang, splits, bpe_merges)
    for option, value in (("--bpe-merges", bpe_merges), ("--workers", workers)):
        if value < 1:
            raise DataError(f"{option}: expected a number of at least 1, found {value}")
    lines = text.check_splits(raw_dir, splits, settings.languages)
    hashes = {name: text.sha256_of(raw_dir / name) for name in settings.raw_names}
    manifest = read_manifest(destdir)
    if manifest and not force and _is_current(manifest, destdir, settings, hashes):
        print(f"{destdir} is up to date (same settings and text); --force prepares it again")
    else:
        binarize.ensure_fairseq()
        _start_over(raw_dir, destdir, settings)
        _run_stages(destdir, settings, workers=workers)
        manifest = _describe(destdir, settings, lines=lines, hashes=hashes)
        text.write_json(destdir / MANIFEST, manifest)
        (destdir / UNFINISHED).unlink()
    print(summary(manifest, destdir))
    return manifest


@contextmanager
def incoming_folder(destdir: Path) -> Iterator[Path]:
    """An empty folder in `destdir` for raw text on its way; removed at the end.

    Raises DataError when `destdir` holds anything that is not from here.
    """
    _claim(destdir)
    folder = destdir / INCOMING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_manifest(destdir: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished folder, or None when there is none from here."""
    manifest = text.read_json(destdir / MANIFEST)
    is_ours = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    return manifest if is_ours else None


def summary(manifest: Mapping[str, Any], destdir: Path) -> str:
    """Return the table of a prepared corpus and the command that trains on it."""
    langs = manifest["source_lang"], manifest["target_lang"]
    rows = [["split", "name", "lines", "expected"]]
    rows[0] += [f"tokens {lang}" for lang in langs] + [f"unknown {lang}" for lang in langs]
    for split, entry in manifest["splits"].items():
        expected, tokens = entry["expected_lines"], entry["bpe_tokens"]
        row = [split, entry["name"], f"{entry['lines']:,}"]
        row.append("-" if expected is None else f"{expected:,}")
        row += [f"{tokens[lang]:,}" for lang in langs]
        row += [f"{entry['unknown_tokens'][lang] / max(1, tokens[lang]):.3%}" for lang in langs]
        rows.append(row)
    return (
        f"{text.format_table(rows, left_columns=2)}\n"
        f"tokens: subwords, without the end of sentence; vocabulary: "
        f"{manifest['vocabulary_size']:,} symbols; BPE merges: "
        f"{manifest['bpe_merges_learned']:,} learned of {manifest['bpe_merges']:,}\n"
        f"next: scripts/train.sh --data {shlex.quote(str(destdir))} "
        f"--save-dir runs/{manifest['corpus']} --criterion labo_cross_entropy"
    )


def _is_current(
    manifest: Mapping[str, Any], destdir: Path, settings: Settings, hashes: Mapping[str, str]
) -> bool:
    files = [f"{stage}/{name}" for stage in STAGES[:3] for name in settings.raw_names]
    data_files = binarize.data_files(list(settings.splits), *settings.languages)
    files += [f"bin/{name}" for name in data_files]
    return (
        manifest.get("settings") == settings.as_json()
        and manifest.get("raw_sha256") == hashes
        and all((destdir / name).is_file() for name in files)
    )


def _claim(destdir: Path) -> None:
    # Stages are deleted before they are made again: never in a folder of somebody else's.
    if read_manifest(destdir) or (destdir / UNFINISHED).exists():
        return
    if destdir.exists() and (not destdir.is_dir() or any(destdir.iterdir())):
        raise DataError(
            f"{destdir}: expected an empty folder, none, or one prepared before, found other "
            "content; choose another --destdir"
        )
    destdir.mkdir(parents=True, exist_ok=True)
    (destdir / UNFINISHED).touch()


def _start_over(raw_dir: Path, destdir: Path, settings: Settings) -> None:
    if raw_dir.resolve() in [(destdir / stage).resolve() for stage in STAGES]:
        raise DataError(
            f"{raw_dir}: expected the raw text outside {destdir}'s own folders, which are made "
            "again; move it to another folder"
        )
    _claim(destdir)
    (destdir / UNFINISHED).touch()
    (destdir / MANIFEST).unlink(missing_ok=True)
    for stage in STAGES:
        if (destdir / stage).exists():
            shutil.rmtree(destdir / stage)
        (destdir / stage).mkdir()
    for name in settings.raw_names:
        shutil.copyfile(raw_dir / name, destdir / "raw" / name)


def _run_stages(destdir: Path, settings: Settings, *, workers: int) -> None:
    raw, tok, subwords, binarized, logs = (destdir / stage for stage in STAGES)
    with _timed("tokenize"):
        for name in settings.raw_names:
            moses.tokenize_file(raw / name, tok / name, language=name.split(".")[1])
    with _timed("learn BPE"):
        texts = [tok / f"train.{lang}" for lang in settings.languages]
        bpe.learn_codes(texts, subwords / "codes", merges=settings.bpe_merges)
    with _timed("apply BPE"):
        encoder = bpe.load_codes(subwords / "codes")
        for name in settings.raw_names:
            bpe.encode_file(tok / name, subwords / name, encoder)
    with _timed("binarize"):
        binarize.binarize(
            subwords,
            binarized,
            source_lang=settings.source_lang,
            target_lang=settings.target_lang,
            splits=list(settings.splits),
            workers=workers,
            log_file=logs / "preprocess.log",
        )


@contextmanager
def _timed(stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{stage}: {time.perf_counter() - started:.1f} s", flush=True)


def _describe(
    destdir: Path, settings: Settings, *, lines: Mapping[str, int], hashes: Mapping[str, str]
) -> dict[str, Any]:
    languages = {"source_lang": settings.source_lang, "target_lang": settings.target_lang}
    splits: dict[str, Any] = {}
    for split, entry in settings.splits.items():
        counts: dict[str, dict[str, int]] = {"tokens": {}, "bpe_tokens": {}, "unknown_tokens": {}}
        for lang in settings.languages:
            counts["tokens"][lang] = text.count_tokens(destdir / "tok" / f"{split}.{lang}")
            counts["bpe_tokens"][lang], counts["unknown_tokens"][lang] = binarize.measure(
                destdir / "bpe", destdir / "bin", split, lang, **languages
            )
        sizes = {"lines": lines[split], "expected_lines": entry.expected_lines}
        splits[split] = {"name": entry.name, **sizes, **counts}
    symbols = binarize.read_dictionary(destdir / "bin" / f"dict.{settings.target_lang}.txt")
    return {
        "format": FORMAT,
        "corpus": settings.corpus,
        **languages,
        "splits": splits,
        "bpe_merges": settings.bpe_merges,
        "bpe_merges_learned": text.count_lines(destdir / "bpe" / "codes") - 1,
        "vocabulary_size": len(symbols) + binarize.SPECIAL_SYMBOLS,
        "versions": binarize.tool_versions(),
        "raw_sha256": dict(hashes),
        "settings": settings.as_json(),
    }
