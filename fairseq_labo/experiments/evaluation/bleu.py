"""Which BLEU: the conventions of scoring, and published figures with the convention of each.

A score is comparable to another only under the same convention. `score_text` computes every one
with sacreBLEU, so each carries a signature; what the signature cannot say (which text went in)
is in the label.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

from fairseq_labo.experiments.errors import UserError

COMPOUND = re.compile(r"(\S)-(\S)")


@dataclass(frozen=True)
class Convention:
    """One way to compute BLEU: of which text, in which case.

    `tokens`: of the tokens as the corpus has them (with no tokenizer of sacreBLEU's, and without
    smoothing, like fairseq-score and multi-bleu.perl); otherwise of detokenized text against the
    raw references, tokenized by sacreBLEU (13a).
    """

    name: str
    label: str
    tokens: bool = False
    lowercase: bool = False
    split_compounds: bool = False

    def metric(self) -> BLEU:
        """sacreBLEU's metric of this convention."""
        if self.tokens:
            # force: silences the question whether tokenized text was meant; here it is.
            return BLEU(tokenize="none", smooth_method="none", force=True, lowercase=self.lowercase)
        return BLEU(lowercase=self.lowercase)


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("bleu", "sacreBLEU, detokenized, cased"),
        Convention("bleu_lowercase", "sacreBLEU, detokenized, lowercase", lowercase=True),
        Convention("bleu_tokenized", "BLEU of tokens (fairseq-score)", tokens=True),
        Convention(
            "bleu_tokenized_lowercase", "BLEU of tokens, lowercase", tokens=True, lowercase=True
        ),
        Convention(
            "bleu_tokenized_compounds",
            "BLEU of tokens, compounds split",
            tokens=True,
            split_compounds=True,
        ),
    )
}


def split_compounds(tokens: str) -> str:
    """Split hyphenated compounds: ``a-b`` becomes ``a ##AT##-##AT## b``.

    The convention of WMT'14 En-De, applied to both sides. As in fairseq's script, a character
    belongs to one match only, so in ``a-b-c`` (one letter in the middle) the second hyphen stays.
    """
    return COMPOUND.sub(r"\1 ##AT##-##AT## \2", tokens)


@dataclass(frozen=True)
class Texts:
    """The same sentences four times: detokenized and as tokens, hypotheses and references."""

    hypotheses: Sequence[str]
    references: Sequence[str]
    hypothesis_tokens: Sequence[str]
    reference_tokens: Sequence[str]


def score_text(texts: Texts) -> dict[str, dict[str, Any]]:
    """Corpus BLEU in every convention, and chrF: label, score (0–100), signature, text."""
    scores = {name: _score(texts, convention) for name, convention in CONVENTIONS.items()}
    metric = CHRF()
    result = metric.corpus_score(list(texts.hypotheses), [list(texts.references)])
    scores["chrf"] = {"label": "chrF, detokenized, cased", **_described(metric, result)}
    return scores


def _score(texts: Texts, convention: Convention) -> dict[str, Any]:
    if convention.tokens:
        sides = [list(texts.hypothesis_tokens), list(texts.reference_tokens)]
    else:
        sides = [list(texts.hypotheses), list(texts.references)]
    if convention.split_compounds:
        sides = [[split_compounds(line) for line in side] for side in sides]
    metric = convention.metric()
    result = metric.corpus_score(sides[0], [sides[1]])
    return {"label": convention.label, **_described(metric, result)}


def _described(metric: Any, result: Any) -> dict[str, Any]:
    return {
        "score": round(result.score, 2),
        "signature": str(metric.get_signature()),
        "text": str(result),
    }


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
    """A task of the literature: its test set, and what was published on it."""

    name: str
    source_lang: str
    target_lang: str
    test_set: str
    sentences: int | None
    figures: tuple[PublishedFigure, ...]

    @property
    def corpus(self) -> str:
        return self.name.partition(".")[0]


LABO_PAPER = "Lu et al. 2023 (LABO)"
OTT_PAPER = "Ott et al. 2018, transformer big"
IWSLT14_TEST = "dev2010 + TEDX.dev2012 + tst2010 + tst2011 + tst2012"


def _labo(score: str, convention: str) -> PublishedFigure:
    # The paper's body was not at hand: fairseq's recipe for the task is assumed.
    return PublishedFigure(score, "LABO", LABO_PAPER, convention, stated=False)


def _joey(score: str) -> PublishedFigure:
    return PublishedFigure(
        score, "transformer, multilingual", "JoeyNMT's benchmarks", "bleu_lowercase", stated=True
    )


PAPER_TASKS = {
    task.name: task
    for task in (
        PaperTask(
            *("iwslt14.de-en", "de", "en", IWSLT14_TEST, 6750),
            figures=(
                _labo("35.2", "bleu_tokenized_lowercase"),
                PublishedFigure(
                    *("34.4-35.3", "label smoothing", "public runs of fairseq's recipe"),
                    convention="bleu_tokenized_lowercase",
                    stated=True,
                ),
                _joey("35.28"),
            ),
        ),
        PaperTask(
            *("iwslt14.en-de", "en", "de", IWSLT14_TEST, 6750),
            figures=(_labo("28.8", "bleu_tokenized_lowercase"), _joey("28.88")),
        ),
        PaperTask(
            *("iwslt14.en-fr", "en", "fr", "dev2010 + tst2010 + tst2011 + tst2012", 4493),
            figures=(_labo("40.9", "bleu_tokenized_lowercase"), _joey("38.86")),
        ),
        PaperTask(
            *("iwslt14.fr-en", "fr", "en", "dev2010 + tst2010 + tst2011 + tst2012", 4493),
            figures=(_labo("40.3", "bleu_tokenized_lowercase"), _joey("40.35")),
        ),
        PaperTask(
            *("iwslt17.fr-en", "fr", "en", "not on record", None),
            figures=(_labo("37.2", "bleu_tokenized_lowercase"),),
        ),
        PaperTask(
            *("wmt14.en-de", "en", "de", "newstest2014", 3003),
            figures=(
                _labo("28.3", "bleu_tokenized_compounds"),
                PublishedFigure(
                    *("29.3", "label smoothing", OTT_PAPER),
                    convention="bleu_tokenized_compounds",
                    stated=True,
                ),
                PublishedFigure(
                    *("28.6", "label smoothing, the same output", OTT_PAPER),
                    convention="bleu",
                    stated=True,
                ),
            ),
        ),
        PaperTask(
            *("wmt14.de-en", "de", "en", "newstest2014", 3003),
            figures=(_labo("32.3", "bleu_tokenized"),),
        ),
    )
}


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
    found = f"{corpus} {source_lang}-{target_lang}"
    plain = re.sub(r"[^a-z0-9]", "", corpus.lower())
    directions = (task.source_lang, task.target_lang) == (source_lang, target_lang)
    names = (task.corpus, f"{task.corpus}{task.source_lang}{task.target_lang}")
    if plain not in names or not directions:
        raise UserError(
            f"--paper {name}: expected a corpus {task.corpus}, "
            f"{task.source_lang}-{task.target_lang}, found {found}; the scores of different test "
            "or training sets cannot be compared: choose the corpus or the task that fits"
        )
    return task


def compare_with_paper(
    task: PaperTask, scores: dict[str, dict[str, Any]], *, sentences: int
) -> list[str]:
    """Lines: each published figure beside our score in the convention of that figure."""
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
