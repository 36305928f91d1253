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
    scores = score_text(TEXTS)
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
