"""What is missing has a reason."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.problems import find, run
from tests.benchmarks.problems import small_machine as small_machine  # a fixture


def test_missing_peers_have_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "fairseq.criterions.label_smoothed_cross_entropy"
    monkeypatch.setitem(sys.modules, module, None)
    results = run(tmp_path, "--providers", "fairseq", "liger", "--mode", "both")
    reasons = {row["provider"]: row["status"] for row in results["rows"]}
    assert reasons["fairseq"].startswith("missing: ") and module in reasons["fairseq"]
    assert reasons["liger"] == "missing: runs on a GPU only"
    for name in ("liger", "liger-linear", "flash-attn", "apex"):
        for wanted in ("liger_kernel", "flash_attn", "apex"):
            monkeypatch.setitem(sys.modules, wanted, None)
        reason = find(name).why_missing("cuda")
        assert reason.startswith("missing: ") and len(reason) > len("missing: ")
