"""The command that measures the stages."""

from pathlib import Path

import pytest

from benchmarks import preparation as measure
from fairseq_labo.experiments.data.stages import Seconds
from fairseq_labo.experiments.files import read_lines, write_lines
from tests.experiments.data import releases


def test_projection_is_linear_but_for_learning() -> None:
    table = measure.report(
        {"tokenize": Seconds(9.0, 12.0), "learn BPE": Seconds(5.0, 5.0)}, lines=200_000
    )
    rows = [line.split() for line in table.split("\n")]
    # 9,041,240 lines are 45.2 times as many: 12 s become 542 s.
    assert rows[1] == ["tokenize", "9.0", "12.0", "16,667", "9.0"]
    assert rows[2] == ["learn", "BPE", "5.0", "5.0", "40,000", "-"]
    assert rows[3][-1] == "9.0"


@pytest.mark.usefixtures("in_process_fairseq")
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for lang in ("de", "en"):
        write_lines(tmp_path / lang, releases.numbered(lang, 90))
    arguments = [f"--{lang}={tmp_path / lang}" for lang in ("de", "en")]
    measure.main([*arguments, "--destdir", str(tmp_path / "out"), "--lines", "400"])
    printed = capsys.readouterr().out
    assert "all but learning BPE" in printed and "binarize" in printed
    lines = list(read_lines(tmp_path / "out" / "text" / "train.de"))
    assert len(lines) == 200 and lines[0].startswith("0 ") and " 1 " in lines[0]
