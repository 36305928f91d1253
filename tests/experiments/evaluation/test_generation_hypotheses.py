"""Hypotheses of a generation log: in order, complete, beside the references they belong to."""

import shutil
from pathlib import Path

import pytest

from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.generation import (
    check_references,
    read_numbered,
    read_texts,
    text_of_tokens,
)
from fairseq_labo.experiments.files import read_lines

GENERATED = """\
S-1\tein Hund
T-1\ta dog
H-1\t-0.5\tthe dog &apos;s house
D-1\t-0.5\tthe dog &apos;s house
P-1\t-0.5 -0.5
D-0\t-0.25\ta tree .
Generate test with beam=5: BLEU4 = 1.00
"""


def test_hypotheses_come_in_the_order_of_the_test_set(tmp_path: Path) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text(GENERATED, encoding="utf-8")
    assert read_numbered(log, "D", expected=2) == ["a tree .", "the dog &apos;s house"]


def test_empty_hypothesis_keeps_its_line(tmp_path: Path) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text("D-0\t-1.0\t\nD-1\t-1.0\tdog\n", encoding="utf-8")
    assert read_numbered(log, "D", expected=2) == ["", "dog"]


def test_the_best_of_several_hypotheses_is_taken(tmp_path: Path) -> None:
    """fairseq prints it first (--nbest), and scores it."""
    log = tmp_path / "generate-test.txt"
    log.write_text("T-0\tx\nD-0\t-0.1\tbest\nD-0\t-0.9\tworse\n", encoding="utf-8")
    assert read_numbered(log, "D", expected=1) == ["best"]


@pytest.mark.parametrize(
    ("expected", "match"), [(3, "found 2, without number 2"), (1, "0 to 0, found 2")]
)
def test_missing_or_foreign_hypotheses(tmp_path: Path, expected: int, match: str) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text(GENERATED, encoding="utf-8")
    with pytest.raises(UserError, match=match):
        read_numbered(log, "D", expected=expected)


def corpus_of(tokenizer: str) -> PreparedCorpus:
    given = Given(subwords="none", tokenizer=tokenizer)
    return PreparedCorpus(Path("x"), Path("x"), "x", ("de", "en"), {"test": "test"}, {}, given)


def test_text_of_tokens() -> None:
    line = "the dog &apos;s house ."
    assert text_of_tokens(corpus_of("moses"))(line) == "the dog's house."
    assert text_of_tokens(corpus_of("none"))(line) == line


def test_without_a_tokenizer_text_is_the_tokens(tmp_path: Path) -> None:
    log = tmp_path / "generate-test.txt"
    log.write_text("T-0\tA tree , old.\nD-0\t-1\tA tree , red.\n", encoding="utf-8")
    corpus = corpus_of("none")
    texts = read_texts(log, corpus, ["A tree , old."], allow_empty=False)
    assert texts.hypotheses == texts.hypothesis_tokens == ["A tree , red."]
    assert texts.references == texts.reference_tokens == ["A tree , old."]
    detokenized = read_texts(log, corpus_of("moses"), ["A tree, old."], allow_empty=False)
    assert detokenized.hypotheses == ["A tree, red."]


def test_references_differ_in_letters_only_if_they_differ() -> None:
    english = text_of_tokens(corpus_of("moses"))
    raw = ["Caf\u00e9's \u201cTest\u201d, 3.5%!", "unknown words"]
    tokens = ["caf\u00e9 &apos;s \u201c test \u201d , 3.5 % !", "<<unk>> words"]
    check_references(raw, tokens, detokenize=english)
    with pytest.raises(UserError, match="sentence 0: expected the raw reference"):
        check_references(raw, ["caf\u00e9 &apos;s test , 3.6 %", ""], detokenize=english)
    # Of decomposed text Moses parts the marks from their letters.
    check_references(["mo\u0323\u0302t"], ["mo \u0323 \u0302 t"], detokenize=english)
    # sentencepiece normalizes by NFKC.
    check_references(["\u00bd \ufb01sh"], ["1\u20442 fish"], detokenize=str)


def test_what_stands_between_unknown_words_is_that_of_the_reference() -> None:
    raw = "A dog sees the cat & it."
    for line in ("a <<unk>> sees the <<unk>> &amp; it .", "<<unk>>", "a d<<unk>> sees<<unk>>it ."):
        check_references([raw], [line], detokenize=text_of_tokens(corpus_of("moses")))
    english = text_of_tokens(corpus_of("moses"))
    torn = {
        "a | b": "a &#1<<unk>>; b",
        "a < b": "a <<unk>>lt; b",
        "it's": "it &ap<<unk>>;s",
        "a [b] c": "a <<unk>>#91; b &#9<<unk>>",
    }
    for text, line in torn.items():
        check_references([text], [line], detokenize=english)
    with pytest.raises(UserError, match="sentence 0: expected the raw reference 'aa'"):
        check_references(["aa"], ["a<<unk>>aa"], detokenize=str)
    check_references(["\u4f60 \u597d"], ["<<unk>><<unk>>"], detokenize=str)
    for line in ("<<unk>> man sees", "it <<unk>> a", "a <<unk>> sees it sees"):
        with pytest.raises(UserError, match="sentence 0: expected the raw reference 'A dog"):
            check_references([raw], [line], detokenize=str)
    with pytest.raises(UserError, match="give the kind that the data has, --subwords"):
        check_references([raw], ["a <<unk>> se@@ es"], detokenize=str)


@pytest.mark.parametrize(
    "line", ["a d@@ og sees it", "\u2581a \u2581d og \u2581sees \u2581it", "adogseesit"]
)
def test_subwords_that_were_not_joined_as_they_should_be(line: str) -> None:
    with pytest.raises(UserError, match="give the kind that the data has, --subwords"):
        check_references(["a dog sees it"], [line], detokenize=str)
    check_references([line], [line], detokenize=str)  # the text itself is like that
    check_references(["dog"], ["dog"], detokenize=str)


def generation_log(path: Path, tokens: list[str], targets: list[str]) -> Path:
    lines = [f"T-{n}\t{line}\n" for n, line in enumerate(targets)]
    lines += [f"D-{n}\t-0.5\t{line}\n" for n, line in enumerate(tokens)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_changed_references_are_refused(toy_corpus: Path, tmp_path: Path) -> None:
    targets = list(read_lines(toy_corpus / "tok" / "test.en"))
    log = generation_log(tmp_path / "generate-test.txt", targets, targets)
    changed = tmp_path / "toy"
    shutil.copytree(toy_corpus, changed)
    path = changed / "raw" / "test.en"
    path.write_text(path.read_text(encoding="utf-8").replace("dog", "cat", 1), encoding="utf-8")
    corpus = PreparedCorpus.read(changed)
    with pytest.raises(UserError, match="expected the text that the corpus was prepared from"):
        corpus.raw("test", "en")
    # Without a recorded hash the binarized references tell.
    with pytest.raises(UserError, match=r"found .* in the binarized data"):
        read_texts(log, corpus, list(read_lines(path)), allow_empty=False)


@pytest.mark.parametrize("allow_empty", [True, False])
def test_empty_hypotheses(allow_empty: bool, toy_corpus: Path, tmp_path: Path) -> None:
    targets = list(read_lines(toy_corpus / "tok" / "test.en"))
    tokens = [*targets[:4], "", *targets[5:]]
    log = generation_log(tmp_path / "generate-test.txt", tokens, targets)
    corpus = PreparedCorpus.read(toy_corpus)
    references = corpus.raw("test", "en")
    if allow_empty:
        texts = read_texts(log, corpus, references, allow_empty=True)
        assert texts.hypotheses[4] == "" and len(texts.hypotheses) == 77
    else:
        with pytest.raises(UserError, match=r"found 1 empty \(the first: number 4\)"):
            read_texts(log, corpus, references, allow_empty=False)
