"""Published test scores by task, each with its source and the BLEU convention behind it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fairseq_labo.experiments.errors import UserError


@dataclass(frozen=True)
class PublishedFigure:
    """A published test score. `stated`: the convention is on record, not our assumption."""

    score: str
    method: str
    source: str
    convention: str
    stated: bool


@dataclass(frozen=True)
class PaperTask:
    """A task of the literature, named corpus.source-target: its test set and published figures.

    `test_set` and `sentences`, its size, are None where they are not on record.
    """

    name: str
    figures: tuple[PublishedFigure, ...]
    test_set: str | None = None
    sentences: int | None = None


def _tasks() -> dict[str, PaperTask]:
    text = resources.files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    tasks = {}
    for name, entry in tomllib.loads(text).items():
        figures = tuple(PublishedFigure(**figure) for figure in entry.pop("figures"))
        tasks[name] = PaperTask(name, figures=figures, **entry)
    return tasks


PAPER_TASKS = _tasks()


def paper_task(
    name: str, *, corpus: str, languages: tuple[str, str], subset: str = "test"
) -> PaperTask:
    """The task `name` of PAPER_TASKS; UserError for another corpus, direction, or no test set."""
    wanted, source, target = re.split("[.-]", name)
    # iwslt14.tokenized.de-en, as fairseq's example calls its folder.
    plain = re.sub(r"tokenized|[^a-z0-9]", "", corpus.lower())
    if languages != (source, target) or plain not in (wanted, f"{wanted}{source}{target}"):
        raise UserError(
            f"--paper {name}: expected a corpus {wanted}, {source}-{target}, found {corpus} "
            f"{'-'.join(languages)}; the scores of different test or training sets cannot be "
            "compared: choose the corpus or the task that fits"
        )
    if not subset.startswith("test"):
        raise UserError(
            f"--paper {name}: expected a test set, of which the published figures are, found the "
            f"subset {subset}; leave --paper out, or give --subset test"
        )
    return PAPER_TASKS[name]


def compare_with_paper(
    task: PaperTask | None, scores: Mapping[str, Mapping[str, Any]], *, sentences: int
) -> list[str]:
    """Lines: each published figure beside our score in its convention; none without a task."""
    if task is None:
        return []
    lines = []
    for figure in task.figures:
        ours = scores[figure.convention]
        assumed = "" if figure.stated else " (assumed: the paper's convention was not at hand)"
        lines.append(
            f"{task.name}: ours {ours['score']:.2f}, published {figure.score} "
            f"[{figure.method}; {figure.source}] | {ours['label']}{assumed} | {ours['signature']}"
        )
    if task.sentences is None:
        unknown = "On which test set the figure was obtained"
        if task.test_set:
            unknown = f"The size of the figure's test set ({task.test_set})"
        lines.append(
            f"{task.name}: comparable? {unknown} is not on record; ours has {sentences} sentences"
        )
    elif task.sentences != sentences:
        lines.append(
            f"{task.name}: NOT comparable: expected the {task.sentences} sentences of "
            f"{task.test_set}, found {sentences}"
        )
    return lines
