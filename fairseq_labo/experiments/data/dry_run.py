"""What a preparation would do (--dry-run), without writing or fetching anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairseq_labo.experiments.data import download, pipeline
from fairseq_labo.experiments.data.build import build_stages
from fairseq_labo.experiments.data.locate import Located, Request, locate
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import StageRunner
from fairseq_labo.experiments.errors import UserError


def describe(
    corpus: Corpus,
    request: Request,
    destdir: Path,
    *,
    sources: Sequence[download.Source] | None = None,
) -> str:
    """Return the recipe, the files at hand and to be fetched, and the stages to be run.

    Raises UserError as the preparation would, for what can be seen without writing.
    """
    pipeline.check_settings(corpus, pipeline.RunOptions())
    lines = [f"{corpus.name} {corpus.source_lang}-{corpus.target_lang} in {destdir}"]
    lines += [
        f"  {name}: {value}"
        for name, value in corpus.recipe.as_json().items()
        if value not in (None, False)
    ]
    if sources is None:
        sources = download.read_sources(corpus.sources) if corpus.sources else []
    located: Located | None
    try:
        located = locate(corpus, request, destdir, sources=sources, fetch=_only_look)
    except UserError as error:
        if request.archives or request.source_dir is not None:
            raise
        lines.append(str(error))
        located = None
    if located is not None:
        lines += [f"file: {name}: {path}" for name, path in sorted(located.files.items())]
    return "\n".join([*lines, *_stages(corpus, located, destdir)])


def _only_look(source: download.Source, folder: Path) -> Path:
    path = folder / source.file
    if not path.is_file():
        raise UserError(f"{source.file}: would be downloaded from {source.urls[0]}")
    download.verify(path, source)
    return path


def _stages(corpus: Corpus, located: Located | None, destdir: Path) -> list[str]:
    if located is None:
        return ["stages: download, then all"]
    stages = build_stages(corpus, located, destdir, workers=1, accept_counts=False)
    runner = StageRunner(destdir)
    lines, is_done = [], True
    for stage in stages:
        is_done = is_done and runner.is_done(stage)
        lines.append(f"stage: {stage.name}: {'done' if is_done else 'would run'}")
    return lines
