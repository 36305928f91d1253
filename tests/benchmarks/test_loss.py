"""The benchmark: what is wrong or missing is not timed, and what it writes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import loss as benchmark
from benchmarks import loss_measure
from fairseq_labo.ops import dispatch
from tests.benchmarks.problems import TINY, run
from tests.benchmarks.problems import small_machine as small_machine  # a fixture
from tests.conftest import REPOSITORY

FIELDS = {
    *("provider", "device", "dtype", "num_tokens", "vocab_size", "hidden_dim", "beta"),
    *("upstream", "mode", "p20_ms", "p50_ms", "p80_ms", "peak_mib_beyond_logits"),
    *("share_of_copy_bandwidth", "max_error", "error_over_eager", "synchronizes_host"),
    *("captured_in_graph", "status"),
}


@pytest.mark.slow
def test_every_default_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(tmp_path)
    assert set(results) == {"kind", "settings", "machine", "copy_gb_per_second", "rows"}
    assert results["settings"]["beta"] == ["2", "2.5", "4", "10", "inf"]
    assert results["settings"]["dtype"] == ["fp32"]
    assert {"device", "versions", "commit"} <= set(results["machine"])
    rows = results["rows"]
    names = {row["provider"] for row in rows}
    assert {"fairseq", "torch", "liger", "flash-attn", "apex", "labo-reference"} <= names
    assert {"torch-linear", "liger-linear", "labo-linear-unfused", "labo-linear-fused"} <= names
    assert {f"labo-{impl}" for impl in dispatch.IMPLEMENTATIONS} | {"labo-triton"} <= names
    for row in rows:
        assert set(row) == FIELDS
        timed = row["status"] == "ok"
        assert timed or row["status"].startswith("missing: "), row
        assert (row["p50_ms"] is not None) == timed
        assert (row["peak_mib_beyond_logits"] is not None) == (timed and row["mode"] == "both")
        if timed:
            assert 0 < row["p20_ms"] <= row["p50_ms"] <= row["p80_ms"]
            assert row["max_error"] < 1e-4
    counted = {(r["provider"], r["beta"], r["upstream"], r["mode"]) for r in rows}
    assert len(counted) == len(rows)
    ours = [row for row in rows if row["provider"] == "labo-torch"]
    assert len(ours) == 5 * 2 * 3  # β, upstream, mode
    assert "upstream 128" in capsys.readouterr().out


BARE = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))  # cannot be imported
from benchmarks import loss
loss.main({arguments!r})
"""


@pytest.mark.slow
def test_a_bare_machine_needs_torch_and_numpy_only(tmp_path: Path) -> None:
    """fairseq, the corpora's tools and the plots are not on the GPU machine."""
    missing = ["fairseq", "fairseq_cli", "sacremoses", "sacrebleu", "subword_nmt", "sentencepiece"]
    missing += ["matplotlib", "omegaconf", "pydantic", "tabulate", "yaml", "scipy", "defusedxml"]
    output = tmp_path / "out.json"
    arguments = [*TINY, "--providers", "labo-torch", "torch", "--output", str(output)]
    code = BARE.format(missing=missing, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert output.is_file()


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_passes_the_check(tmp_path: Path, dtype: str) -> None:
    providers = ["fairseq", "torch", "labo-torch", "labo-linear-unfused"]
    results = run(tmp_path, "--dtype", dtype, "--providers", *providers, "--mode", "both")
    assert {row["status"] for row in results["rows"]} == {"ok"}
    assert all(1e-5 < row["max_error"] < 4e-3 for row in results["rows"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_default_path_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loss_measure.COPY_BYTES, "cuda", 2**24)
    results = run(tmp_path, "--device", "cuda", "--num-tokens", "64", "--vocab-size", "1000")
    assert {row["dtype"] for row in results["rows"]} == {"fp16", "bf16", "fp32"}
    for row in results["rows"]:
        if row["provider"] in ("fairseq", "labo-torch", "labo-triton"):
            assert row["status"] == "ok" and row["p50_ms"] > 0, row
        if row["provider"] == "labo-triton":
            assert row["synchronizes_host"] is False and row["captured_in_graph"] is True


def test_wrong_provider_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = dispatch.IMPLEMENTATIONS["torch"]

    def one_percent_more(*arguments: Any) -> Any:
        losses = right(*arguments)
        return losses._replace(loss=losses.loss * 1.01)

    monkeypatch.setitem(dispatch.IMPLEMENTATIONS, "torch", one_percent_more)
    results = run(tmp_path, "--providers", "fairseq", "labo-torch", "--beta", "2")
    for row in results["rows"]:
        if row["provider"] == "fairseq":
            assert row["status"] == "ok" and row["p50_ms"] > 0
        else:
            assert row["status"].startswith("wrong: relative error of the ")
            assert row["max_error"] == pytest.approx(0.01, rel=1e-2)
            assert row["p50_ms"] is None and row["peak_mib_beyond_logits"] is None
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("labo-torch"))
    assert "wrong: " in line and line.split()[2] == "1.0e-02"  # no time before the error


def test_failing_provider_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setitem(dispatch.IMPLEMENTATIONS, "torch", fail)
    results = run(tmp_path, "--providers", "fairseq", "labo-torch", "--beta", "2")
    statuses = {row["provider"]: row["status"] for row in results["rows"]}
    assert statuses == {"fairseq": "ok", "labo-torch": "error: ZeroDivisionError: on purpose"}


def test_refused_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        benchmark.main([*TINY, "--providers", "nobody"])
    assert "--providers nobody: expected one of apex, fairseq" in capsys.readouterr().err
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            benchmark.main(["--device", "cuda"])
        assert "expected a GPU, found none" in capsys.readouterr().err


@pytest.mark.slow
def test_starts_where_nothing_of_the_experiments_is_installed(tmp_path: Path) -> None:
    """Its peers and its report need torch and fairseq: a GPU machine has no sacremoses."""
    blocked = ["sacremoses", "subword_nmt", "sentencepiece", "matplotlib", "jinja2"]
    blocked += ["pydantic"]
    program = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from benchmarks import loss, loss_measure
loss_measure.COPY_BYTES["cpu"] = 2**20
loss.main({[*TINY, "--providers", "fairseq", "labo-torch", "--beta", "2"]!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [line for line in done.stdout.splitlines() if line.endswith(" ok")]
    assert [line.split()[0] for line in lines] == ["fairseq", "labo-torch"] * 2  # upstreams
