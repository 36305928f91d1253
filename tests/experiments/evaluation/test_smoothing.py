"""The smoothing shown is what training uses: P* by hand, the criterion's logits, every β."""

import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_labo.experiments.data import moses
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import smoothing
from fairseq_labo.experiments.evaluation.smoothing import (
    Method,
    SentenceSmoothing,
    TokenSmoothing,
)
from fairseq_labo.experiments.evaluation.teacher_forcing import Sentence, load_model
from fairseq_labo.experiments.files import read_lines


def test_three_tokens_by_hand() -> None:
    """p = (16, 4, 1)/21; β = 2 takes square roots: P* = (4, 2, 1)/7."""
    logits = torch.tensor([[16.0, 4.0, 1.0]]).log()
    sentence = Sentence(0, torch.tensor([1]), logits)
    methods = [Method(2.0), Method(math.inf)]
    (token,) = smoothing.token_smoothing(sentence, ["a", "b", "c"], methods=methods, top=2)
    assert token.reference == "b" and token.probability == pytest.approx(4 / 21)
    (first, second), uniform = token.likeliest
    assert (first[0], second[0]) == ("a", "b")
    assert first[1] == pytest.approx(4 / 7)
    assert second[1] == pytest.approx(2 / 7)
    assert uniform == (("any of 3", pytest.approx(1 / 3)),)  # none is likelier than another
    assert token.of_reference == pytest.approx((2 / 7, 1 / 3))


def test_priors_by_hand() -> None:
    """π = (1, 3, 0)/4: P* is (4 · 1, 2 · 3, 0)/10 for β = 2, and π itself for β = ∞."""
    logits = torch.tensor([[16.0, 4.0, 1.0]]).log()
    sentence = Sentence(0, torch.tensor([2]), logits)
    methods = smoothing.methods_of([2.0], ["uniform", "unigram"])
    assert methods == [Method(2.0), Method(math.inf, "unigram"), Method(2.0, "unigram")]
    priors = {"unigram": torch.tensor([0.25, 0.75, 0.0])}
    (token,) = smoothing.token_smoothing(sentence, "abc", methods=methods, top=2, priors=priors)
    assert token.of_reference == pytest.approx((1 / 7, 0, 0))
    _, unigram, labo = token.likeliest
    assert [name for name, _ in (*unigram, *labo)] == ["b", "a", "b", "a"]
    assert [each for _, each in (*unigram, *labo)] == pytest.approx([0.75, 0.25, 0.6, 0.4])


def test_names_of_methods() -> None:
    methods = smoothing.methods_of([4.0, math.inf], ["uniform", "unigram", "target", "uniform"])
    assert [method.name for method in methods] == [
        *("LABO β=4", "LABO β=inf"),
        *("unigram smoothing", "LABO β=4, unigram prior"),
        *("masked label smoothing", "LABO β=4, target prior"),
    ]


def test_table() -> None:
    tokens = (
        TokenSmoothing("b", 0.25, ((("a", 0.5), ("b", 0.25)),), (0.25,)),
        TokenSmoothing("longer", 1.0, ((("c", 1.0), ("d", 0.0)),), (0.0,)),
    )
    sentence = SentenceSmoothing("q r", "b longer", 8, (Method(math.inf),), tokens)
    lines = smoothing.table(sentence, label_smoothing=0.1).split("\n")
    assert lines[:2] == ["source     q r", "reference  b longer"]
    assert "0.9 on the reference plus 0.1 P; V = 8 tokens" in lines[2]
    header, plain, labo = lines[4:7]
    assert plain.split()[:2] == ["b", "0.250"] and "0.12500 on every token" in plain
    for line, cell in ((plain, "label smoothing"), (labo, "LABO β=inf")):
        assert line.index(cell) == header.index("method")
    assert labo.index("0.25000") == header.index("P(reference)")
    assert labo.endswith("a 0.500  b 0.250") and labo.index("a 0.500") == header.index("P, ")


@pytest.mark.slow
def test_text_and_subset_give_the_same(trained: Path, toy_corpus: Path) -> None:
    corpus = PreparedCorpus.read(toy_corpus)
    loaded = load_model(trained / "checkpoint_best.pt", bin_dir=toy_corpus / "bin", cpu=True)
    pair = corpus.raw("test", "de")[5], corpus.raw("test", "en")[5]
    own = smoothing.text_batches(loaded, corpus, [pair])
    numbered = smoothing.subset_batches(loaded, subset="test", numbers=[5])
    given = smoothing.inspect(loaded, own, betas=[2.0], top=4)
    assert given == smoothing.inspect(loaded, numbered, betas=[2.0], top=4)
    target = list(read_lines(toy_corpus / "bpe" / "train.en"))
    counts = Counter(word for line in target for word in [*line.split(), "</s>"])
    options: Any = {"betas": [2.0], "top": 4, "priors": ["unigram", "target"]}
    (sentence,) = smoothing.inspect(loaded, own, **options)
    assert [method.prior for method in sentence.methods] == ["unigram"] * 2 + ["target"] * 2
    for token in sentence.tokens:
        unigram, _, masked, _ = token.likeliest
        most = sorted(counts.values(), reverse=True)[:4]
        assert [p for _, p in unigram] == pytest.approx([n / counts.total() for n in most])
        assert masked == ((f"any of {len(counts)}", pytest.approx(1 / len(counts))),)
    assert (given[0].source, given[0].target) == tuple(
        list(read_lines(toy_corpus / "bpe" / f"test.{language}"))[5] for language in ("de", "en")
    )
    pieces = replace(corpus, manifest={**corpus.manifest, "subwords": "sentencepiece"})
    with pytest.raises(UserError, match="found sentencepiece; choose sentences of it"):
        smoothing.text_batches(loaded, pieces, [pair])
    with pytest.raises(UserError, match="at least one word, found an empty one"):
        smoothing.text_batches(loaded, corpus, [("", "a dog")])
    with pytest.raises(UserError, match="expected numbers from 0 to 76, found 77"):
        smoothing.subset_batches(loaded, subset="test", numbers=[77])
    with pytest.raises(UserError, match="--top: expected a number from 1"):
        smoothing.inspect(loaded, numbered, betas=[2.0], top=0)


def test_own_text_needs_a_corpus_of_labo_prepare(toy_corpus: Path, tmp_path: Path) -> None:
    bare = PreparedCorpus.read(shutil.copytree(toy_corpus / "bin", tmp_path / "bin"))
    with pytest.raises(UserError, match="found a folder of fairseq-preprocess; choose sentences"):
        smoothing._encoder(bare)
    corpus = PreparedCorpus.read(toy_corpus)
    aggressive = {**corpus.manifest, "settings": {"aggressive_hyphens": True}}
    with pytest.raises(UserError, match="found aggressive_hyphens; choose sentences"):
        smoothing._encoder(replace(corpus, manifest=aggressive))


@pytest.mark.parametrize(("tokenizer", "tokens"), [("moses", "ein &amp; ."), ("none", "ein &.")])
def test_own_text_is_tokenized_as_the_corpus_was(
    tokenizer: str, tokens: str, toy_corpus: Path
) -> None:
    corpus = PreparedCorpus.read(toy_corpus)
    corpus = replace(corpus, manifest={**corpus.manifest, "tokenizer": tokenizer})
    assert smoothing._encoder(corpus)("ein  &.", "de").replace("@@ ", "") == tokens


def test_own_text_is_lowercased_as_the_corpus_was(toy_corpus: Path) -> None:
    """By Moses, which writes the Greek sigma in one way, at the end of a word, too."""
    corpus = PreparedCorpus.read(toy_corpus)
    corpus = replace(corpus, manifest={**corpus.manifest, "lowercase": True})
    encoded = smoothing._encoder(corpus)("Η ΟΔΟΣ", "de").replace("@@ ", "")
    assert encoded == moses.lowercase("Η ΟΔΟΣ") == "η οδοσ"
