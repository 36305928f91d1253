"""SentencePiece, of Moses tokens."""

from collections import Counter
from pathlib import Path

import pytest
from fairseq.data.data_utils import post_process

from fairseq_labo.experiments.data import bpe
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, read_lines
from tests.experiments.data import releases


@pytest.mark.usefixtures("in_process_fairseq")
def test_sentencepiece_pieces_decode_to_the_tokens(tmp_path: Path) -> None:
    releases.write_multi30k(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("multi30k", tmp_path, destdir, "--bpe", "sentencepiece") == 0
    for split in ("train", "test1"):
        encoded = list(read_lines(destdir / "bpe" / f"{split}.de"))
        assert [post_process(line, "sentencepiece") for line in encoded] == list(
            read_lines(destdir / "tok" / f"{split}.de")
        )
    assert read_json(destdir / "manifest.json")["bpe_merges_learned"] == 60


def test_too_few_words_for_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train: expected text for 500 SentencePiece pieces"):
        bpe.learn_pieces(Counter(["a"]), tmp_path / "m", size=500, names="train")
    assert list(tmp_path.iterdir()) == []


def test_a_model_written_again_in_one_process_is_read_again(tmp_path: Path) -> None:
    model = tmp_path / "m"
    for word, pieces in (("ab", "\u2581ab \u2581 cd"), ("cd", "\u2581 ab \u2581cd")):
        bpe.learn_pieces(Counter({word: 9}), model, size=8, names="train")
        assert bpe.encode_as_pieces(str(model), "ab cd") == pieces


def test_the_same_words_give_the_same_bytes_wherever_they_are_learned(tmp_path: Path) -> None:
    """A model holds the settings of its training, which once named a folder of random name."""
    counts = Counter({"abc": 3, "abd": 2, "\u4e00b": 1})
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        bpe.learn_pieces(counts, tmp_path / folder / "m", size=12, names="train")
    models = [(tmp_path / folder / "m").read_bytes() for folder in ("one", "two")]
    assert models[0] == models[1] and str(tmp_path).encode() not in models[0]
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["m"]
