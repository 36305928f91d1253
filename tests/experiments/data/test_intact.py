"""Binarized text and dictionaries that are missing, cut off or of another kind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fairseq_labo.experiments.data.intact import check_intact
from fairseq_labo.experiments.errors import UserError

INDEX, TEXT, WORDS = "train.de-en.en.idx", "train.de-en.en.bin", "dict.de.txt"


def cut(count: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:count]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (WORDS, cut(0), "expected a dictionary, found an empty file"),
        (WORDS, lambda content: content + b"no count\n", "expected a symbol and its count"),
        (WORDS, lambda content: content + b"7\n", "found '7'"),
        (WORDS, None, "expected a text file, found none"),
        (INDEX, cut(0), "expected fairseq's index of binarized text, found part of one"),
        (INDEX, cut(20), "expected fairseq's index of binarized text, found part of one"),
        (INDEX, cut(900), "expected fairseq's index of binarized text, found part of one"),
        (INDEX, lambda content: content[:9] + b"\xff" * 300, "found part of one or another file"),
        (INDEX, lambda content: content[:18] + bytes(8), "expected sentences, found none"),
        (INDEX, None, "expected binarized text, found no file"),
        (TEXT, cut(100), "bytes, as its index says, found 100"),
        (TEXT, lambda content: content + b"x", "bytes, as its index says"),
        (TEXT, None, "expected binarized text, found no file"),
    ],
)
def test_damage(
    name: str,
    damage: Callable[[bytes], bytes] | None,
    message: str,
    toy_corpus: Path,
    tmp_path: Path,
) -> None:
    bin_dir = tmp_path / "bin"
    shutil.copytree(toy_corpus / "bin", bin_dir)
    check_intact(bin_dir, ("de", "en"), splits=("train", "valid"))
    path = bin_dir / name
    content = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(content))
    with pytest.raises(UserError, match=message) as caught:
        check_intact(bin_dir, ("de", "en"), splits=("train", "valid"))
    assert str(path) in str(caught.value)


def test_what_is_not_looked_into(toy_corpus: Path, tmp_path: Path) -> None:
    """Splits that are not asked for, and data of fairseq's older kinds; flags of symbols."""
    shutil.copytree(toy_corpus / "bin", tmp_path / "bin")
    (tmp_path / "bin" / "test.de-en.en.idx").write_bytes(b"")
    (tmp_path / "bin" / INDEX).write_bytes(b"TNTIDX\x00\x00 and more")
    with (tmp_path / "bin" / WORDS).open("a") as dictionary:
        dictionary.write("<pad> 1 #fairseq:overwrite\n")
    check_intact(tmp_path / "bin", ("de", "en"), splits=("train", "valid"))


@pytest.mark.parametrize("vocab_size", [100, 70_000, 2**33, None])
def test_tokens_of_every_size_that_fairseq_writes(vocab_size: int | None, tmp_path: Path) -> None:
    """A large dictionary makes it write wider tokens."""
    import torch
    from fairseq.data import indexed_dataset

    for language in ("de", "en"):
        (tmp_path / f"dict.{language}.txt").write_text("a 1\n", encoding="utf-8")
        stem = tmp_path / f"test.de-en.{language}"
        builder = indexed_dataset.make_builder(f"{stem}.bin", impl="mmap", vocab_size=vocab_size)
        builder.add_item(torch.tensor([4, 2]))
        builder.finalize(f"{stem}.idx")
    check_intact(tmp_path, ("de", "en"), splits=["test"])
