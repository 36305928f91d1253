"""Every convention of BLEU against a value computed by hand, or by fairseq's own scorer."""

import math

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import (
    STRAIGHT,
    Texts,
    ceilings,
    check_tokenizer,
    score_text,
    split_compounds,
)

# One sentence as text and as tokens. By hand, against the references below:
TEXTS = Texts(
    hypotheses=["The well-known dog sees a Red tree."],
    references=["The well-known dog sees a red house."],
    hypothesis_tokens=["The well-known dog sees a Red tree ."],
    reference_tokens=["The well-known dog sees a red house ."],
)


def by_hand(*precisions: float) -> float:
    """Geometric mean in percent; hypothesis and reference are of one length."""
    return 100 * math.prod(precisions) ** (1 / len(precisions))


@pytest.mark.parametrize(
    ("name", "precisions"),
    [
        # The well-known dog sees a Red tree . : 13a keeps the hyphen, and parts the period.
        # Red, tree are wrong: 6 of 8; bigrams The-..-a: 4 of 7; 3 of 6; 2 of 5.
        ("bleu", (6 / 8, 4 / 7, 3 / 6, 2 / 5)),
        # red is right: 7 of 8; 5 of 7; 4 of 6; 3 of 5.
        ("bleu_lowercase", (7 / 8, 5 / 7, 4 / 6, 3 / 5)),
        ("bleu_tokenized", (6 / 8, 4 / 7, 3 / 6, 2 / 5)),
        ("bleu_tokenized_lowercase", (7 / 8, 5 / 7, 4 / 6, 3 / 5)),
        # well ##AT##-##AT## known: two right tokens more: 8 of 10; 6 of 9; 5 of 8; 4 of 7.
        ("bleu_tokenized_compounds", (8 / 10, 6 / 9, 5 / 8, 4 / 7)),
    ],
)
def test_by_hand(name: str, precisions: tuple[float, ...]) -> None:
    assert score_text(TEXTS, language="en")[name]["score"] == pytest.approx(
        by_hand(*precisions), abs=0.005
    )


def test_of_two_sentences_by_hand() -> None:
    """7 of 8 words, 5 of 6, 3 of 4 and 1 of 2 n-grams; nothing is too short."""
    hypotheses = ["The dog sees a", "Two old red houses"]
    references = ["The dog sees a", "Two old red Houses"]  # cased, so "houses" is wrong
    scores = score_text(Texts(hypotheses, references, hypotheses, references), language="en")
    assert scores["bleu"]["score"] == pytest.approx(by_hand(7 / 8, 5 / 6, 3 / 4, 1 / 2), abs=0.005)


@pytest.mark.parametrize("language", ["zh", "zh_CN", "zho_Hans"])
def test_chinese_is_parted_into_characters(language: str) -> None:
    """One character of ten is wrong; at spaces, the whole line would be one wrong word."""
    texts = Texts(["我今天早上坐车去学校"], ["我今天早上坐船去学校"], ["我"], ["我"])
    scores = score_text(texts, language=language)
    assert scores["bleu"]["score"] == pytest.approx(by_hand(9 / 10, 7 / 9, 5 / 8, 3 / 7), abs=0.005)
    assert (
        "tok:zh" in scores["bleu"]["signature"]
        and "tok:zh" in scores["bleu_lowercase"]["signature"]
    )
    assert "tok:none" in scores["bleu_tokenized"]["signature"]
    ceiling = ceilings(texts, language=language, detokenize=lambda _: texts.hypotheses[0])
    assert ceiling["bleu"] == scores["bleu"]["score"]


def test_what_sacrebleu_parts_words_with_must_be_there() -> None:
    """MeCab, which is not installed with this package."""
    for language, extra in (("ja", "ja"), ("kor", "ko")):
        with pytest.raises(UserError, match=rf"pip install 'sacrebleu\[{extra}\]'"):
            check_tokenizer(language)
    for language in ("en", "zh", "th", "de_AT"):
        check_tokenizer(language)


def test_straight_apostrophes_on_both_sides() -> None:
    """IWSLT: the tokens are straightened, the raw references are not."""
    hypotheses = ["it's one of the dogs", "it\u2019s one of the dogs"]
    texts = Texts(hypotheses, ["it\u2019s one of the dogs"] * 2, hypotheses, hypotheses)
    scores = score_text(texts, language="en", straight=True)
    assert scores["bleu"]["score"] < 90
    assert scores["bleu_straight"]["score"] == scores["bleu_lowercase_straight"]["score"] == 100
    assert "\u2019 as '" in scores["bleu_straight"]["label"]
    assert not score_text(texts, language="en").keys() & STRAIGHT.keys()


def test_ceilings() -> None:
    """What the references' own tokens get."""
    references = ["It\u2019 is one dog here"]
    texts = Texts(["x"], references, ["x"], ["it' is one dog here"])
    found = ceilings(texts, language="en", detokenize=str, straight=True)
    assert found.keys() == {"bleu", "bleu_lowercase", *STRAIGHT}
    # "It\u2019" is one word of sacreBLEU's, "it'" too: 4 of 5, 3 of 4, 2 of 3, 1 of 2.
    assert found["bleu"] == pytest.approx(by_hand(4 / 5, 3 / 4, 2 / 3, 1 / 2), abs=0.005)
    assert found["bleu_lowercase"] == found["bleu"] == found["bleu_straight"]
    assert found["bleu_lowercase_straight"] == 100
    assert ceilings(texts, language="en", detokenize=lambda line: references[0])["bleu"] == 100


def test_signatures_tell_the_conventions_apart() -> None:
    scores = score_text(TEXTS, language="en")
    assert "case:mixed|eff:no|tok:13a|smooth:exp" in scores["bleu"]["signature"]
    assert "case:lc|eff:no|tok:13a|smooth:exp" in scores["bleu_lowercase"]["signature"]
    assert "case:mixed|eff:no|tok:none|smooth:none" in scores["bleu_tokenized"]["signature"]
    assert "case:lc|eff:no|tok:none" in scores["bleu_tokenized_lowercase"]["signature"]
    assert "nc:6|nw:0" in scores["chrf"]["signature"]
    assert len({score["label"] for score in scores.values()}) == 6


def test_detokenized_and_token_scores_read_different_text() -> None:
    texts = Texts(["a b c d"], ["a b c d"], ["x b c d"], ["a b c d"])
    scores = score_text(texts, language="en")
    assert scores["bleu"]["score"] == 100.0
    assert scores["bleu_tokenized"]["score"] < 90


def test_tokenized_is_what_fairseq_score_computes() -> None:
    """fairseq's own scorer on the same tokens, with a brevity penalty and repeated words."""
    from fairseq.data import Dictionary
    from fairseq.scoring import bleu

    hypotheses = ["the the dog sees a red tree .", "two old houses and a tree", "a dog ."]
    references = ["the dog sees a red tree .", "two old red houses and a tall tree", "a dog ."]
    dictionary = Dictionary()
    config = bleu.BleuConfig(pad=dictionary.pad(), eos=dictionary.eos(), unk=dictionary.unk())
    scorer = bleu.Scorer(config)
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        scorer.add(dictionary.encode_line(reference), dictionary.encode_line(hypothesis))
    ours = score_text(Texts(hypotheses, references, hypotheses, references), language="en")[
        "bleu_tokenized"
    ]
    assert ours["score"] == pytest.approx(scorer.score(), abs=0.005)
    assert 40 < scorer.score() < 80


@pytest.mark.parametrize(
    ("tokens", "split"),
    [
        ("well-known", "well ##AT##-##AT## known"),
        ("Rhein-Main-Gebiet", "Rhein ##AT##-##AT## Main ##AT##-##AT## Gebiet"),
        # Two matches cannot share the letter b.
        ("a-b-c", "a ##AT##-##AT## b-c"),
        ("so - called", "so - called"),
        ("-5 5-", "-5 5-"),
        ("dash--ed", "dash ##AT##-##AT## -ed"),
    ],
)
def test_compound_splitting(tokens: str, split: str) -> None:
    assert split_compounds(tokens) == split
