"""From a release to a fairseq data folder, the same way for every corpus.

The folder holds raw/ (the references for scoring: untouched text, or detokenized where a corpus
is released as tokens), tok/ (Moses tokens), bpe/ (codes and subwords), bin/ (fairseq's data),
logs/, work/ (the stages between, and their records), and manifest.json. The manifest is written
last, so a folder without it is unfinished; a run goes on where the last one stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.console import printable
from fairseq_labo.experiments.data import binarize, download, prepared, summary
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.intact import SPECIAL_SYMBOLS, read_dictionary
from fairseq_labo.experiments.data.locate import Located
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import RECORDS, StageRunner
from fairseq_labo.experiments.data.steps import Job, build_stages
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import check_plain, count_tokens, is_sealed, locked

RELEASED = CORPORA.keys() - {"own"}


def prepare_corpus(
    corpus: Corpus,
    locate: Callable[[], Located],
    destdir: Path,
    *,
    workers: int = 1,
    force: bool = False,
    accept_counts: bool = False,
) -> dict[str, Any]:
    """Prepare `corpus` in `destdir` from the files that `locate` finds; return the manifest.

    Stages that are done and still fit are skipped. Raises UserError for files that are missing
    or wrong, text that is not parallel, unexpected counts, a folder of other content, and a stage
    that fails; what a stage has made stays until its replacement is complete.
    """
    check_settings(corpus, workers=workers)
    before = prepared.read_manifest(destdir)
    is_new = before is None
    if is_new:
        binarize.ensure_fairseq()
    check_destdir(destdir, corpus, force=force)
    begin = partial(prepared.begin, destdir, _identity(corpus))
    if is_new:
        destdir.mkdir(parents=True, exist_ok=True)
        begin()
    with locked(destdir, name="work/lock"):
        runner = StageRunner(
            destdir,
            before_work=binarize.ensure_fairseq,
            on_change=begin,
            force=force,
        )
        records = runner.run(build_stages(Job(corpus, locate(), destdir, workers, accept_counts)))
        manifest = prepared.read_manifest(destdir)
        if manifest is not None and is_sealed(manifest) and manifest["corpus"] == corpus.name:
            say = f"{destdir} is up to date (same settings and text); --force prepares it again"
            print(printable(say))
        else:
            manifest = _describe(corpus, destdir, records)
            prepared.write_manifest(destdir, manifest)
            if before and before.get("raw_sha256") not in (None, manifest["raw_sha256"]):
                print(printable(f"{destdir}: replaced: raw/ holds other text than before"))
    print(printable(summary.summary(prepared.PreparedCorpus.read(destdir))))
    return manifest


def plan(
    corpus: Corpus,
    locate: Callable[..., Located],
    destdir: Path,
    *,
    is_given: bool,
    force: bool = False,
    workers: int = 1,
) -> str:
    """Return what would be done, without writing: the recipe, the files, the stages to be run.

    Raises UserError as the preparation would, for what can be seen; of a release that is not
    given but downloaded, what is missing is no error.
    """
    check_settings(corpus, workers=workers)
    check_destdir(destdir, corpus, force=force)
    recipe = asdict(corpus.recipe).items()
    lines = [f"{corpus.name} {corpus.pair} in {destdir}"]
    lines += [f"  {name}: {value}" for name, value in recipe if value not in (None, False)]
    try:
        located = locate(fetch=_only_look)
    except UserError as error:
        if is_given:
            raise
        return "\n".join([*lines, str(error), "stages: download, then all"])
    lines += [f"file: {name}: {path}" for name, path in sorted(located.files.items())]
    runner, is_done = StageRunner(destdir), True
    for stage in build_stages(Job(corpus, located, destdir)):
        is_done = is_done and runner.is_done(stage)
        lines.append(f"stage: {stage.name}: {'done' if is_done else 'would run'}")
    return "\n".join(lines)


def _only_look(source: download.Source, folder: Path) -> Path:
    if not (folder / source.file).is_file():
        raise UserError(f"{source.file}: would be downloaded from {source.urls[0]}")
    return download.fetch(source, folder)


def check_settings(corpus: Corpus, *, workers: int = 1) -> None:
    """Raise UserError for sizes out of range, one language twice and splits out of order."""
    numbers = {"--bpe-size": (corpus.recipe.bpe_size, 1_000_000), "--workers": (workers, 1024)}
    for option, (value, most) in numbers.items():
        if not 1 <= value <= most:
            raise UserError(
                f"{option}: expected a number of at least 1, at most {most}, found {value}"
            )
    source_lang, target_lang = corpus.languages
    if source_lang == target_lang:
        raise UserError(
            f"expected two languages, found {source_lang} twice; give another --pair (for "
            "multi30k also --source-lang and --target-lang)"
        )
    # fairseq numbers the test sets by their order.
    names = corpus.splits
    wanted = ["train", "valid", "test", *(f"test{number}" for number in range(1, len(names)))]
    if names != wanted[: max(2, len(names))]:
        raise UserError(
            "expected the splits train, valid and then test, test1, ... in this order, found "
            f"{names}; rename or reorder them"
        )


def check_destdir(destdir: Path, corpus: Corpus, *, force: bool = False) -> None:
    """Raise UserError when `destdir` holds anything that is not from here, or is no plain path.

    Outputs are replaced when they are made again: never in a folder of somebody else's, nor, unless
    by `force`, those of another corpus or pair of languages, begun or finished.
    """
    check_plain(destdir)
    places = (path for path in (destdir, *destdir.parents) if path.exists() or path.is_symlink())
    if not (there := next(places)).is_dir():
        raise UserError(f"{destdir}: expected a folder, found {there} to be none; choose another")
    for above in destdir.resolve().parents:
        if prepared.read_manifest(above) or prepared.read_beginning(above) is not None:
            raise UserError(
                f"{destdir}: expected a folder outside of {above}, which holds a corpus that may "
                "be prepared again; choose another --destdir"
            )
    found = prepared.read_manifest(destdir) or prepared.read_beginning(destdir)
    if found is not None:
        was = {**_identity(corpus), **found}
        pair = f"{was['source_lang']}-{was['target_lang']}"
        # The name of somebody's own corpus may change.
        known = was["corpus"] != corpus.name and {was["corpus"], corpus.name} & RELEASED
        if (pair != corpus.pair or known) and not force:
            raise UserError(
                f"{destdir}: expected {corpus.name} {corpus.pair}, or no corpus yet, found "
                f"{was['corpus']} {pair}; choose another --destdir, or replace it with --force"
            )
        return
    if destdir.exists() and any(destdir.iterdir()):
        raise UserError(
            f"{destdir}: expected an empty folder, none, or one prepared before, found other "
            "content; choose another --destdir"
        )


def _identity(corpus: Corpus) -> dict[str, str]:
    """The manifest's entries that no preparation of the same corpus changes."""
    source_lang, target_lang = corpus.languages
    return {"corpus": corpus.name, "source_lang": source_lang, "target_lang": target_lang}


def _describe(
    corpus: Corpus, destdir: Path, records: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    recipe, counts, selected = corpus.recipe, corpus.counts, records["select"]
    vocabulary = {
        lang: len(read_dictionary(destdir / "bin" / f"dict.{lang}.txt")) + SPECIAL_SYMBOLS
        for lang in corpus.languages
    }
    return {
        **_identity(corpus),
        "note": corpus.note,
        "splits": _describe_splits(corpus, destdir, selected["counts"]["pairs"]),
        "tokenizer": recipe.tokenizer,
        "subwords": recipe.subwords,
        "bpe_merges": recipe.bpe_size,
        "bpe_merges_learned": records["learn BPE"]["counts"]["size"],
        "joined_dictionary": recipe.joined_dictionary,
        "lowercase": recipe.lowercase,
        "references": "detokenized" if recipe.released_tokens else "released",
        "vocabulary_size": vocabulary[corpus.languages[1]],
        "vocabulary": vocabulary,
        "expected": {
            "tokens": dict(counts.tokens),
            "dictionary": dict(counts.dictionary),
            "cleaned": counts.cleaned,
            "inferred_lines": dict(counts.inferred),
        },
        "train_options": corpus.train_options,
        "versions": binarize.tool_versions(),
        "raw_sha256": {
            name.removeprefix("raw/"): digest
            for name, digest in selected["files"].items()
            if name.startswith("raw/")
        },
        "settings": asdict(recipe),
        "stages": {name: dict(record["counts"]) for name, record in records.items()},
        "records": RECORDS,
    }


def _describe_splits(corpus: Corpus, destdir: Path, pairs: Mapping[str, int]) -> dict[str, Any]:
    splits: dict[str, Any] = {}
    for split in corpus.splits:
        sides = {x: binarize.measure(destdir, split, x, corpus.languages) for x in corpus.languages}
        splits[split] = {
            "name": corpus.split_name(split),
            "lines": pairs[split],
            "expected_lines": corpus.expected_lines(split),
            "tokens": {x: count_tokens(destdir / "tok" / f"{split}.{x}") for x in sides},
            "bpe_tokens": {lang: side.tokens for lang, side in sides.items()},
            "unknown_tokens": {lang: side.unknown for lang, side in sides.items()},
            "too_long": {lang: side.too_long for lang, side in sides.items() if side.too_long},
        }
    return splits
