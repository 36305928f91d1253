import pytest

from fairseq_labo.experiments.console import format_table, printable, say, show_command


def test_table_is_aligned_and_leaves_numbers_as_they_are_written() -> None:
    rows = [["split", "name", "lines"], ["a", "x", "1,000"], ["test12", "", "7.10"]]
    assert format_table(rows, left_columns=2).split("\n") == [
        "split    name      lines",
        "a        x         1,000",
        "test12              7.10",
    ]


def test_table_of_a_header_alone() -> None:
    assert format_table([["a", "b"]], left_columns=1).split() == ["a", "b"]


def test_commands_are_shown_as_a_shell_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_command(["a b", "--x", "it's"])
    say("done")
    captured = capsys.readouterr()
    assert captured.err == "+ 'a b' --x 'it'\"'\"'s'\ndone\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc é 漢 — \\", "a\tb\nc é 漢 — \\"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\x00\x7f\x9b2J", r"a\rb\x00\x7f\x9b2J"),
        ("\u202eabc\u2066\u200f\u2028", r"\u202eabc\u2066\u200f\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_are_shown_and_do_nothing(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In what is said, in commands and in tables; as an escape they stay as they are."""
    assert printable(text) == printable(shown) == shown
    say(text)
    assert capsys.readouterr().err == f"{shown}\n"
    assert format_table([["a"], [text.strip("\n")]], left_columns=1).split("\n", 1)[1] == shown
