"""Somebody's own text: where it lies, and what is done to it."""

import gzip
import random
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data import moses, steps
from fairseq_labo.experiments.data.recipe import Limits
from fairseq_labo.experiments.files import read_json, read_lines, write_lines
from tests.experiments.data import releases

SPLITS = ("train", "valid", "test")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Swahili and German, plain and gzipped; tokens that Moses would change."""
    folder = tmp_path / "text"
    folder.mkdir()
    draw = random.Random(3)
    for split, size in zip(SPLITS, (40, 4, 3), strict=True):
        numbers = [draw.randint(10, 99) for _ in range(size)]
        write_lines(folder / f"{split}.swh_Latn", (f"Mbwa\u00a0{n}, paka." for n in numbers))
        german = "".join(f"Hund {n},  Katze's «Korb»\x0c.\n" for n in numbers)
        (folder / f"{split}.de.gz").write_bytes(gzip.compress(german.encode()))
    return folder


def words(folder: Path, *options: str) -> list[str]:
    """`labo prepare own` of all three texts."""
    given = [word for split in SPLITS for word in (f"--{split}", str(folder / split))]
    dest = ["--destdir", str(folder.parent / "dest")]
    return ["prepare", "own", "--pair", "swh_Latn-de", "--bpe-size", "60", *given, *dest, *options]


@pytest.mark.usefixtures("in_process_fairseq")
def test_without_tokenizer(text: Path) -> None:
    assert cli.main(words(text, "--tokenizer", "none", "--name", "wanyama")) == 0
    dest = text.parent / "dest"
    raw, tokens = (next(read_lines(dest / kind / "test.de")) for kind in ("raw", "tok"))
    assert raw.endswith(",  Katze's «Korb»\x0c.")  # as it is, for scoring
    assert tokens == " ".join(raw.split())  # as fairseq splits it
    assert next(read_lines(dest / "tok" / "test.swh_Latn")).startswith("Mbwa ")
    manifest = read_json(dest / "manifest.json")
    assert (manifest["corpus"], manifest["tokenizer"]) == ("wanyama", "none")
    assert manifest["references"] == "released" and manifest["subwords"] == "subword-nmt"
    assert {split: entry["lines"] for split, entry in manifest["splits"].items()} == {
        "train": 40, "valid": 4, "test": 3,
    }  # fmt: skip


@pytest.mark.usefixtures("in_process_fairseq")
def test_moses_lowercase_pieces_and_two_dictionaries(text: Path) -> None:
    options = ["--lowercase", "--bpe", "sentencepiece", "--no-joined-dictionary"]
    assert cli.main(words(text, *options)) == 0
    dest = text.parent / "dest"
    assert next(read_lines(dest / "raw" / "test.de")).startswith("Hund ")
    tokens = next(read_lines(dest / "tok" / "test.de"))
    assert tokens.startswith("hund ") and tokens.endswith(" , katze &apos; s « korb » .")
    assert next(read_lines(dest / "bpe" / "test.de")).startswith("\u2581")
    manifest = read_json(dest / "manifest.json")
    assert not manifest["joined_dictionary"] and manifest["lowercase"]
    assert manifest["corpus"] == "own"


@pytest.mark.usefixtures("in_process_fairseq")
def test_a_region_has_the_rules_of_its_language(tmp_path: Path) -> None:
    """What was prepared without them is prepared again."""
    for split in SPLITS:
        write_lines(tmp_path / f"{split}.fr_FR", [f"L'homme n'est pas {split}."] * 9)
        write_lines(tmp_path / f"{split}.en_US", [f"Don't touch Tom's {split}."] * 9)
    command = [word if word != "swh_Latn-de" else "fr_FR-en_US" for word in words(tmp_path)]
    command[command.index("--destdir") + 1] = str(tmp_path / "dest")
    with pytest.MonkeyPatch.context() as patch:
        for module in (moses, steps):
            patch.setattr(module, "short_code", lambda language: language)
        assert cli.main(command) == 0
    for rules in ("general", "own"):
        tokens = [next(read_lines(tmp_path / "dest/tok" / f"test.{x}")) for x in ("fr_FR", "en_US")]
        assert (tokens[1] == "Don &apos;t touch Tom &apos;s test .") == (rules == "own")
        assert (tokens[0] == "L&apos; homme n&apos; est pas test .") == (rules == "own")
        assert cli.main(command) == 0


@pytest.mark.usefixtures("in_process_fairseq")
def test_other_text_in_the_same_folder(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two texts of one pair have the same default folder."""
    said = f"{text.parent / 'dest'}: replaced: raw/ holds other text than before"
    assert cli.main(words(text)) == 0 and cli.main([*words(text), "--bpe-size", "50"]) == 0
    assert said not in capsys.readouterr().out
    (text.parent / "dest" / "work" / "text" / "test.de").unlink()  # made again, as it was
    assert cli.main(words(text)) == 0 and said not in capsys.readouterr().out
    write_lines(text / "test.de", ["Ein anderer Hund."] * 3)
    assert cli.main([*words(text), "--force"]) == 0
    assert said in capsys.readouterr().out


@pytest.mark.usefixtures("in_process_fairseq")
def test_subwords_are_no_words(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(text / "valid.swh_Latn", ["Mb@@ wa 10", *["Mbwa"] * 3])
    assert cli.main(words(text, "--tokenizer", "none")) == 1
    assert "expected words, found 'Mb@@', which reads as a subword" in capsys.readouterr().err
    assert cli.main(words(text)) == 0  # Moses parts the mark from its word
    write_lines(text / "valid.swh_Latn", ["Mb@@ wa 10", "Mb@@ wa", *["a@@ b"] * 2])
    assert cli.main([*words(text), "--bpe", "sentencepiece"]) == 1
    assert "subwords of subword-nmt in 4 of 4 lines" in capsys.readouterr().err


@pytest.mark.usefixtures("in_process_fairseq")
def test_split_of_one_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs that cleaning drops, and sentences that occur again, are in neither set."""
    german = [f"Satz Nummer {number} ." for number in range(40)] + ["Noch einer ."] * 10
    english = [f"Sentence number {number} ." for number in range(50)]
    german += ["sehr " * 30, "eins"]
    english += ["very " * 30, "one two three"]
    write_lines(tmp_path / "all.de", german)
    write_lines(tmp_path / "all.en", english)
    options = ["prepare", "own", "--pair", "de-en", "--bpe-size", "20", "--split", "20"]
    options += ["--train", str(tmp_path / "all"), "--clean", "--max-tokens", "20"]
    dest = tmp_path / "dest"
    assert cli.main([*options, "--destdir", str(dest)]) == 0
    assert "training text: 52 pairs extracted, 50 after cleaning" in capsys.readouterr().out
    pairs = {
        split: list(
            zip(*(read_lines(dest / "raw" / f"{split}.{x}") for x in ("de", "en")), strict=True)
        )
        for split in SPLITS
    }
    assert {split: len(found) for split, found in pairs.items()} == {
        "train": 10, "valid": 20, "test": 20,
    }  # fmt: skip
    assert {german for german, _ in pairs["train"]} == {"Noch einer ."}
    whole = list(zip(german, english, strict=True))
    assert sorted(pair for found in pairs.values() for pair in found) == sorted(whole[:50])
    options[options.index("--split") + 1] = "21"
    assert cli.main([*options, "--destdir", str(tmp_path / "other")]) == 1
    assert "--split: expected 42 pairs" in capsys.readouterr().err


def test_limits() -> None:
    def limits(*options: str) -> Limits | None:
        return releases.declared(
            "own", "--pair", "de-en", "--train", str(here), "--split", "5", *options
        ).recipe.clean_tokens

    here = Path(__file__).parent / "some"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_file", lambda path: True)
        assert limits() is None
        assert limits("--clean") == Limits(max_tokens=175, ratio=1.5)
        assert limits("--clean", "--ratio", "9") == Limits(max_tokens=175, ratio=9)
        assert limits("--clean", "--max-tokens", "1") == Limits(max_tokens=1, ratio=1.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "nowhere"], "--train nowhere: expected a file nowhere.swh_Latn or "),
        (["--test", "no"], "--test no: expected a file no.swh_Latn or no.swh_Latn.gz, found"),
        (["--split", "2"], "--split: expected no --valid and --test"),
        (["--pair", "de-de"], "expected two languages, found de twice"),
        (["--ratio", "2"], "--max-tokens and --ratio: expected --clean with them"),
        (["--clean", "--ratio", "0.5"], "--ratio: expected a number of at least 1, found 0.5"),
        (["--clean", "--ratio", "nan"], "--ratio: expected a number of at least 1, found nan"),
    ],
)
def test_refused(
    text: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words(text, *options)) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (text.parent / "dest").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pair", "deen"], "--pair: expected two languages as in de-en"),
        (["--pair", "zh-CN-en"], "--pair: expected two languages as in de-en"),
        (["--split", "0"], "--split: expected a number of at least 1, found '0'"),
        (["--max-tokens", "0"], "--max-tokens: expected a number of at least 1, found '0'"),
        (["--name", "../x"], "--name: expected a name of letters"),
        (["--source-dir", "x"], "unrecognized arguments: --source-dir x"),
    ],
)
def test_wrong_words(
    text: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words(text, *options))
    assert caught.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--valid", "x"], ["--test", "x"]])
def test_valid_and_test_or_split(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", "own", "--pair", "de-en", "--train", "x", *given]) == 1
    assert "or --split N to take N pairs each of the training text" in capsys.readouterr().err


def test_sides_of_unequal_length(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(text / "valid.swh_Latn", ["moja"])
    assert cli.main(words(text)) == 1
    valid = text / "valid"
    assert (
        f"expected as many lines in {valid}.swh_Latn as in {valid}.de.gz, found 1 and 4: "
        f"{valid}.de.gz, line 2 has no partner"
    ) in capsys.readouterr().err


def test_braces_and_spaces_in_a_path(text: Path) -> None:
    odd = text.rename(text.parent / "my {text} {0}")
    assert cli.main(words(odd, "--dry-run")) == 0
