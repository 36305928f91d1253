"""What is made of results: rows, a table and a picture, by hand."""

import math
import sys
from pathlib import Path

import pytest

from benchmarks.loss_report import make_row, plot, table
from tests.benchmarks.rows import row_of


def test_rows_by_hand() -> None:
    row = {"provider": "x", "device": "cpu", "dtype": "bf16", "num_tokens": 10, "vocab_size": 100}
    row |= {"hidden_dim": None, "beta": None, "upstream": 1.0, "mode": "both"}
    report = {"status": "ok", "peak_mib_beyond_logits": 7.0}
    report |= {"max_error": math.nan, "error_over_eager": 1.0}
    made = make_row(row, report, [4.0, 1.0, 2.0, 3.0, 5.0, 6.0], bytes_per_ms=10_000.0)
    assert (made["p20_ms"], made["p50_ms"], made["p80_ms"]) == (2.0, 3.5, 5.0)
    # 3 passes over 2000 bytes in 3.5 ms, of 35 kB that a copy would have moved.
    assert made["share_of_copy_bandwidth"] == pytest.approx(6000 / 35_000)
    assert made["max_error"] == "nan" and made["peak_mib_beyond_logits"] == 7.0
    fairseq = {**made, "provider": "fairseq", "p50_ms": 7.0}
    assert "2.00" in table([fairseq, made]).splitlines()[-1]


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = {"settings": {"upstream": [1.0]}, "machine": {"device": "none", "commit": None}}
    rows = [row_of("fairseq"), row_of("labo-triton", beta="2"), row_of("apex", p50_ms=None)]
    plot(results | {"rows": rows}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RuntimeError, match="expected matplotlib, found none; install it"):
        plot({"rows": []}, tmp_path / "plot.png")
