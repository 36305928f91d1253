"""Prepared folders: from here, from fairseq-preprocess alone, and what is wrong with them."""

import argparse
import logging
import shutil
from pathlib import Path

import pytest

from fairseq_labo.experiments.data.prepared import (
    Given,
    PreparedCorpus,
    add_corpus_options,
    begin,
    given_by,
    read_beginning,
    read_manifest,
    write_manifest,
)
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, sealed, sha256_of, write_json, write_lines

SUBWORDS = {
    "train": (["der Hu@@ nd", "ein Haus", "der"], ["the dog", "a house", "the"]),
    "valid": (["ein Hu@@ nd"], ["a dog"]),
    "test": (["der", "Haus"], ["the", "house"]),
}


def preprocess(text: Path, bin_dir: Path, *options: str) -> None:
    """fairseq-preprocess of the text, German to English."""
    from fairseq import options as fairseq_options
    from fairseq_cli import preprocess

    prefixes = [word for split in SUBWORDS for word in (f"--{split}pref", str(text / split))]
    words = ["--source-lang", "de", "--target-lang", "en", *prefixes, "--destdir", str(bin_dir)]
    before = list(logging.getLogger("fairseq_cli.preprocess").handlers)
    preprocess.main(fairseq_options.get_preprocessing_parser().parse_args([*words, *options]))
    logging.getLogger("fairseq_cli.preprocess").handlers[:] = before


@pytest.fixture(scope="module")
def binarized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fairseq-preprocess alone makes: joined/ and separate/, with two dictionaries."""
    folder = tmp_path_factory.mktemp("binarized")
    for split, sides in SUBWORDS.items():
        for lang, lines in zip(("de", "en"), sides, strict=True):
            write_lines(folder / f"{split}.{lang}", lines)
    preprocess(folder, folder / "joined", "--joined-dictionary")
    preprocess(folder, folder / "separate")
    return folder


@pytest.fixture
def prepared(binarized: Path, tmp_path: Path) -> Path:
    """A folder as `labo prepare` makes it."""
    folder = tmp_path / "prepared"
    shutil.copytree(binarized / "joined", folder / "bin")
    (folder / "raw").mkdir()
    write_lines(folder / "raw" / "test.en", ["The", "House"])
    manifest = {
        "corpus": "tiny",
        "source_lang": "de",
        "target_lang": "en",
        "splits": {"train": {"name": "old"}, "test": {"name": "newstest"}},
        "tokenizer": "none",
        "subwords": "sentencepiece",
        "joined_dictionary": True,
        "raw_sha256": {"test.en": sha256_of(folder / "raw" / "test.en")},
    }
    write_manifest(folder, manifest)
    return folder


def test_folder_from_here(prepared: Path) -> None:
    corpus = PreparedCorpus.read(prepared)
    assert (corpus.name, corpus.languages) == ("tiny", ("de", "en"))
    assert corpus.bin_dir == prepared / "bin"
    assert (corpus.tokenizer, corpus.subwords) == ("none", "sentencepiece")
    assert corpus.post_process == "sentencepiece" and corpus.joined_dictionary is True
    assert corpus.release_name("test") == "newstest" and corpus.num_sentences("test") == 2
    assert corpus.raw("test", "en") == ["The", "House"]
    with pytest.raises(UserError, match="expected a subset among train, test, found 'test1'"):
        corpus.release_name("test1")
    with pytest.raises(UserError, match="expected a subset among"):
        corpus.raw("valid", "en")


def test_folders_made_before_these_entries_existed(prepared: Path) -> None:
    manifest = read_json(prepared / "manifest.json")
    for entry in ("tokenizer", "subwords", "joined_dictionary", "raw_sha256"):
        del manifest[entry]
    write_json(prepared / "manifest.json", manifest)
    corpus = PreparedCorpus.read(prepared)
    assert (corpus.tokenizer, corpus.subwords) == ("moses", "subword-nmt")
    assert corpus.joined_dictionary is True and corpus.raw_sha256 is None
    assert corpus.raw("test", "en") == ["The", "House"]


def test_other_raw_text_than_it_was_made_from(prepared: Path) -> None:
    write_lines(prepared / "raw" / "test.en", ["The", "Mouse"])
    with pytest.raises(UserError, match="expected the text that the corpus was prepared from"):
        PreparedCorpus.read(prepared).raw("test", "en")


@pytest.mark.parametrize("key", ["corpus", "source_lang", "target_lang", "splits"])
@pytest.mark.parametrize("value", [None, 7, ["x"]])
def test_manifest_without_a_key(prepared: Path, key: str, value: object) -> None:
    manifest = read_json(prepared / "manifest.json")
    manifest[key] = value
    if value is None:
        del manifest[key]
    write_json(prepared / "manifest.json", manifest)
    with pytest.raises(UserError, match=rf"manifest\.json: expected an entry '{key}'"):
        PreparedCorpus.read(prepared)


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_manifest_that_is_none(prepared: Path, text: str) -> None:
    (prepared / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"expected an entry 'corpus' \(str\), found None"):
        PreparedCorpus.read(prepared)
    assert read_manifest(prepared) is None


def test_manifest_without_data(prepared: Path) -> None:
    shutil.rmtree(prepared / "bin")
    with pytest.raises(UserError, match=r"expected bin/ beside manifest\.json, found none"):
        PreparedCorpus.read(prepared)


@pytest.mark.parametrize("name", [".", "bin"])
def test_an_unfinished_preparation_is_no_folder_of_fairseq(prepared: Path, name: str) -> None:
    """Its bin/ may still be the one that was there before, of another text."""
    begin(prepared, {})
    with pytest.raises(UserError, match="found a preparation that has not ended"):
        PreparedCorpus.read(prepared / name)


def test_manifest_is_what_says_that_a_folder_is_finished(prepared: Path) -> None:
    before = read_manifest(prepared)
    assert before is not None and before["format"] == "labo_data/1"
    assert read_beginning(prepared) is None
    begin(prepared, {"corpus": "one"})
    assert read_manifest(prepared) is None
    assert read_beginning(prepared) == {"format": "labo_data/1", "corpus": "one"}
    (prepared / ".unfinished").write_text("", encoding="utf-8")  # an earlier version's
    assert read_beginning(prepared) == {}
    write_manifest(prepared, {"corpus": "other"})
    assert read_manifest(prepared) == sealed({"format": "labo_data/1", "corpus": "other"})
    assert not (prepared / ".unfinished").exists()
    write_json(prepared / "manifest.json", {"format": "another/1"})
    assert read_manifest(prepared) is None


@pytest.mark.parametrize("layout", [".", "bin"])
@pytest.mark.parametrize("kind", ["joined", "separate"])
def test_folder_of_fairseq_alone(binarized: Path, tmp_path: Path, kind: str, layout: str) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(binarized / kind, folder / layout)
    references = tmp_path / "refs"
    write_lines(references, ["The", "House"])
    given = Given("subword-nmt", "none", {"test": references})
    corpus = PreparedCorpus.read(folder, given)
    assert (corpus.name, corpus.languages) == ("mine", ("de", "en"))
    assert corpus.bin_dir == folder / layout
    assert dict(corpus.splits) == {"train": "train", "valid": "valid", "test": "test"}
    assert corpus.joined_dictionary is (kind == "joined")
    assert [corpus.num_sentences(split) for split in SUBWORDS] == [3, 1, 2]
    assert (corpus.subwords, corpus.tokenizer) == ("subword-nmt", "none")
    assert corpus.post_process == "subword_nmt" and corpus.raw_sha256 is None
    assert corpus.raw("test", "en") == ["The", "House"]
    assert PreparedCorpus.read(folder, Given("none")).post_process is None


def test_what_a_folder_of_fairseq_does_not_tell_is_asked_for_by_flag(binarized: Path) -> None:
    corpus = PreparedCorpus.read(binarized / "joined")
    with pytest.raises(UserError, match=r"expected --subwords \(subword-nmt, sentencepiece, none"):
        print(corpus.subwords)
    with pytest.raises(UserError, match=r"expected --tokenizer \(moses, none\), found none"):
        print(corpus.tokenizer)
    with pytest.raises(UserError, match=r"raw text of test\.en, .* give --references test=FILE"):
        corpus.raw("test", "en")
    references = Given(references={"test": binarized / "test.en"})
    with pytest.raises(UserError, match=r"expected the raw text of test\.de"):
        PreparedCorpus.read(binarized / "joined", references).raw("test", "de")


def test_flags_that_contradict(prepared: Path, binarized: Path) -> None:
    corpus = PreparedCorpus.read(prepared, Given("subword-nmt", "moses"))
    with pytest.raises(UserError, match=r"--subwords: expected sentencepiece, as .* found subword"):
        print(corpus.subwords)
    with pytest.raises(UserError, match=r"--tokenizer: expected none, as .* says, found moses"):
        print(corpus.tokenizer)
    assert PreparedCorpus.read(prepared, Given("sentencepiece")).subwords == "sentencepiece"
    with pytest.raises(UserError, match=r"--references: expected none, since .* has its own"):
        PreparedCorpus.read(prepared, Given(references={"test": Path("x")}))
    with pytest.raises(UserError, match=r"expected a subset among .*, found .tset."):
        PreparedCorpus.read(binarized / "joined", Given(references={"tset": Path("x")}))


def test_wrong_number_of_references(binarized: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "refs", ["The", "House", "more"])
    given = Given(references={"test": tmp_path / "refs"})
    corpus = PreparedCorpus.read(binarized / "joined", given)
    with pytest.raises(UserError, match="refs: expected the 2 sentences of test, found 3 lines"):
        corpus.raw("test", "en")
    (tmp_path / "refs").unlink()
    with pytest.raises(UserError, match="refs: expected a text file, found none"):
        corpus.raw("test", "en")


def test_two_language_pairs_in_one_folder(binarized: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(binarized / "joined", tmp_path / "two"))
    shutil.copy(folder / "test.de-en.en.idx", folder / "test.fr-en.en.idx")
    with pytest.raises(UserError, match="expected the data of one language pair, found de-en, fr"):
        PreparedCorpus.read(folder)


def test_data_without_a_dictionary(binarized: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(binarized / "joined", tmp_path / "half"))
    (folder / "dict.en.txt").unlink()
    with pytest.raises(UserError, match=r"expected dict\.en\.txt beside the data, found none"):
        PreparedCorpus.read(folder)


@pytest.mark.parametrize("folder", ["empty", "absent", "file"])
def test_no_corpus(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"expected a prepared corpus in .*: run labo prepare"):
        PreparedCorpus.read(tmp_path / folder)


def test_flags() -> None:
    parser = argparse.ArgumentParser()
    add_corpus_options(parser)
    words = ["--subwords", "none", "--tokenizer", "moses", "--references", "a"]
    given = given_by(parser.parse_args([*words, "--references", "test1=b=c"]))
    assert given == Given("none", "moses", {"test": Path("a"), "test1": Path("b=c")})
    parser = argparse.ArgumentParser()
    add_corpus_options(parser, with_references=False)
    assert given_by(parser.parse_args([])) == Given()
