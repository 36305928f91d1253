"""Preparation: folders are refused or taken, what is damaged or edited in them is made again."""

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, sealed, write_json
from tests.faults.preparations import content, words
from tests.faults.preparations import copy as copy  # the fixtures
from tests.faults.preparations import made as made
from tests.faults.preparations import text as text

pytestmark = pytest.mark.usefixtures("in_process_fairseq")


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
