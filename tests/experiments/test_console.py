import pytest

from fairseq_labo.experiments.console import format_table, say, show_command


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
