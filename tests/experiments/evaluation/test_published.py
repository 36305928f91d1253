"""Published figures: beside scores of their own convention, and only for their own test set."""

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS, score_text
from fairseq_labo.experiments.evaluation.published import (
    PAPER_TASKS,
    compare_with_paper,
    paper_task,
)
from tests.experiments.evaluation.test_bleu import TEXTS


def test_paper_scores_stand_beside_figures_of_their_convention() -> None:
    task = paper_task("wmt14.en-de", corpus="wmt14-en-de", languages=("en", "de"))
    scores = score_text(TEXTS, language="en")
    lines = compare_with_paper(task, scores, sentences=3003)
    compounds, cased = scores["bleu_tokenized_compounds"]["score"], scores["bleu"]["score"]
    assert f"ours {compounds:.2f}, published 28.3" in lines[0] and "assumed" in lines[0]
    assert f"ours {compounds:.2f}, published 29.3" in lines[1] and "assumed" not in lines[1]
    assert f"ours {cased:.2f}, published 28.6" in lines[2] and "tok:13a" in lines[2]
    assert len(lines) == 3
    assert "NOT comparable" in compare_with_paper(task, scores, sentences=500)[-1]


@pytest.mark.parametrize("name", PAPER_TASKS)
def test_every_figure_names_a_convention(name: str) -> None:
    task = PAPER_TASKS[name]
    source, target = name.partition(".")[2].split("-")
    corpus = name.replace(".", "-")
    assert paper_task(name, corpus=corpus, languages=(source, target)) is task
    assert task.figures and {figure.convention for figure in task.figures} <= CONVENTIONS.keys()


def test_a_paper_of_no_test_set_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected a test set, .* found the subset valid"):
        paper_task("wmt14.en-de", corpus="wmt14", languages=("en", "de"), subset="valid")


def test_a_folder_named_as_in_fairseqs_example() -> None:
    task = paper_task("iwslt14.de-en", corpus="iwslt14.tokenized.de-en", languages=("de", "en"))
    assert task is PAPER_TASKS["iwslt14.de-en"]


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("iwslt17.fr-en", "On which test set the figure was obtained"),
        (
            "iwslt14.en-fr",
            "The size of the figure's test set (dev2010 + tst2010 + tst2011 + tst2012)",
        ),
    ],
)
def test_what_is_not_on_record_of_a_test_set_is_said(name: str, unknown: str) -> None:
    task = PAPER_TASKS[name]
    assert task.sentences is None
    lines = compare_with_paper(task, score_text(TEXTS, language="en"), sentences=890)
    assert f"{unknown} is not on record; ours has 890 sentences" in lines[-1]
    assert len(lines) == len(task.figures) + 1


@pytest.mark.parametrize(
    ("name", "corpus", "languages", "match"),
    [
        ("wmt14.en-de", "multi30k", ("en", "de"), "expected a corpus wmt14, en-de"),
        ("iwslt14.de-en", "iwslt14", ("en", "de"), "found iwslt14 en-de"),
        # A part of the training text is another task.
        ("iwslt14.de-en", "iwslt14-15k", ("de", "en"), "found iwslt14-15k de-en"),
    ],
)
def test_a_paper_of_another_test_set_is_refused(
    name: str, corpus: str, languages: tuple[str, str], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        paper_task(name, corpus=corpus, languages=languages)
