import argparse
import ast
import errno
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fairseq_labo
from fairseq_labo.experiments import cli
from fairseq_labo.experiments.errors import UserError
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "-h"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: labo {name} ")
    assert ("stands behind --" in text) == bool(cli.COMMANDS[name].passes_on)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    """Help, and whatever is wrong with the options, comes at once."""
    program = (
        "import sys\nfrom fairseq_labo.experiments import cli\n"
        f"cli.parser_of({name!r})\n"
        "heavy = {'torch', 'fairseq', 'matplotlib', 'sacrebleu', 'pydantic', 'sacremoses'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^  (\w+) ", text, flags=re.MULTILINE) == list(cli.COMMANDS)
    assert cli.main([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    version = importlib.metadata.version("fairseq_labo")
    assert capsys.readouterr().out == f"fairseq_labo {version}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "error: expected a command (prepare, train, "),
        (["train", "--data"], "error: argument --data: expected one argument; see labo train -h"),
        (["train", "--dat", "x"], "see labo train -h"),
        (["compare", "x", "--output", "y", "--", "--lr"], "expected nothing behind --, found --lr"),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = cli.main(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    error = capsys.readouterr().err
    assert status == 2 and message in error
    assert error.count("\n") == 1


def test_what_stands_behind_the_dashes_is_passed_on() -> None:
    options = cli.parse(["train", "--data", "d", "--save-dir", "s", "--", "--lr", "1", "--", "-x"])
    assert options.passed_on == ["--lr", "1", "--", "-x"]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("expected this, found that"), 1, "error: expected this, found that\n"),
        (
            ModuleNotFoundError("no", name="sacrebleu.metrics"),
            1,
            "pip install 'fairseq_labo[eval]'",
        ),
        (ModuleNotFoundError("no", name="fairseq_cli"), 1, "pip install 'fairseq_labo[fairseq]'"),
        (
            OSError(errno.ENOSPC, "No space left on device", "f"),
            1,
            "No space left on device: 'f'; what is complete is kept: free some space, and run",
        ),
        (OSError(errno.EIO, "Input/output error"), 1, "kept: mend it, and run the command again"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_end_without_a_traceback(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(words: object) -> None:
        raise error

    monkeypatch.setattr(cli, "parse", fail)
    assert cli.main(["train"]) == status
    assert message in capsys.readouterr().err


def test_a_missing_module_of_ours_is_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: object) -> None:
        raise ModuleNotFoundError("no", name="fairseq_labo.typo")

    monkeypatch.setattr(cli, "parse", fail)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["train"])


def test_every_extra_that_is_named_exists() -> None:
    declared = importlib.metadata.metadata("fairseq_labo").get_all("Provides-Extra") or []
    assert set(cli.EXTRAS.values()) < {*declared}


def test_every_module_of_others_has_its_extra() -> None:
    """What any file of the package imports, within functions, too."""
    imported: set[str] = set()
    for path in Path(fairseq_labo.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    plugin = {"fairseq_labo", "torch", "numpy", "triton"}
    assert imported - {*sys.stdlib_module_names} - plugin <= cli.EXTRAS.keys()


def test_no_value_is_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse of Python 3.11 and 3.12 makes an empty list of ``--data=--``."""
    with pytest.raises(SystemExit):
        cli.main(["train", "--data=--", "--save-dir", "s"])
    assert "argument --data: expected a value, found --" in capsys.readouterr().err


def test_no_control_character_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["demo", "\x1b[2J\nx"])
    assert capsys.readouterr().err == (
        "error: unrecognized arguments: \\x1b[2J\\nx; see labo demo -h\n"
    )
    assert cli.main(["compare", "\x1b]0;x\x07", "--output", "o"]) == 1
    assert "\\x1b]0;x\\x07: expected a study file" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_terminal_will_do(encoding: str, tmp_path: Path) -> None:
    """What its encoding lacks is shown as an escape, in messages and in results."""
    words = ["prepare", "own", "--pair", "de-en", "--name", "ü", "--dry-run", "--destdir", "Œü"]
    for split in ("train", "valid", "test"):
        words += [f"--{split}", str(tmp_path / "ü€")]
    command = [sys.executable, "-m", "fairseq_labo.experiments.cli", *words]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": encoding}
    for status in (1, 0):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment)
        shown = (done.stderr if status else done.stdout).decode(encoding)
        assert (done.returncode, "\\u20ac" in shown) == (status, True), done.stderr
        for language in ("de", "en"):
            (tmp_path / f"ü€.{language}").write_text("a b\n")


def test_a_byte_that_is_no_text(capfd: pytest.CaptureFixture[str]) -> None:
    """A file's name in another encoding; it could stand in no record."""
    assert cli.main(["train", "--data", "\udcfc", "--save-dir", "s"]) == 2
    assert capfd.readouterr().err == "error: expected UTF-8, found '\\udcfc'; rename the file\n"


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(words: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cli, "parse", fail)
    assert cli.main(["train"]) == 1
    assert capsys.readouterr().err.startswith("error: out of memory")


def test_a_bug_shows_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: object) -> None:
        raise RecursionError

    monkeypatch.setattr(cli, "parse", fail)
    with pytest.raises(RecursionError):
        cli.main(["train"])


def test_the_home_folder_behind_an_equals_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which a shell does not expand there; other tildes are names."""
    monkeypatch.setenv("HOME", "/home/me")
    options = cli.parse(["evaluate", "--data=~/data", "--checkpoint", "~x/a~/c.pt"])
    assert options.data == Path("/home/me/data") and options.checkpoint == Path("~x/a~/c.pt")
    monkeypatch.setenv("HOME", "/")  # a container's, maybe
    assert cli.parse(["evaluate", "--data=~/a", "--checkpoint", "c.pt"]).data == Path("/a")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_an_empty_path_is_not_the_current_folder(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a variable that is not set; of every option that takes a path."""
    parser: argparse.ArgumentParser = cli.parser_of(name)
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    parsers = [parser, *(each for action in nested for each in action.choices.values())]
    paths = [(each, action) for each in parsers for action in each._actions if action.type is Path]
    assert paths
    for each, action in paths:
        with pytest.raises(SystemExit):
            each.parse_args([action.option_strings[0], ""])
        assert "expected a path, found an empty text" in capsys.readouterr().err
