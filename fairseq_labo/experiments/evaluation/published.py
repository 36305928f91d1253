"""Published test scores by task, each with its source and the BLEU convention behind it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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

    `sentences` is the test set's size, None where it is not on record.
    """

    name: str
    test_set: str
    sentences: int | None
    figures: tuple[PublishedFigure, ...]

    @property
    def corpus(self) -> str:
        return self.name.partition(".")[0]

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target."""
        source, _, target = self.name.partition(".")[2].partition("-")
        return source, target


LABO_PAPER = "Lu et al. 2023 (LABO)"
OTT_PAPER = "Ott et al. 2018, transformer big"
IWSLT14_DE_TEST = "dev2010 + TEDX.dev2012 + tst2010 + tst2011 + tst2012"
IWSLT14_FR_TEST = "dev2010 + tst2010 + tst2011 + tst2012"
LOWERCASE, COMPOUNDS = "bleu_tokenized_lowercase", "bleu_tokenized_compounds"


def _labo(score: str, convention: str) -> PublishedFigure:
    # The paper's body was not at hand: fairseq's recipe for the task is assumed.
    return PublishedFigure(score, "LABO", LABO_PAPER, convention, stated=False)


def _stated(score: str, method: str, source: str, convention: str) -> PublishedFigure:
    return PublishedFigure(score, method, source, convention, stated=True)


def _joey(score: str) -> PublishedFigure:
    method = "transformer, multilingual"
    return _stated(score, method, "JoeyNMT's benchmarks", "bleu_lowercase")


# fmt: off
_TASKS = (
    PaperTask("iwslt14.de-en", IWSLT14_DE_TEST, 6750, (
        _labo("35.2", LOWERCASE),
        _stated("34.4-35.3", "label smoothing", "public runs of fairseq's recipe", LOWERCASE),
        _joey("35.28"),
    )),
    PaperTask("iwslt14.en-de", IWSLT14_DE_TEST, 6750, (_labo("28.8", LOWERCASE), _joey("28.88"))),
    PaperTask("iwslt14.en-fr", IWSLT14_FR_TEST, 4493, (_labo("40.9", LOWERCASE), _joey("38.86"))),
    PaperTask("iwslt14.fr-en", IWSLT14_FR_TEST, 4493, (_labo("40.3", LOWERCASE), _joey("40.35"))),
    PaperTask("iwslt17.fr-en", "not on record", None, (_labo("37.2", LOWERCASE),)),
    PaperTask("wmt14.en-de", "newstest2014", 3003, (
        _labo("28.3", COMPOUNDS),
        _stated("29.3", "label smoothing", OTT_PAPER, COMPOUNDS),
        _stated("28.6", "label smoothing, the same output", OTT_PAPER, "bleu"),
    )),
    PaperTask("wmt14.de-en", "newstest2014", 3003, (_labo("32.3", "bleu_tokenized"),)),
)
# fmt: on
PAPER_TASKS = {task.name: task for task in _TASKS}


def paper_task(name: str, *, corpus: str, source_lang: str, target_lang: str) -> PaperTask:
    """The published task `name`, if the corpus at hand is that task's.

    Raises UserError for an unknown name, another corpus or another direction.
    """
    task = PAPER_TASKS.get(name)
    if task is None:
        raise UserError(
            f"--paper: expected one of {', '.join(PAPER_TASKS)}, found {name!r}; a task without "
            "a published figure has nothing to be compared with"
        )
    plain = re.sub(r"[^a-z0-9]", "", corpus.lower())
    source, target = task.languages
    right_corpus = plain in (task.corpus, f"{task.corpus}{source}{target}")
    if not right_corpus or (source_lang, target_lang) != task.languages:
        raise UserError(
            f"--paper {name}: expected a corpus {task.corpus}, {source}-{target}, found {corpus} "
            f"{source_lang}-{target_lang}; the scores of different test or training sets cannot "
            "be compared: choose the corpus or the task that fits"
        )
    return task


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
            f"[{figure.method}; {figure.source}] | {ours['label']}{assumed} | "
            f"{ours['signature']}"
        )
    if task.sentences is not None and sentences != task.sentences:
        lines.append(
            f"{task.name}: NOT comparable: expected the {task.sentences} sentences of "
            f"{task.test_set}, found {sentences}"
        )
    return lines
