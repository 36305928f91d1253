"""Labels shown are those that training uses: P* by hand, the criterion's logits, every β."""

import math
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import inspect as inspect_labels
from fairseq_labo.experiments.evaluation import labels
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.evaluation.label_figure import draw_labels
from fairseq_labo.experiments.evaluation.labels import SentenceLabels, Share, TokenLabels
from fairseq_labo.experiments.evaluation.teacher_forcing import Sentence, load_model
from tests.conftest import WORDS


def test_three_types_by_hand() -> None:
    """p = (16, 4, 1)/21; β = 2 takes square roots: P* = (4, 2, 1)/7."""
    logits = torch.tensor([[16.0, 4.0, 1.0]]).log()
    sentence = Sentence(0, torch.tensor([1]), logits)
    (token,) = labels.token_labels(sentence, ["a", "b", "c"], betas=[2.0, math.inf], top=2)
    assert token.reference == "b" and token.probability == pytest.approx(4 / 21)
    (first, second), uniform = token.smoothing
    assert (first.token, second.token) == ("a", "b")
    assert first.probability == pytest.approx(4 / 7)
    assert second.probability == pytest.approx(2 / 7)
    assert [share.probability for share in uniform] == pytest.approx([1 / 3] * 2)
    assert token.reference_shares == pytest.approx((2 / 7, 1 / 3))


def test_a_trained_model_gives_its_words_the_mass(
    trained: Path, toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "ein Hund sieht ein Haus und ein Kind"
    target = " ".join(WORDS[word] for word in source.split())
    inspect_labels.main(
        [
            *("--data", str(toy_corpus), "--checkpoint", str(trained / "checkpoint_best.pt")),
            *("--source", source, "--target", target, "--beta", "1.5", "4", "--cpu"),
            *("--top", "3", "--figure", str(tmp_path / "deep" / "labels.png")),
        ]
    )
    printed = capsys.readouterr().out
    assert printed.count("LABO β=1.5") == printed.count("LABO β=4") == 9  # with </s>
    assert f"source     {source}" in printed and "dog" in printed
    for suffix in (".png", ".svg"):
        assert (tmp_path / "deep" / f"labels{suffix}").stat().st_size > 5000


def test_text_and_subset_give_the_same_labels(trained: Path, toy_corpus: Path) -> None:
    corpus = Corpus.read(toy_corpus)
    loaded = load_model(trained / "checkpoint_best.pt", data=toy_corpus, cpu=True)
    pair = corpus.raw("test", "de")[5], corpus.raw("test", "en")[5]
    given = labels.inspect(loaded, *labels.text_samples(loaded, corpus, [pair]), betas=[2.0], top=4)
    numbered = labels.inspect(
        loaded,
        *labels.subset_samples(loaded, subset="test", numbers=[5]),
        betas=[2.0],
        top=4,
    )
    assert given == numbered
    pieces = Corpus(toy_corpus, {**corpus.manifest, "subwords": "sentencepiece"})
    with pytest.raises(UserError, match="found sentencepiece; choose sentences of it"):
        labels.text_samples(loaded, pieces, [pair])
    with pytest.raises(UserError, match="expected numbers from 0 to 76, found 77"):
        labels.subset_samples(loaded, subset="test", numbers=[77])
    samples = labels.subset_samples(loaded, subset="test", numbers=[5])
    with pytest.raises(UserError, match="temperature above 0"):
        labels.inspect(loaded, *samples, betas=[0.0], top=4)
    with pytest.raises(UserError, match="--top: expected a number from 1"):
        labels.inspect(loaded, *samples, betas=[2.0], top=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--source", "x"], "a --target for each --source, found 1 and 0"),
        (["--source", "x", "--target", "y", "--sentences", "1"], "found both"),
        (["--sentences", "a"], "expected numbers like 0,5,7"),
    ],
)
def test_refusals(options: list[str], match: str, trained: Path, toy_corpus: Path) -> None:
    arguments = ["--data", str(toy_corpus), "--checkpoint", str(trained / "checkpoint_best.pt")]
    with pytest.raises(UserError, match=match):
        inspect_labels.main([*arguments, *options])


def test_figure_shows_every_share() -> None:
    token = TokenLabels("b", 0.2, ((Share("a$x$", 0.57), Share("b", 0.29)),), (0.29,))
    figure = draw_labels(SentenceLabels("q", "b", 7, (2.0,), (token,)), label_smoothing=0.1)
    texts = [text for axes in figure.axes for text in axes.texts]
    assert [text.get_text() for text in texts] == [
        "each type\n0.143",
        "a$x$\n0.570",
        "b\n0.290",
    ]
    assert [text.get_fontweight() for text in texts] == ["normal", "normal", "bold"]
    assert figure.axes[1].get_title() == "LABO, β = 2"
