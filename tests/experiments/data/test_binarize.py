"""fairseq's preprocessor, and what it wrote."""

import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import binarize
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_lines


def test_failure_of_fairseq_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any program that fails will do, and starts faster.
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nseq 1 100\necho No space left >&2\nexit 3\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    log = tmp_path / "preprocess.log"
    with pytest.raises(UserError, match=r"status 3, expected 0; .*preprocess\.log") as caught:
        binarize.binarize(
            tmp_path, tmp_path / "bin", source_lang="de", target_lang="en",
            splits=["train", "valid"], workers=1, log_file=log,
        )  # fmt: skip
    assert "\n100\nNo space left\n" in str(caught.value)
    assert "\n50\n" not in str(caught.value)


@pytest.mark.usefixtures("in_process_fairseq")
def test_index_that_does_not_match_the_text(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for lang in ("de", "en"):
            (tmp_path / "bpe").mkdir(exist_ok=True)
            write_lines(tmp_path / "bpe" / f"{split}.{lang}", ["ein H@@ und", "", "ein"])
    binarize.binarize(
        tmp_path / "bpe", tmp_path / "bin", source_lang="de", target_lang="en",
        splits=["train", "valid"], workers=1, log_file=tmp_path / "log",
    )  # fmt: skip
    index = tmp_path / "bin" / "valid.de-en.de.idx"
    assert binarize.read_index(index) == (3, 4 + 3)
    assert binarize.measure(tmp_path, "valid", "de", ("de", "en")) == (4, 0, [])
    write_lines(tmp_path / "bpe" / "valid.de", ["Ein Hund"])
    with pytest.raises(UserError, match="expected 1 sentences and 3 tokens as in"):
        binarize.measure(tmp_path, "valid", "de", ("de", "en"))
    index.write_bytes(b"no index")
    with pytest.raises(UserError, match="expected an index of fairseq's mmap data"):
        binarize.read_index(index)


@pytest.mark.parametrize("symbol", ["<s>", "</s>", "<pad>"])
def test_a_symbol_of_fairseq_s_own_is_no_word(symbol: str, tmp_path: Path) -> None:
    """Its end of the sentence within one, say; <unk> is what it says."""
    write_lines(tmp_path / "train.de", ["a <unk> b", "a<s> </s>b <<pad>>"])
    binarize.check_words(tmp_path / "train.de")
    write_lines(tmp_path / "train.de", ["a b", f"a {symbol} b"])
    with pytest.raises(UserError, match=rf"train.de, line 2: expected words, found {symbol}, a sy"):
        binarize.check_words(tmp_path / "train.de")
