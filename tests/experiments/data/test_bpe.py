"""Joint byte-pair encoding."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fairseq.data.data_utils import post_process

from fairseq_labo.experiments.data import bpe
from fairseq_labo.experiments.data.parallel import Workers
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines, write_lines


def _learn(texts: Sequence[Path], codes: Path, *, merges: int) -> int:
    with Workers(1) as workers:
        counts = workers.count_words(texts)
    return bpe.learn_merges(counts, codes, size=merges, names="text")


def _codes(folder: Path, *, merges: int = 40) -> Path:
    german = ["der Hund läuft", "der Hund bellt laut", "die Hunde laufen"] * 3
    english = ["the dog runs", "the dog barks loudly", "the dogs run"] * 3
    write_lines(folder / "train.de", german)
    write_lines(folder / "train.en", english)
    _learn([folder / "train.de", folder / "train.en"], folder / "codes", merges=merges)
    return folder / "codes"


def test_merges_by_hand(tmp_path: Path) -> None:
    # Pairs of "ab ab ab abc abc": (a, b</w>) 3 times, (a, b) and (b, c</w>) twice. A tie goes to
    # the greater pair, (b, c</w>), after which (a, bc</w>) completes the word.
    write_lines(tmp_path / "de", ["ab ab", "abc"])
    write_lines(tmp_path / "en", ["ab abc"])
    codes = tmp_path / "codes"
    assert _learn([tmp_path / "de", tmp_path / "en"], codes, merges=2) == 2
    assert list(read_lines(codes)) == ["#version: 0.2", "a b</w>", "b c</w>"]
    encoder = bpe.load_codes(codes)
    assert bpe.encode("ab abc cab q", encoder) == "ab a@@ bc c@@ ab q"


def test_both_languages_count(tmp_path: Path) -> None:
    encoder = bpe.load_codes(_codes(tmp_path, merges=60))
    assert bpe.encode("Hund dog", encoder) == "Hund dog"


def test_fewer_pairs_than_merges(tmp_path: Path) -> None:
    write_lines(tmp_path / "de", ["abc abc x"])
    codes = tmp_path / "codes"
    assert _learn([tmp_path / "de"], codes, merges=1000) == 2
    assert len(list(read_lines(codes))) == 3


def test_decoded_subwords_equal_the_tokens(tmp_path: Path) -> None:
    encoder = bpe.load_codes(_codes(tmp_path, merges=10))
    lines = ["der Xylophonspieler läuft @ - @ &apos;s", "", "&quot; @ Hunde- @", "日本 ß\u200b"]
    subwords = [bpe.encode(line, encoder) for line in lines]
    assert "@@ " in subwords[0]
    assert [post_process(line, "subword_nmt") for line in subwords] == lines


def test_learning_is_deterministic(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = _codes(tmp_path / "a"), _codes(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_nothing_to_learn(tmp_path: Path) -> None:
    write_lines(tmp_path / "de", ["a b", "", "c"])
    with pytest.raises(UserError, match="expected words of two characters or more"):
        _learn([tmp_path / "de"], tmp_path / "codes", merges=5)
    with pytest.raises(UserError, match="expected at least 1 BPE merge, found 0"):
        _learn([tmp_path / "de"], tmp_path / "codes", merges=0)


def test_subwords_are_remembered_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bpe, "CACHED_WORDS", 50)
    write_lines(tmp_path / "codes", ["#version: 0.2", "a b</w>"])
    encoder = bpe.load_codes(tmp_path / "codes")
    for number in range(500):
        assert bpe.encode(f"w{number} ab", encoder).endswith(" ab")
        assert len(encoder.cache) <= 53


def test_merges_written_again_in_one_process_are_read_again(tmp_path: Path) -> None:
    codes = tmp_path / "codes"
    for pair, subwords in (("a b</w>", "ab x@@ y"), ("x y</w>", "a@@ b xy")):
        write_lines(codes, ["#version: 0.2", pair])
        assert bpe.encode_with(str(codes), "ab xy") == subwords


@pytest.mark.parametrize(
    ("kind", "line", "word"),
    [
        ("subword-nmt", "fo@@ o", "'fo@@'"),
        ("subword-nmt", "foo ba@@", "'ba@@'"),
        ("subword-nmt", "a @@ b", "'@@'"),
        ("sentencepiece", "a \u2581b", "'\u2581b'"),
        ("sentencepiece", "a\u2581b", "'a\u2581b'"),
    ],
)
def test_words_with_the_marks_of_subwords(kind: str, line: str, word: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "train.de", ["a@@b @b", line])
    with pytest.raises(UserError, match=rf"train.de, line 2: expected words, found {word}, which"):
        bpe.check_no_marks(tmp_path / "train.de", kind)
    other = "sentencepiece" if kind == "subword-nmt" else "subword-nmt"
    bpe.check_no_marks(tmp_path / "train.de", other)
    bpe.check_words(tmp_path / "train.de")  # half of its lines
    write_lines(tmp_path / "train.de", ["a@@b @b", line, line])
    with pytest.raises(UserError, match=rf"train.de: .* subwords of {kind} in 2 of 3 lines: give"):
        bpe.check_words(tmp_path / "train.de")
