"""Every corpus in its original layout through every stage, to fairseq's data."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from fairseq.data.data_utils import post_process

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import binarize, download, locate
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.recipe import Limits
from fairseq_labo.experiments.files import read_lines
from tests.experiments.data import releases

pytestmark = pytest.mark.usefixtures("in_process_fairseq")

# Corpus, options, pairs of each split. 75 TED lines: 3 more from titles and the description,
# 5 dropped, of 73 the 23rd, 46th and 69th to the validation set.
TED = {"train": 70, "valid": 3}
CASES: dict[str, tuple[str, list[str], dict[str, int]]] = {
    "iwslt14 de-en": ("iwslt14", ["--pair", "de-en"], {**TED, "test": 20}),
    "iwslt14 en-de": ("iwslt14", ["--pair", "en-de", "--joined-dictionary"], {**TED, "test": 20}),
    "iwslt17": ("iwslt17", [], {**TED, "test": 9}),
    "iwslt17 2010-2015": ("iwslt17", ["--test-set", "tst2010-2015"], {**TED, "test": 39}),
    "iwslt17 2017": (
        "iwslt17",
        ["--test-set", "tst2017", "--valid-set", "dev2010", "--keep-case"],
        {"train": 73, "valid": 3, "test": 5},
    ),
    # 330 lines, of which the 100th, 200th and 300th are for validation, and 4 are dropped: the
    # overlong word is several subwords by then.
    "wmt14": ("wmt14", [], {"train": 323, "valid": 3, "test": 7}),
    "wmt14 de-en": ("wmt14", ["--pair", "de-en"], {"train": 323, "valid": 3, "test": 7}),
    "multi30k": ("multi30k", [], {"train": 50, "valid": 6, "test": 5, "test1": 4, "test2": 3}),
    "iwslt15": ("iwslt15", ["--no-joined-dictionary"], {"train": 60, "valid": 5, "test": 4}),
    "iwslt14-15k": ("iwslt14-15k", [], {"train": 40, "valid": 4, "test": 3}),
    "sentencepiece": (
        "multi30k",
        ["--bpe", "sentencepiece"],
        {"train": 50, "valid": 6, "test": 5, "test1": 4, "test2": 3},
    ),
}


def manifest_of(destdir: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((destdir / "manifest.json").read_text("utf-8"))
    return manifest


def lines_of(destdir: Path, name: str) -> list[str]:
    return list(read_lines(destdir / name))


@pytest.mark.parametrize("case", CASES)
def test_every_stage(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, options, expected = CASES[case]
    releases.WRITERS[name](tmp_path / "release")
    destdir = tmp_path / "dest"
    assert releases.run(name, tmp_path / "release", destdir, *options) == 0, capsys.readouterr()
    manifest = manifest_of(destdir)
    pair = (manifest["source_lang"], manifest["target_lang"])
    assert {split: entry["lines"] for split, entry in manifest["splits"].items()} == expected
    for split, size in expected.items():
        for lang in pair:
            tokens, subwords, raw = (
                lines_of(destdir, f"{kind}/{split}.{lang}") for kind in ("tok", "bpe", "raw")
            )
            assert len(tokens) == len(subwords) == len(raw) == size
            if manifest["subwords"] == "subword-nmt":
                assert [post_process(line, "subword_nmt") for line in subwords] == tokens
            assert all(line == " ".join(line.split()) for line in tokens)
            index = destdir / "bin" / f"{split}.{pair[0]}-{pair[1]}.{lang}.idx"
            assert binarize.read_index(index)[0] == size
            # The sides still belong together: each sentence begins with its number.
            if name not in ("iwslt14-15k", "iwslt15"):
                other = lines_of(destdir, f"tok/{split}.{pair[lang == pair[0]]}")
                assert [line.split()[0] for line in tokens] == [x.split()[0] for x in other]
    printed = capsys.readouterr().out
    assert f"next: labo train --data {destdir} " in printed
    assert releases.run(name, tmp_path / "release", destdir, *options) == 0
    assert "is up to date" in capsys.readouterr().out


def test_iwslt14_by_the_recipe(tmp_path: Path) -> None:
    releases.write_iwslt14(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("iwslt14", tmp_path, destdir) == 0
    train, valid = lines_of(destdir, "tok/train.en"), lines_of(destdir, "tok/valid.en")
    # Texts of title and description stay, without their tags; the other metadata is gone.
    assert train[:2] == ["a : the title", "ted talk : the description"]
    assert train[-1] == "second"
    assert not [line for line in train + valid if "<" in line or "&lt;" in line]
    # Lines 23, 46 and 69 of the cleaned text; its first two are title and description.
    assert [line.split()[0] for line in valid] == ["20", "43", "66"]
    assert valid[0] == "20 apples dog street it ’ s at &amp; amp ; t in the u.s ."
    # In the xml sets only, the apostrophe becomes straight.
    test = lines_of(destdir, "tok/test.en")
    assert (
        test[1] == "1 street runs well-known don &apos;t it &apos;s at &amp; amp ; t in the u.s ."
    )
    # dev2010, TEDX.dev2012, tst2010, tst2011, tst2012, each numbered from 0.
    assert [int(line.split()[0]) for line in test] == [
        *range(4), *range(6), *range(5), *range(3), *range(2),
    ]  # fmt: skip
    # The references keep their case, apostrophes and separators.
    assert lines_of(destdir, "raw/test.en")[1] == releases.sentence("en", 1)
    manifest = manifest_of(destdir)
    assert manifest["lowercase"] is True and manifest["joined_dictionary"] is False
    assert manifest["stages"]["clean"]["pairs"]["cleaned"] == 73
    assert manifest["stages"]["extract"]["pairs"]["train"] == 78
    dictionaries = [(destdir / "bin" / f"dict.{lang}.txt").read_bytes() for lang in ("de", "en")]
    assert dictionaries[0] != dictionaries[1]


def test_iwslt14_en_fr_from_the_whole_release_and_as_an_archive(tmp_path: Path) -> None:
    releases.write_iwslt14(tmp_path, "en-fr")
    results = []
    for number, pair in enumerate(("en-fr", "fr-en")):
        destdir = tmp_path / str(number)
        assert releases.run("iwslt14", tmp_path, destdir, "--pair", pair) == 0
        results.append(lines_of(destdir, "raw/test.fr"))
    assert results[0] == results[1] and len(results[0]) == 14
    corpus = releases.corpus_without_counts("iwslt14", "--pair", "en-fr")
    options = ["iwslt14", "--pair", "en-fr", "--bpe-size", "60", "--destdir", str(tmp_path / "2")]
    options += ["--archive", str(tmp_path / "2014-01.tgz")]
    assert releases.main(options, corpus=corpus) == 0
    assert lines_of(tmp_path / "2", "raw/test.fr") == results[0]


def test_wmt14_by_the_recipe(tmp_path: Path) -> None:
    releases.write_wmt14(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("wmt14", tmp_path, destdir, "--joined-dictionary") == 0
    valid = lines_of(destdir, "tok/valid.en")
    # Every 100th of europarl (0-109), commoncrawl (0-109) and news (0-109), before cleaning.
    assert [int(line.split()[0]) for line in valid] == [99, 89, 79]
    assert valid[0].startswith("99 street runs well @-@ known don &apos;t year apples it &apos;s")
    assert valid[0].endswith("s AT &amp; amp ; T in the U.S .")
    # The training text is normalized, the test set is not.
    german = [line for line in lines_of(destdir, "tok/train.de") if "ja" in line]
    assert german and all("&quot; ja &quot;" in line and "„" not in line for line in german)
    test = lines_of(destdir, "tok/test.de")
    assert any("„ ja “" in line for line in test) and any("Über @-@ Mut" in line for line in test)
    # Dropped after BPE: nothing of the dropped pairs is left on any side or in any form.
    for kind in ("raw", "tok", "bpe"):
        assert not [x for x in lines_of(destdir, f"{kind}/train.en") if "much" in x or not x]
    assert manifest_of(destdir)["stages"]["clean"]["pairs"]["train"] == 327
    assert (destdir / "bin" / "dict.de.txt").read_bytes() == (
        destdir / "bin" / "dict.en.txt"
    ).read_bytes()


def test_tokens_as_released_and_their_references(tmp_path: Path) -> None:
    releases.write_iwslt15(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("iwslt15", tmp_path, destdir) == 0
    assert lines_of(destdir, "tok/test.en")[0] == "0 dog &apos;s ."
    assert lines_of(destdir, "raw/test.en")[0] == "0 dog's."
    assert manifest_of(destdir)["references"] == "detokenized"


def test_raw_text_among_released_tokens(tmp_path: Path) -> None:
    """Only what is raw is tokenized: released tokens, even escaped ones, stay as they are."""
    releases.write_mixed(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("mixed", tmp_path, destdir) == 0
    english = lines_of(destdir, "tok/train.en")
    assert len(english) == 40 + 30 + 50
    assert english[7] == "der dog &amp; 7 ."
    assert english[40] == "number 0 is ." and english[43] == "number 1 is even ."
    assert lines_of(destdir, "tok/train.de")[40] == "die zahl 0 , fassung 0 ."
    assert lines_of(destdir, "tok/test.en") == [f"der dog &amp; {n} ." for n in range(3)]
    assert lines_of(destdir, "raw/test.en")[0] == "der dog & 0."


def test_tatoeba_is_split_by_english_sentence(tmp_path: Path) -> None:
    releases.write_tatoeba(tmp_path)
    destdir = tmp_path / "dest"
    assert releases.run("tatoeba", tmp_path, destdir, "--pair", "en-de") == 0
    english = {split: lines_of(destdir, f"raw/{split}.en") for split in ("train", "valid", "test")}
    assert sum(map(len, english.values())) == 900
    assert all(english.values()) and all(len(lines) % 3 == 0 for lines in english.values())
    keys = [{"".join(filter(str.isalnum, x)).casefold() for x in t} for t in english.values()]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


def test_the_same_text_from_an_unpacked_archive(tmp_path: Path) -> None:
    releases.write_iwslt14(tmp_path / "packed")
    with tarfile.open(tmp_path / "packed" / "de-en.tgz") as archive:
        members = [m for m in archive.getmembers() if m.name.startswith("de-en/")]
        archive.extractall(tmp_path / "plain", members=members, filter="data")
    destdirs = {"packed": tmp_path / "a", "plain": tmp_path / "b", "plain/de-en": tmp_path / "c"}
    for source, destdir in destdirs.items():
        assert releases.run("iwslt14", tmp_path / source, destdir) == 0
    contents = {(destdir / "bpe" / "train.de").read_bytes() for destdir in destdirs.values()}
    assert len(contents) == 1


def test_counts_of_the_declared_corpora() -> None:
    """Number by number what is published; the sums fit."""
    iwslt14 = releases.declared("iwslt14", "--pair", "en-de")
    assert iwslt14.counts == releases.declared("iwslt14").counts
    assert [iwslt14.expected_lines(s) for s in iwslt14.splits] == [160_239, 7_283, 6_750]
    assert iwslt14.counts.cleaned == 160_239 + 7_283 == 167_522
    assert 167_522 // 23 == 7_283
    tests = [member.expected_lines for member in iwslt14.parts["test"].members]
    assert tests == [887, 1_165, 1_565, 1_433, 1_700]
    assert iwslt14.parts["train"].members[0].expected_lines == 174_443
    assert iwslt14.recipe.clean_tokens == Limits(max_tokens=175, ratio=1.5)
    french = releases.declared("iwslt14", "--pair", "fr-en")
    assert french.counts.inferred == {"test": 887 + 1_664 + 818 + 1_124}
    sizes = {"tst2015": 1_210, "tst2010-2015": 8_597, "tst2017": 1_455}
    for name, size in sizes.items():
        iwslt17 = releases.declared("iwslt17", "--test-set", name, "--valid-set", "dev2010")
        assert iwslt17.expected_lines("test") == size
        assert iwslt17.expected_lines("valid") == 890
    wmt14 = releases.declared("wmt14", "--news-commentary", "v12")
    assert [wmt14.expected_lines(s) for s in wmt14.splits] == [3_961_179, 40_058, 3_003]
    assert (wmt14.recipe.clean_subwords, wmt14.recipe.bpe_size) == (Limits(250), 40_000)
    # With the model that its figures are of, in the closing line.
    assert (iwslt14.train_options, wmt14.train_options) == ("--size iwslt", "--size wmt")


def test_counts_of_the_release() -> None:
    for pair in CORPORA["multi30k"].pairs:
        corpus = releases.declared("multi30k", "--pair", pair)
        assert {split: corpus.split_name(split) for split in corpus.splits} == {
            "train": "train",
            "valid": "val",
            "test": "test_2016_flickr",
            "test1": "test_2017_flickr",
            "test2": "test_2017_mscoco",
        }
        assert corpus.languages == tuple(pair.split("-"))
        assert [corpus.expected_lines(split) for split in corpus.splits] == [
            29_000, 1_014, 1_000, 1_000, 461,
        ]  # fmt: skip


# Text that is here, or only taken from a folder.
WITHOUT_ADDRESS = {"iwslt14-15k", "microworld", "mixed", "own", "tatoeba"}


@pytest.mark.parametrize("name", sorted(set(CORPORA) - WITHOUT_ADDRESS))
def test_every_file_has_an_address(name: str) -> None:
    options = {"iwslt17": [["--test-set", "tst2017"]], "wmt14": [["--news-commentary", "v12"]]}
    for pair in CORPORA[name].pairs:
        for own in [[], *options.get(name, [])]:
            corpus = releases.declared(name, "--pair", pair, *own)
            known = {source.file: source for source in download.read_sources(corpus.sources)}
            for file in locate.needed_names(corpus):
                files = [route for route, _ in locate.routes(corpus, file)]
                assert not known.keys().isdisjoint(files), (pair, file)


def test_the_mixed_corpus_is_made_of_the_others() -> None:
    """The same files and counts as where they stand alone."""
    ted, mixed = releases.declared("iwslt14-15k"), releases.declared("mixed")
    tatoeba, multi30k = releases.declared("tatoeba"), releases.declared("multi30k")
    folders = {"iwslt14-de-en": ted.parts["train"], "tatoeba-de-en": tatoeba.parts["all"]}
    folders["multi30k"] = multi30k.parts["train"]
    expected = [
        (f"{folder}/{part.members[0].path}", part.members[0].expected_lines)
        for folder, part in folders.items()
    ]
    assert [(m.path, m.expected_lines) for m in mixed.parts["train"].members] == expected
    assert sum(lines or 0 for _, lines in expected) == 213_134
    for split in ("valid", "test"):
        (member,), (alone,) = mixed.parts[split].members, ted.parts[split].members
        assert member.path == f"iwslt14-de-en/{alone.path}"
        assert member.expected_lines == alone.expected_lines == mixed.expected_lines(split)


def test_merges_that_come_with_a_corpus_or_others() -> None:
    for options, codes in (([], "bpe_code"), (["--bpe", "subword-nmt"], "bpe_code")):
        assert releases.declared("iwslt14-15k", *options).recipe.codes == codes
    for options in (["--bpe-size", "9"], ["--bpe", "sentencepiece"]):
        other = releases.declared("iwslt14-15k", *options)
        assert other.recipe.codes is None and other.counts.tokens == {}


def test_the_older_way_to_choose_the_pair(capsys: pytest.CaptureFixture[str]) -> None:
    french = releases.declared("multi30k", "--pair", "en-fr", "--source-lang", "de")
    assert french.pair == "de-fr"
    both = releases.declared("multi30k", "--source-lang", "fr", "--target-lang", "en")
    assert both.languages == ("fr", "en")
    assert cli.main(["prepare", "multi30k", "--target-lang", "de", "--dry-run"]) == 1
    error = capsys.readouterr().err
    assert "expected two languages, found de twice" in error and "--source-lang" in error
