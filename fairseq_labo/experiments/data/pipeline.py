"""From a release to a fairseq data folder, the same way for every corpus.

The folder holds raw/ (the references for scoring: untouched text, or detokenized where a corpus
is released as tokens), tok/ (Moses tokens), bpe/ (codes and subwords), bin/ (fairseq's data),
logs/, work/ (the stages between, and their records), and manifest.json. The manifest is written
last, so a folder without it is unfinished; a run goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import files as text
from fairseq_labo.experiments.data import binarize
from fairseq_labo.experiments.data import summary as report
from fairseq_labo.experiments.data.archives import Container
from fairseq_labo.experiments.data.build import build_stages
from fairseq_labo.experiments.data.locate import Located
from fairseq_labo.experiments.data.recipe import Corpus, Member, Part, Recipe
from fairseq_labo.experiments.data.splits import Split, check_split_names
from fairseq_labo.experiments.data.stages import RECORDS, StageRunner
from fairseq_labo.experiments.data.steps import FINAL_FOLDERS
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked

FORMAT = "labo_data/1"
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
STAGES = FINAL_FOLDERS

Locate = Callable[[], Located]


@dataclass(frozen=True)
class RunOptions:
    """How a preparation runs, without a say in what comes out."""

    workers: int = 1
    force: bool = False
    accept_counts: bool = False


def prepare_corpus(
    corpus: Corpus, locate: Locate, destdir: Path, *, options: RunOptions | None = None
) -> dict[str, Any]:
    """Prepare `corpus` in `destdir` from the files that `locate` finds; return the manifest.

    Stages that are done and still fit are skipped. Raises UserError for files that are missing
    or wrong, text that is not parallel, unexpected counts, a folder of other content, and a stage
    that fails; what was prepared before stays until its replacement is complete.
    """
    options = options or RunOptions()
    check_settings(corpus, options)
    if read_manifest(destdir) is None:
        binarize.ensure_fairseq()
    claim(destdir)
    with locked(destdir, name="work/lock"):
        runner = StageRunner(
            destdir,
            before_work=binarize.ensure_fairseq,
            on_change=partial(_reopen, destdir),
            force=options.force,
        )
        stages = build_stages(
            corpus,
            locate(),
            destdir,
            workers=options.workers,
            accept_counts=options.accept_counts,
        )
        records = runner.run(stages)
        manifest = read_manifest(destdir)
        if manifest is not None:
            print(f"{destdir} is up to date (same settings and text); --force prepares it again")
        else:
            manifest = _describe(corpus, destdir, records)
            text.write_json(destdir / MANIFEST, manifest)
            (destdir / UNFINISHED).unlink(missing_ok=True)
    print(report.summary(manifest, destdir))
    return manifest


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
    """Prepare `raw_dir`/{split}.{lang} in `destdir`, without cleaning; return the manifest.

    `splits` maps train, valid, test, test1, ..., in this order, to the release's parts. Errors as
    `prepare_corpus`.
    """
    described = Corpus(
        name=corpus,
        source_lang=source_lang,
        target_lang=target_lang,
        parts={
            split: Part(
                entry.name, (Member(f"{split}.{{lang}}", expected_lines=entry.expected_lines),)
            )
            for split, entry in splits.items()
        },
        recipe=Recipe(bpe_size=bpe_merges),
    )
    if raw_dir.resolve() in [(destdir / stage).resolve() for stage in STAGES]:
        raise UserError(
            f"{raw_dir}: expected the raw text outside {destdir}'s own folders, which are made "
            "again; move it to another folder"
        )
    paths = {f"{split}.{lang}": raw_dir for split in splits for lang in described.languages}
    files = {name: folder / name for name, folder in paths.items()}
    located = Located({name: Container(path) for name, path in files.items()}, files)
    options = RunOptions(workers=workers, force=force)
    return prepare_corpus(described, lambda: located, destdir, options=options)


def read_manifest(destdir: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished folder, or None when there is none from here."""
    manifest = text.read_json(destdir / MANIFEST)
    is_ours = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    return manifest if is_ours else None


def check_settings(corpus: Corpus, options: RunOptions) -> None:
    """Raise UserError for sizes below 1, one language twice and splits out of order."""
    for option, value in (("--bpe-size", corpus.recipe.bpe_size), ("--workers", options.workers)):
        if value < 1:
            raise UserError(f"{option}: expected a number of at least 1, found {value}")
    if corpus.source_lang == corpus.target_lang:
        raise UserError(
            f"expected two languages, found {corpus.source_lang} twice; set --source-lang and "
            "--target-lang, or --pair"
        )
    check_split_names(corpus.splits)


def claim(destdir: Path) -> None:
    """Make `destdir` ours; UserError when it holds anything that is not from here.

    Outputs are replaced when they are made again: never in a folder of somebody else's.
    """
    if read_manifest(destdir) or (destdir / UNFINISHED).exists():
        return
    if destdir.exists() and (not destdir.is_dir() or any(destdir.iterdir())):
        raise UserError(
            f"{destdir}: expected an empty folder, none, or one prepared before, found other "
            "content; choose another --destdir"
        )
    destdir.mkdir(parents=True, exist_ok=True)
    (destdir / UNFINISHED).touch()


def _reopen(destdir: Path) -> None:
    (destdir / UNFINISHED).touch()
    (destdir / MANIFEST).unlink(missing_ok=True)


def _describe(
    corpus: Corpus, destdir: Path, records: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    languages = {"source_lang": corpus.source_lang, "target_lang": corpus.target_lang}
    splits = _describe_splits(corpus, destdir, records["select"]["counts"]["pairs"])
    vocabulary = {
        lang: len(binarize.read_dictionary(destdir / "bin" / f"dict.{lang}.txt"))
        + binarize.SPECIAL_SYMBOLS
        for lang in corpus.languages
    }
    recipe = corpus.recipe
    return {
        "format": FORMAT,
        "corpus": corpus.name,
        **languages,
        "note": corpus.note,
        "splits": splits,
        "subwords": recipe.subwords,
        "bpe_merges": recipe.bpe_size,
        "bpe_merges_learned": records["learn BPE"]["counts"]["size"],
        "joined_dictionary": recipe.joined_dictionary,
        "lowercase": recipe.lowercase,
        "references": "detokenized" if recipe.released_tokens else "released",
        "vocabulary_size": vocabulary[corpus.target_lang],
        "vocabulary": vocabulary,
        "expected": report.expected_counts(corpus),
        "train_options": corpus.train_options,
        "versions": binarize.tool_versions(),
        "raw_sha256": {
            name.removeprefix("raw/"): digest
            for name, digest in records["select"]["files"].items()
            if name.startswith("raw/")
        },
        "settings": recipe.as_json(),
        "stages": {name: dict(record["counts"]) for name, record in records.items()},
        "records": RECORDS,
    }


def _describe_splits(corpus: Corpus, destdir: Path, pairs: Mapping[str, int]) -> dict[str, Any]:
    splits: dict[str, Any] = {}
    for split in corpus.splits:
        counts: dict[str, dict[str, int]] = {"tokens": {}, "bpe_tokens": {}, "unknown_tokens": {}}
        for lang in corpus.languages:
            counts["tokens"][lang] = text.count_tokens(destdir / "tok" / f"{split}.{lang}")
            counts["bpe_tokens"][lang], counts["unknown_tokens"][lang] = binarize.measure(
                destdir / "bpe",
                destdir / "bin",
                split,
                lang,
                source_lang=corpus.source_lang,
                target_lang=corpus.target_lang,
            )
        sizes = {"lines": pairs[split], "expected_lines": corpus.expected_lines(split)}
        splits[split] = {"name": corpus.split_name(split), **sizes, **counts}
    return splits
