"""What a preparation would do (--dry-run), without writing or fetching anything."""

from pathlib import Path

from fairseq_labo.experiments.data import download, pipeline
from fairseq_labo.experiments.data.locate import Request, locate
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.data.stages import StageRunner
from fairseq_labo.experiments.data.text_stages import Job
from fairseq_labo.experiments.errors import UserError


def describe(corpus: Corpus, request: Request, destdir: Path) -> str:
    """Return the recipe, the files at hand and to be fetched, and the stages to be run.

    Raises UserError as the preparation would, for what can be seen without writing.
    """
    pipeline.check_settings(corpus)
    lines = [f"{corpus.name} {corpus.pair} in {destdir}"]
    lines += [
        f"  {name}: {value}"
        for name, value in corpus.recipe.as_json().items()
        if value not in (None, False)
    ]
    try:
        located = locate(corpus, request, destdir, fetch=_only_look)
    except UserError as error:
        if request.archives or request.source_dir is not None or corpus.at_hand:
            raise
        return "\n".join([*lines, str(error), "stages: download, then all"])
    lines += [f"file: {name}: {path}" for name, path in sorted(located.files.items())]
    runner, is_done = StageRunner(destdir), True
    for stage in pipeline.build_stages(Job(corpus, located, destdir)):
        is_done = is_done and runner.is_done(stage)
        lines.append(f"stage: {stage.name}: {'done' if is_done else 'would run'}")
    return "\n".join(lines)


def _only_look(source: download.Source, folder: Path) -> Path:
    path = folder / source.file
    if not path.is_file():
        raise UserError(f"{source.file}: would be downloaded from {source.urls[0]}")
    download.verify(path, source)
    return path
