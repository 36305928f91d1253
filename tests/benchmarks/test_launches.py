"""Launches of a criterion's step, without a GPU: few, and those that are counted are all."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import launches
from tests.conftest import REPOSITORY

SMOOTHED = "label_smoothed_cross_entropy"


@pytest.mark.slow
def test_a_step_of_ours_launches_a_third_of_fairseqs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both kernels once each; the published counts are today's."""
    output = tmp_path / "launches.json"
    launches.main(["--output", str(output)])
    rows = {row["criterion"]: row for row in json.loads(output.read_text("utf-8"))["rows"]}
    base = rows.pop(SMOOTHED)
    assert set(rows) == {"labo_cross_entropy", "tsla_cross_entropy"}
    for row in rows.values():
        assert row["forward_kernel"] == row["backward_kernel"] == 1
        assert row["launches"] <= 8 and 3 * row["launches"] <= base["launches"], row
        # In float32, where fairseq copies nothing to another dtype: of a whole step a few percent.
        copies = base["aten::_to_copy"]
        saved = base["launches"] - copies - row["launches"]
        assert base["with_the_model"] - row["with_the_model"] == saved
    published = json.loads((REPOSITORY / "results/benchmark/launches.json").read_text("utf-8"))
    if published["versions"]["torch"] == torch.__version__:
        counts = {row["criterion"]: row["launches"] for row in published["rows"]}
        assert counts == {name: row["launches"] for name, row in (rows | {SMOOTHED: base}).items()}
    assert "labo_cross_entropy" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_counted() -> None:
    x = torch.rand(4, 5)
    # A view, a tensor that is not filled, and two launches.
    counted = launches.launches_of(lambda: x.t().exp().add_(torch.empty(5, 4)))
    assert counted.counts == {"aten::exp": 1, "aten::add_.Tensor": 1}
