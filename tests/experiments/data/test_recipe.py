"""What a corpus says of itself."""

import pytest

from fairseq_labo.experiments.data.recipe import Corpus, Counts, Limits, Member, Part, Recipe

NO_COUNTS = Counts()
TEXT = Part("text", (Member("t.{lang}", expected_lines=7),))


def corpus_of(*parts: str, counts: Counts = NO_COUNTS, **recipe: object) -> Corpus:
    made = Recipe(**recipe)  # type: ignore[arg-type]
    return Corpus("c", "de-en", {part: TEXT for part in parts}, made, counts=counts, note="a note")


def test_paths_are_filled_in_for_each_language() -> None:
    members = (Member("{lang}-{other}/{side}.{lang}", archive="{side}.tgz"), Member("x"))
    corpus = Corpus("c", "fr-en", {"train": Part("text", members)}, Recipe())
    assert [(text.number, text.language, text.path, text.archive) for text in corpus.texts()] == [
        (0, "fr", "fr-en/src.fr", "src.tgz"),
        (0, "en", "en-fr/ref.en", "ref.tgz"),
        (1, "fr", "x", ""),
        (1, "en", "x", ""),
    ]


@pytest.mark.parametrize(
    ("corpus", "splits", "names"),
    [
        (corpus_of("train", "valid", "test"), ["train", "valid", "test"], ["text"] * 3),
        (
            corpus_of("train", "test", valid_every=23),
            ["train", "valid", "test"],
            ["text", "one of every 23 of train", "text"],
        ),
        (corpus_of("all", held_out=5), ["train", "valid", "test"], ["a note"] * 3),
    ],
)
def test_splits_and_their_names(corpus: Corpus, splits: list[str], names: list[str]) -> None:
    assert corpus.splits == splits
    assert [corpus.split_name(split) for split in splits] == names
    assert corpus.languages == ("de", "en")


def test_lines_are_expected_unless_something_drops_some() -> None:
    plain = corpus_of("train", "test")
    assert (plain.expected_lines("train"), plain.expected_lines("test")) == (7, 7)
    for recipe in ({"valid_every": 3}, {"clean_tokens": Limits(5)}, {"clean_subwords": Limits(5)}):
        cleaned = corpus_of("train", "test", **recipe)
        assert (cleaned.expected_lines("train"), cleaned.expected_lines("test")) == (None, 7)
        published = corpus_of("train", "test", counts=Counts(splits={"train": 6}), **recipe)
        assert published.expected_lines("train") == 6
    assert corpus_of("all").expected_lines("valid") is None
