"""Preparation: what is odd in a text is said, what is damaged or edited is made again."""

import contextlib
import gzip
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fairseq.data import Dictionary, LanguagePairDataset, data_utils

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, read_lines, sealed, write_json, write_lines
from tests.conftest import preprocessing_in_process
from tests.experiments.data import broken, releases
from tests.faults.preparations import SIZES, content, words, write_text

MARK = "\ufeff"
pytestmark = pytest.mark.usefixtures("in_process_fairseq")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("source") / "text")


@pytest.fixture(scope="module")
def made(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That text, prepared; not to be changed."""
    destdir = tmp_path_factory.mktemp("made") / "own"
    with preprocessing_in_process():
        assert cli.main(words(text, destdir)) == 0
    return destdir


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_byte_order_marks(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Removed and said; the text is then as without."""

    def change(name: str, lines: list[str]) -> None:
        if name in ("train.de", "test.en"):
            lines[0] = MARK + lines[0]
        if name == "test.de":
            lines[2] += MARK  # no byte order mark, so it stays

    source = write_text(tmp_path / "text", change)
    (source / "test.en.gz").write_bytes(gzip.compress((source / "test.en").read_bytes()))
    (source / "test.en").unlink()
    destdir = tmp_path / "dest"
    assert cli.main(words(source, destdir)) == 0
    for name in ("raw/train.de", "tok/train.de", "raw/test.en", "tok/test.en"):
        assert (destdir / name).read_bytes() == (made / name).read_bytes(), name
    assert list(read_lines(destdir / "raw" / "test.de"))[2].endswith(MARK)
    notes = [
        f"{source / name}, line 1: a byte order mark, removed"
        for name in ("train.de", "test.en.gz")
    ]
    assert read_json(destdir / "manifest.json")["stages"]["extract"]["notes"] == notes
    assert "\n".join(f"text: {note}" for note in notes) in capsys.readouterr().out


def test_byte_order_mark_of_references(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "bin", tmp_path / "bin")
    lines = list(read_lines(made / "raw" / "test.en"))
    write_lines(tmp_path / "references", [MARK + lines[0], *lines[1:]])
    given = Given(references={"test": tmp_path / "references"})
    assert PreparedCorpus.read(tmp_path, given).raw("test", "en") == lines


def test_pairs_with_an_empty_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dropped from the training text; elsewhere every line stays in its place."""

    def change(name: str, lines: list[str]) -> None:
        if name == "train.de":
            lines[3], lines[9] = "", " \u2028\x0c"
        if name in ("train.en", "valid.en", "valid.de"):
            lines[5] = ""
        if name == "test.en":
            lines[1] = "\t"

    destdir = tmp_path / "dest"
    assert cli.main(words(write_text(tmp_path / "text", change), destdir)) == 0
    printed = capsys.readouterr().out
    assert "pairs with an empty side: training text 3, dropped (line 4, 6, 10)\n" in printed
    kept = "kept, so that no other line moves"
    assert f"pairs with an empty side: valid 1, {kept} (line 6)\n" in printed
    assert f"pairs with an empty side: test 1, {kept} (line 2)\n" in printed
    manifest = read_json(destdir / "manifest.json")
    assert manifest["stages"]["clean"]["empty"] == {"train": [4, 6, 10], "valid": [6], "test": [2]}
    lines = {split: entry["lines"] for split, entry in manifest["splits"].items()}
    assert lines == SIZES | {"train": 57}
    for kind in ("raw", "tok", "bpe"):
        german, english = (list(read_lines(destdir / kind / f"train.{x}")) for x in ("de", "en"))
        assert len(german) == len(english) == 57 and all(german) and all(english)
    for german, english in zip(
        *(read_lines(destdir / "raw" / f"train.{lang}") for lang in ("de", "en")), strict=True
    ):
        assert german.split()[3] == english.split()[3]  # still the same sentence
    assert list(read_lines(destdir / "raw" / "test.en"))[1] == "\t"


def test_empty_sides_of_a_text_that_is_divided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    releases.write_tatoeba(folder, size=300)
    german = list(read_lines(folder / "all.de.gz"))
    german[::10] = [""] * 30
    releases.write_files(folder, {"all.de.gz": german})
    assert releases.run("tatoeba", folder, tmp_path / "dest") == 0
    first = ", ".join(str(number) for number in range(1, 72, 10))
    expected = f"training text 30, dropped (line {first}, and 22 more, in the manifest)"
    assert f"pairs with an empty side: {expected}\n" in capsys.readouterr().out
    for split in SIZES:
        assert all(read_lines(tmp_path / "dest" / "raw" / f"{split}.de")), split


def test_cleaning_after_bpe_still_divides_as_the_recipe_does(tmp_path: Path) -> None:
    """WMT'14's every 100th line is counted with the empty ones, which the cleaning then drops."""
    folder = tmp_path / "release"
    releases.write_wmt14(folder)
    assert releases.run("wmt14", folder, tmp_path / "dest") == 0
    manifest = read_json(tmp_path / "dest" / "manifest.json")
    assert sum(manifest["stages"]["clean"]["pairs"][split] for split in ("train", "valid")) == 330
    assert len(manifest["stages"]["clean"]["empty"]["train"]) == 2
    assert all(read_lines(tmp_path / "dest" / "raw" / "train.de"))


def test_lines_that_fairseq_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,023 subwords and the end of sentence are taken, one more is not: in every split."""

    def change(name: str, lines: list[str]) -> None:
        lines[1] = lines[4] = " ".join(["x"] * 1023)
        if name in ("train.de", "valid.en", "test.de"):
            lines[4] += " x"

    destdir = tmp_path / "dest"
    source = write_text(tmp_path / "text", change)
    assert cli.main(words(source, destdir, "--tokenizer", "none")) == 0
    printed = capsys.readouterr().out
    splits = read_json(destdir / "manifest.json")["splits"]
    found = {"train": {"de": [5]}, "valid": {"en": [5]}, "test": {"de": [5]}}
    assert {split: entry["too_long"] for split, entry in splits.items()} == found
    for side in ("train.de", "valid.en", "test.de"):
        assert f"1,024 subwords or more: raw/{side} 1 (line 5)\n" in printed
    assert "--max-source-positions" in printed
    for split, entry in splits.items():  # fairseq's own filter, with its own limit
        sides: list[Any] = []
        for lang in ("de", "en"):
            data = data_utils.load_indexed_dataset(str(destdir / f"bin/{split}.de-en.{lang}"))
            symbols = Dictionary.load(str(destdir / "bin" / f"dict.{lang}.txt"))
            sides += [data, data.sizes, symbols]
        pairs = LanguagePairDataset(*sides)
        _, ignored = pairs.filter_indices_by_size(pairs.ordered_indices(), (1024, 1024))
        (expected,) = entry["too_long"].values()
        assert [number + 1 for number in ignored] == expected


@pytest.mark.parametrize("side", ["de", "en"])
def test_a_tag_within_a_sentence(
    side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    releases.write_iwslt14(folder)
    member = f"de-en/train.tags.de-en.{side}"

    def add(data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines[20] = b"This <url> is a word here ."
        return b"\n".join(lines)

    broken.change_member(folder / "de-en.tgz", member, add)
    error = broken.refused("iwslt14", folder, capsys)
    assert f"{member}, line 21: expected a sentence, as in de-en/train.tags." in error
    assert "found a sentence with <url> in it, dropped as metadata" in error
    other = f"de-en/train.tags.de-en.{'en' if side == 'de' else 'de'}"
    broken.change_member(folder / "de-en.tgz", other, add)
    assert releases.run("iwslt14", folder, tmp_path / "dest") == 0  # as by fairseq's recipe
    printed = capsys.readouterr().out
    assert printed.count("line 21: a sentence with <url> in it, dropped as metadata") == 2


def test_a_file_without_line_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_text(tmp_path / "text")
    (source / "train.de").write_bytes(b"ein Wort " * 200_000)
    assert cli.main(words(source, tmp_path / "dest")) == 1
    error = capsys.readouterr().err
    assert "train.de, line 1: expected one sentence, found over 1,048,576 bytes without" in error


@pytest.mark.parametrize("name", ["a,b", "a b", "ü'\"$x", "-x", "%s{0}\\n", "line\nbreak"])
def test_folders_with_odd_names(name: str, text: Path, made: Path, tmp_path: Path) -> None:
    """A comma, which fairseq takes for a list, once ended it after all other stages."""
    destdir = tmp_path / name / name
    given = words(text, destdir)
    assert cli.main([*given, "--dry-run"]) == 0
    assert cli.main(given) == 0
    assert content(destdir) == content(made)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a:b", "expected a path without a colon"),
        ("a${b}", "expected a path without ${"),
        ("file", "expected a folder, found"),
        ("file/below", "expected a folder, found"),
        ("full", "expected an empty folder, none"),
        ("x" * 300, "File name too long"),
        ("dangling", "expected a folder, found"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_folders_that_are_refused_at_once(
    name: str,
    message: str,
    options: list[str],
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine", encoding="utf-8")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = content(tmp_path)
    assert cli.main(words(text, tmp_path / name, *options)) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and message in captured.err
    assert content(tmp_path) == before and captured.out == ""


EDITS: dict[str, Callable[[Path], object]] = {
    "not JSON": lambda path: path.write_text("{", encoding="utf-8"),
    "empty": lambda path: path.write_text("", encoding="utf-8"),
    "bytes": lambda path: path.write_bytes(b"\xff\x00"),
    "a list": lambda path: path.write_text("[1]", encoding="utf-8"),
    "too deep": lambda path: path.write_text("[" * 100_000, encoding="utf-8"),
    "without counts": lambda path: _edit(path, lambda stage: stage.pop("counts", None)),
    "other counts": lambda path: _edit(path, lambda stage: stage.update(counts={"pairs": "many"})),
    "stages of a wrong kind": lambda path: _edit(path, lambda stage: stage.clear()),
    "no file": lambda path: path.unlink(),
}


def _edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    records = read_json(path)
    for value in records.values():
        if isinstance(value, dict):
            change(value)
    write_json(path, records)


@pytest.mark.parametrize("name", ["work/stages.json", "manifest.json"])
@pytest.mark.parametrize("edit", EDITS)
def test_records_that_are_damaged_or_edited(
    name: str, edit: str, text: Path, made: Path, copy: Path
) -> None:
    """They are made again: no traceback, and nothing believed that was not written here."""
    (copy / ".unfinished").touch()  # without it, a folder whose manifest is gone is nobody's
    EDITS[edit](copy / name)
    assert cli.main(words(text, copy)) == 0
    (copy / ".unfinished").unlink(missing_ok=True)
    assert content(copy) == content(made)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("joined_dictionary", "no", r"'joined_dictionary' \(bool\), found 'no'"),
        ("subwords", "wordpiece", "one of subword-nmt, sentencepiece, none"),
        ("subwords", None, r"'subwords' \(str\), found None"),
        ("tokenizer", ["moses"], r"'tokenizer' \(str\)"),
        ("lowercase", 1, r"'lowercase' \(bool\)"),
        ("settings", [], r"'settings' \(dict\)"),
        ("raw_sha256", "x", r"'raw_sha256' \(dict\)"),
        ("raw_sha256", {"test.en": 7}, "digests in 'raw_sha256', found 7"),
        ("source_lang", "../../etc", "languages and splits of letters, digits and _"),
        ("target_lang", "", "languages and splits of letters, digits and _"),
        ("splits", {"../x": {}}, "languages and splits of letters, digits and _"),
        ("source_lang", "\x1b[2J", r"found '\\x1b\[2J'"),
    ],
)
def test_manifests_edited_by_hand(entry: str, value: object, message: str, copy: Path) -> None:
    manifest = read_json(copy / "manifest.json")
    write_json(copy / "manifest.json", sealed(manifest | {entry: value}))
    with pytest.raises(UserError, match=rf"manifest\.json: expected .*{message}"):
        print(PreparedCorpus.read(copy).subwords)


def test_control_characters_of_a_text_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "\x1b[2J\u202e"
    odd.mkdir()

    def change(name: str, lines: list[str]) -> None:
        lines[0] += " \x1b]0;title\x07 \x9b31m \u202e"

    source = write_text(odd / "te\x1b[31mxt", change)
    for split in SIZES:
        for lang in ("de", "en"):
            (source / f"{split}.{lang}").rename(source / f"\x1b[5m{split}.{lang}")
    given = [word.replace("text/", "text/\x1b[5m") for word in words(source, odd / "dest")]
    given = [
        str(source / f"\x1b[5m{Path(word).name}") if word.startswith(str(source)) else word
        for word in given
    ]
    for options in (["--dry-run"], [], ["--train", str(source / "absent")]):
        cli.main([*given, *options])
        captured = capsys.readouterr()
        assert (captured.out + captured.err).replace("\n", "").isprintable()
    assert "\x1b]0;title" in (odd / "dest" / "raw" / "test.en").read_text(encoding="utf-8")


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_in_every_writer(
    text: Path, made: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing, and over a finished folder: what is there stays, and the next run goes on."""
    before, stopped = content(made), set()
    for size in (200, 700, 1_200, 2_500, 4_000, 5_500, 7_000):
        fresh = tmp_path / f"fresh{size}"
        for destdir, options in ((fresh, []), (copy, ["--force"])):
            with largest_file(size):
                status = cli.main(words(text, destdir, *options))
            captured = capsys.readouterr()
            assert status == 1 and "Traceback" not in captured.err
            assert captured.err.startswith("error: ") and "File too large" in captured.err
            assert not list(destdir.rglob("*.part*")) and not list(destdir.rglob("*.tmp"))
            found = content(destdir)
            stopped.add(len(found))
            changed = {name for name in found if found[name] != before.get(name)}
            assert changed <= {".unfinished", "work/stages.json"}, size
        assert before.keys() - content(copy).keys() <= {"manifest.json"}
        assert cli.main(words(text, fresh)) == 0
        assert content(fresh) == before
    assert len(stopped) >= 4  # so many different moments
    assert cli.main(words(text, copy)) == 0
    assert content(copy) == before
