"""The benchmark: what is wrong or missing is not timed, memory is counted right."""

import copy
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import loss as benchmark
from benchmarks import loss_check as benchmark_check
from benchmarks import loss_measure as benchmark_measure
from benchmarks import loss_providers as benchmark_providers
from fairseq_labo.ops import chunked_rows, dispatch, memory

TINY = [
    *("--device", "cpu", "--num-tokens", "24", "--vocab-size", "40", "--hidden-dim", "8"),
    *("--repeats", "3", "--threads", "1"),
]
FIELDS = {
    *("provider", "device", "dtype", "num_tokens", "vocab_size", "hidden_dim", "beta"),
    *("upstream", "mode", "p20_ms", "p50_ms", "p80_ms", "peak_mib_beyond_logits"),
    *("share_of_copy_bandwidth", "max_error", "error_over_eager", "synchronizes_host"),
    *("captured_in_graph", "status"),
}


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small copy measures the bandwidth, and the number of threads is put back."""
    monkeypatch.setitem(benchmark_measure.COPY_BYTES, "cpu", 2**20)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(tmp_path: Path, *options: str) -> dict[str, Any]:
    """The JSON of a tiny benchmark."""
    output = tmp_path / "results.json"
    benchmark.main([*TINY, *options, "--output", str(output)])

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(output.read_text("utf-8"), parse_constant=refuse)
    return found


def make_problem(
    dtype: torch.dtype = torch.float32, *, num_tokens: int = 48, vocab_size: int = 60
) -> benchmark_providers.Problem:
    torch.manual_seed(3)
    return benchmark_providers.make_problem(
        num_tokens=num_tokens,
        vocab_size=vocab_size,
        hidden_dim=8,
        dtype=dtype,
        device="cpu",
        label_smoothing=0.1,
    )


def find(name: str, beta: float = 2.0) -> benchmark_providers.Provider:
    return next(each for each in benchmark_providers.list_providers([beta]) if each.name == name)


def test_every_default_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(tmp_path)
    assert set(results) == {"kind", "settings", "machine", "copy_gb_per_second", "rows"}
    assert results["settings"]["beta"] == ["2", "2.5", "inf"]
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
    assert len(ours) == 3 * 2 * 3  # β, upstream, mode
    assert "upstream 128" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_passes_the_check(tmp_path: Path, dtype: str) -> None:
    providers = ["fairseq", "torch", "labo-torch", "labo-linear-unfused"]
    results = run(tmp_path, "--dtype", dtype, "--providers", *providers, "--mode", "both")
    assert {row["status"] for row in results["rows"]} == {"ok"}
    assert all(1e-5 < row["max_error"] < 4e-3 for row in results["rows"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_default_path_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark_measure.COPY_BYTES, "cuda", 2**24)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("part", ["gradient", "loss", "reference entry", "NaN", "per token"])
def test_each_part_is_checked(dtype: torch.dtype, part: str) -> None:
    """A loss whose value, gradient, or one part of the gradient is 1% off, in each dtype."""
    problem, provider = make_problem(dtype), find("labo-torch")
    right = provider.load()

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        if part == "gradient":
            return gradient * 1.01
        if part == "NaN":
            return gradient * math.nan
        entries = torch.zeros_like(gradient).scatter_(1, problem.target.unsqueeze(1), 0.01)
        return gradient * (1 + entries)

    def wrong(inputs: Any, problem: Any, reduction: str) -> torch.Tensor:
        logits = inputs[0].clone()
        if part in ("gradient", "NaN", "reference entry"):
            # In float64: the spoilt gradient is rounded once, like the right one.
            wide = inputs[0].double()
            wide.register_hook(spoil)
            logits = wide
        losses = right((logits,), problem, reduction)
        if part == "loss":  # the value alone
            return losses + 0.01 * losses.detach()
        if part == "per token" and reduction == "none":  # uniform upstream gradients
            return losses.mean() + 0 * losses + (losses - losses.mean()).detach()
        return losses

    upstreams: list[benchmark_check.Upstream] = [1.0, benchmark_check.PER_TOKEN]
    expected = {each: benchmark_check.expect(problem, provider, each) for each in upstreams}
    assert benchmark_check.check(right, provider, problem, expected).status == "ok"
    verdict = benchmark_check.check(wrong, provider, problem, expected)
    assert verdict.status.startswith("wrong: "), verdict


def test_definitions_differ() -> None:
    """fairseq's ε is not torch's; it is ours at β = inf, α = εV/(V−1)."""
    problem = make_problem()
    upstream = torch.ones(48)
    fairseq, _ = benchmark_check.evaluate(problem, find("fairseq"), upstream, exact=True)
    uniform, _ = benchmark_check.evaluate(problem, find("torch"), upstream, exact=True)
    assert (fairseq - uniform).abs().max() > 1e-3
    spread = copy.copy(problem)
    object.__setattr__(spread, "label_smoothing", 0.1 * 60 / 59)
    ours, _ = benchmark_check.evaluate(spread, find("labo-torch", math.inf), upstream, exact=True)
    torch.testing.assert_close(ours, fairseq)
    torch.testing.assert_close(fairseq[-1].item(), 0.0)  # padding


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
        loss, reason = benchmark_providers.load(find(name), device="cuda")
        assert loss is None and reason.startswith("missing: ") and len(reason) > len("missing: ")


def test_failing_provider_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setitem(dispatch.IMPLEMENTATIONS, "torch", fail)
    results = run(tmp_path, "--providers", "fairseq", "labo-torch", "--beta", "2")
    statuses = {row["provider"]: row["status"] for row in results["rows"]}
    assert statuses == {"fairseq": "ok", "labo-torch": "error: ZeroDivisionError: on purpose"}


def test_cpu_memory_on_known_allocations() -> None:
    kept = torch.ones(1000)
    with benchmark_measure.CpuMemory() as watched:
        first = torch.empty(250_000)  # 1 MB
        second = torch.empty(500_000)  # 3 MB held
        del first
        third = torch.empty(125_000)  # 2.5 MB held
        del second, kept
        fourth = torch.empty(500_000, dtype=torch.float16)  # 1.5 MB held
    assert watched.peak_bytes == 3_000_000
    del third, fourth
    with benchmark_measure.CpuMemory() as watched:
        torch.logsumexp(torch.ones(1000, 100), dim=0)
    # The operator's own scratch memory counts too; a few bytes are wrapped numbers.
    assert 800_400 <= watched.peak_bytes < 810_000


def test_peak_counts_backward_but_not_the_inputs() -> None:
    """fairseq: log-probabilities, and in backward at least two gradients more, in float32."""
    problem, provider = make_problem(), find("fairseq")
    contestant = benchmark_measure.Contestant(provider, provider.load())
    peak = benchmark_measure.peak_mib(contestant, problem, device="cpu") * 2**20
    logits = 48 * 60 * 4
    assert 3 * logits <= peak < 3.5 * logits


def test_peak_counts_a_gradient_in_a_kept_buffer() -> None:
    """Of that memory torch's profiler sees nothing: for the measurement torch allocates it."""
    logits_bytes = 700 * 2000 * 4
    assert logits_bytes > memory.KEPT_BYTES == 4 * 2**20
    problem = make_problem(num_tokens=700, vocab_size=2000)
    provider = find("labo-torch")
    contestant = benchmark_measure.Contestant(provider, provider.load())
    peak = benchmark_measure.peak_mib(contestant, problem, device="cpu") * 2**20
    assert logits_bytes <= peak < logits_bytes + 3 * chunked_rows.CHUNK_BYTES
    assert memory.KEPT_BYTES == 4 * 2**20


def test_refused_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        benchmark.main([*TINY, "--providers", "nobody"])
    assert "--providers nobody: expected one of apex, fairseq" in capsys.readouterr().err
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            benchmark.main(["--device", "cuda"])
        assert "expected a GPU, found none" in capsys.readouterr().err
