"""The closing table, and the command that it names."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import summary
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.files import write_json

MANIFEST: dict[str, Any] = {
    "corpus": "tiny",
    "source_lang": "de",
    "target_lang": "en",
    "note": "",
    "train_options": "--size iwslt",
    "splits": {
        "train": {
            "name": "text",
            "lines": 1_000,
            "expected_lines": None,
            "bpe_tokens": {"de": 9_000, "en": 8_000},
            "unknown_tokens": {"de": 9, "en": 0},
            "too_long": {},
        }
    },
    "subwords": "subword-nmt",
    "bpe_merges": 50,
    "bpe_merges_learned": 40,
    "joined_dictionary": True,
    "vocabulary_size": 60,
    "vocabulary": {"de": 70, "en": 60},
    "expected": {
        "tokens": {"train.en": 9_000},
        "dictionary": {"de": 71, "en": 61},
        "cleaned": 1_500,
        "inferred_lines": {"train": 1_001},
    },
    "settings": {"clean_tokens": None, "clean_subwords": None},
    "stages": {
        "extract": {"pairs": {"train": 2_000}, "notes": []},
        "clean": {"pairs": {"cleaned": 1_500, "train": 1_400, "valid": 100}, "empty": {}},
        "select": {"pairs": {"train": 1_390, "valid": 99}},
    },
}


def corpus(**changes: Any) -> PreparedCorpus:
    manifest = MANIFEST | changes
    folder = Path("a b")
    return PreparedCorpus(folder, folder / "bin", "tiny", ("de", "en"), {}, manifest)


def test_table() -> None:
    lines = summary.summary(corpus()).split("\n")
    assert lines[1].split() == ["train", "text", "de", "1,000", "~1,001", "10,000", "-", "0.100%"]
    assert lines[2].split() == ["en", "1,000", "~1,001", "9,000", "9,000", "0.000%"]
    assert lines[4] == "vocabulary: 60 symbols, joined; BPE merges: 40 of 50"
    assert len(lines) == 6


def test_what_cleaning_left_and_two_dictionaries() -> None:
    settings = {"clean_tokens": {"ratio": 2}, "clean_subwords": {"ratio": 2}}
    made = corpus(settings=settings, joined_dictionary=False, note="so", subwords="sentencepiece")
    assert summary.summary(made).split("\n")[4:8] == [
        "training text: 2,000 pairs extracted, 1,500 after cleaning (expected 1,500)",
        "cleaning after BPE: train 1,400 to 1,390, valid 100 to 99 pairs",
        "vocabulary: de 70 symbols, en 60 symbols (expected de 71, en 61); BPE pieces: 40 of 50",
        "note: so",
    ]


def test_next_command_keeps_fairseqs_options_last() -> None:
    line = summary.next_command(corpus())
    assert line == (
        "next: labo train --data 'a b' --save-dir runs/tiny --criterion labo_cross_entropy "
        "--size iwslt"
    )
    options = cli.parse(shlex.split(line)[2:])
    assert (options.data, options.criterion) == (Path("a b"), "labo_cross_entropy")
    line = summary.next_command(corpus(train_options="-- --arch x"))
    assert line.endswith("--criterion labo_cross_entropy -- --arch x")
    assert cli.parse(shlex.split(line)[2:]).passed_on == ["--arch", "x"]
    assert summary.next_command(corpus(train_options="")).endswith(" labo_cross_entropy")


@pytest.mark.parametrize(
    ("manifest", "expected", "absent"),
    [
        ({}, "--share-all-embeddings", "--share-decoder"),
        ({"joined_dictionary": True}, "--share-all-embeddings", "--share-decoder"),
        ({"joined_dictionary": False}, "--share-decoder-input-output-embed", "--share-all"),
    ],
)
def test_next_command_shares_embeddings_as_the_dictionaries_are(
    tmp_path: Path,
    manifest: dict[str, bool],
    expected: str,
    absent: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    languages = {name: MANIFEST[name] for name in ("corpus", "source_lang", "target_lang")}
    (tmp_path / "data" / "bin").mkdir(parents=True)
    write_json(tmp_path / "data" / "manifest.json", languages | {"splits": {}} | manifest)
    made = dataclasses.replace(corpus(train_options=""), folder=tmp_path / "data")
    words = shlex.split(summary.next_command(made))[2:]
    words[words.index("--save-dir") + 1] = str(tmp_path / "run")
    assert cli.main([*words, "--dry-run"]) == 0
    printed = "".join(capfd.readouterr())
    assert expected in printed and absent not in printed


@pytest.mark.parametrize(
    ("tokenizer", "language", "said"),
    [("moses", "th", 1), ("none", "th_TH", 0), ("moses", "de", 0)],
)
def test_moses_and_a_language_without_spaces(tokenizer: str, language: str, said: int) -> None:
    manifest = {"tokenizer": tokenizer, "target_lang": language}
    made = dataclasses.replace(corpus(**manifest), languages=("en", language))
    lines = [
        line for line in summary._unspaced(made) if line.startswith("note: Thai has no spaces")
    ]
    assert len(lines) == said and all("--tokenizer none keeps the text" in line for line in lines)


@pytest.mark.parametrize(("selected", "where"), [(100, " (line 3, 7)"), (99, "")])
def test_pairs_that_stand_in_train_too(selected: int, where: str) -> None:
    """Their lines are told where none of the split was dropped since they were counted."""
    stages = {**MANIFEST["stages"], "select": {"pairs": {"train": 1_390, "valid": selected}}}
    stages["clean"] = {**stages["clean"], "in_train": {"valid": [3, 7]}}
    lines = summary.summary(corpus(stages=stages)).split("\n")
    assert f"valid: 2 of 100 pairs stand in train, too{where}" in lines
