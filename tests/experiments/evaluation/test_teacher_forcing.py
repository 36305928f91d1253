"""A checkpoint's logits: every sentence of a subset, padding left out, as fairseq has them."""

import shutil
from pathlib import Path

import pytest
import torch

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.teacher_forcing import (
    load_model,
    measure_subset,
    subset_sentences,
)
from fairseq_labo.experiments.files import read_lines

pytestmark = pytest.mark.slow


def test_every_sentence_once_without_padding(trained: Path, toy_corpus: Path) -> None:
    loaded = load_model(trained / "checkpoint_best.pt", bin_dir=toy_corpus / "bin", cpu=True)
    sentences = list(subset_sentences(loaded, subset="test", max_tokens=300))
    assert sorted(sentence.number for sentence in sentences) == list(range(77))
    dictionary = loaded.task.target_dictionary
    lines = list(read_lines(toy_corpus / "bpe" / "test.en"))
    for sentence in sentences:
        assert dictionary.string(sentence.target) == lines[sentence.number]
        assert sentence.target[-1] == dictionary.eos()
        assert sentence.logits.shape == (len(sentence.target), len(dictionary))
    # The batches do not matter, and the logits are the model's: the same NLL from both.
    nll = sum(
        torch.nn.functional.cross_entropy(each.logits, each.target, reduction="sum").item()
        for each in sentences
    ) / sum(len(each.target) for each in sentences)
    measured = measure_subset(loaded, subset="test", max_tokens=4000)
    assert measured.nll_bits * 0.6931471805599453 == pytest.approx(nll, rel=1e-5)


def test_other_dictionaries_are_refused(trained: Path, toy_corpus: Path, tmp_path: Path) -> None:
    other = shutil.copytree(toy_corpus / "bin", tmp_path / "bin")
    for path in other.glob("dict.*.txt"):
        lines = list(read_lines(path))
        path.write_text("".join(f"{line}\n" for line in lines[:-3]), encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)builds for the data in .*bin, found .*size mismatch"):
        load_model(trained / "checkpoint_best.pt", bin_dir=other, cpu=True)
