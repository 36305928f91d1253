"""The project's goals of speed and memory, held against the results of `benchmarks.loss`.

A goal counts as met when the worst of its measurements does. What was not measured is said to be
not measured, never guessed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from benchmarks.loss_report import Row, logits_bytes, setting

MIB = 2**20
ON_GPU, NOWHERE = "not measured on a GPU", "not measured"
OUR_BEST = ("labo-triton", "labo-torch")  # the first that was timed is ours


class Check(NamedTuple):
    """One measurement and its bound: `value` must be at least, or at most, `bound`."""

    what: str
    where: str
    value: float
    bound: float
    at_least: bool = True
    unit: str = "x"

    @property
    def shortfall(self) -> float:
        """How far the bound is missed, as a share of it; 0 or less if it is met."""
        distance = self.bound - self.value if self.at_least else self.value - self.bound
        return distance / self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        what = f"{self.what} " if self.what else ""
        return f"{what}{self.value:.3g}{self.unit} ({sign} {self.bound:g}{self.unit}; {self.where})"


class Results:
    """Rows of all files; only medians of both passes matter to the goals."""

    def __init__(self, files: list[dict[str, Any]]) -> None:
        rows: list[Row] = [row for file in files for row in file.get("rows", [])]
        self.rows = [row for row in rows if row["mode"] == "both"]
        self.trainings = [file for file in files if file.get("kind") == "training"]
        self.gpu, self.cpu = self._ours("cuda"), self._ours("cpu")

    def timed(self, provider: str, device: str) -> list[Row]:
        """Rows of a provider with a time."""
        wanted = (provider, device)
        rows = [row for row in self.rows if (row["provider"], row["device"]) == wanted]
        return [row for row in rows if row["p50_ms"]]

    def _ours(self, device: str) -> list[Row]:
        """Rows of the implementation that "auto" takes on the device."""
        return next((rows for name in OUR_BEST if (rows := self.timed(name, device))), [])

    def pairs(self, ours: list[Row], peer: str) -> Iterator[tuple[Row, Row]]:
        """(our row, the peer's row) of the same setting, and β if the peer has one."""
        for mine in ours:
            for other in self.timed(peer, mine["device"]):
                if setting(other) == setting(mine) and other["beta"] in (None, mine["beta"]):
                    yield mine, other

    def why_absent(self, provider: str) -> str:
        """Why there is nothing to compare with on a GPU."""
        for row in self.rows:
            of_peer = (row["provider"], row["device"]) == (provider, "cuda")
            if of_peer and row["status"] != "ok":
                return f"{ON_GPU} ({provider} {row['status']})"
        return ON_GPU


def _kind(row: Row) -> tuple[str, float]:
    return row["dtype"], row["upstream"]


def _where(row: Row) -> str:
    beta = [f"β = {row['beta']}"] if row["beta"] else []
    upstream = f"upstream {row['upstream']:g}"
    return ", ".join([row["dtype"], f"V = {row['vocab_size']}", *beta, upstream])


def _faster(mine: Row, other: Row, goal: float) -> Check:
    return Check(mine["dtype"], _where(mine), other["p50_ms"] / mine["p50_ms"], goal)


def _time(what: str, mine: Row, other: Row, goal: float) -> Check:
    return Check(what, _where(mine), mine["p50_ms"] / other["p50_ms"], goal, at_least=False)


def _less_memory(mine: Row, other: Row) -> Check:
    ratio = other["peak_mib_beyond_logits"] / mine["peak_mib_beyond_logits"]
    return Check(mine["dtype"], _where(mine), ratio, 3.0 if mine["dtype"] == "fp32" else 5.0)


def _roofline(found: Results) -> Iterator[Check]:
    for row in found.gpu:
        share = 100 * row["share_of_copy_bandwidth"]
        bound = 85.0 if row["vocab_size"] >= 32000 else 80.0
        yield Check("of the copy bandwidth", _where(row), share, bound, unit="%")


def _fused(found: Results) -> Iterator[Check]:
    ours = found.timed("labo-linear-fused", "cuda")
    for row in ours:
        itemsize = 4 if row["dtype"] == "fp32" else 2
        gradients = (row["num_tokens"] + row["vocab_size"]) * row["hidden_dim"] * itemsize / MIB
        held = row["peak_mib_beyond_logits"] - gradients
        yield Check("beyond gradients", _where(row), held, 256, at_least=False, unit=" MiB")
    for mine, other in found.pairs(ours, "labo-linear-unfused"):
        yield _time("time, unfused", mine, other, 1.05)
    for mine, other in found.pairs(ours, "liger-linear"):
        yield _faster(mine, other, 1.3)._replace(what="Liger's fused")


def _no_waiting(found: Results) -> Iterator[Check]:
    for row in found.gpu:
        for key, right, what in (
            ("synchronizes_host", False, "steps without synchronization"),
            ("captured_in_graph", True, "steps captured"),
        ):
            if row[key] is not None:
                yield Check(what, _where(row), float(row[key] is right), 1.0, unit="")


def _accurate(found: Results, device: str) -> Iterator[Check]:
    for row in found.rows:
        error = row["error_over_eager"]
        if row["provider"] in OUR_BEST and row["device"] == device and error is not None:
            # The string "nan" is a gradient with NaN in it: as far from the goal as can be.
            value = float("inf") if error == "nan" else float(error)
            yield Check("of eager's error", _where(row), value, 1.1, at_least=False)


def _on_cpu(found: Results) -> Iterator[Check]:
    ours = [row for row in found.cpu if row["dtype"] == "fp32"]
    for mine, other in found.pairs(ours, "fairseq"):
        bound, what = (2.0, "β = 2") if mine["beta"] == "2" else (1.5, "any β")
        yield _faster(mine, other, bound)._replace(what=what)
    for row in ours:
        logits = logits_bytes(row) / MIB
        peak = (logits + row["peak_mib_beyond_logits"]) / (2 * logits)
        yield Check("memory", _where(row), peak, 1.3, at_least=False)


def _training(found: Results) -> Iterator[Check]:
    for training in found.trainings:
        settings = training["settings"]
        length = f"{settings['repeats']} times {settings['updates']} updates"
        for name, ratio in training["words_per_second_ratio"].items():
            if settings["device"] == "cpu":
                yield Check("words per second", f"{name}, {length}", ratio, 1.2)


def verdict(checks: Iterable[Check], absent: str) -> str:
    """ "met" or "missed by ...", with the worst measurement of each kind; `absent` if none."""
    worst: dict[tuple[str, float], Check] = {}
    for check in checks:
        key = (check.what, check.bound)
        if key not in worst or check.shortfall > worst[key].shortfall:
            worst[key] = check
    if not worst:
        return absent
    shortfall = max(check.shortfall for check in worst.values())
    # At least 0.1%, or a small miss would be printed as "missed by 0.0%".
    start = "met" if shortfall <= 0 else f"missed by {max(shortfall, 0.001):.1%}"
    return f"{start}: {'; '.join(map(str, worst.values()))}"


def goals_table(files: list[dict[str, Any]]) -> str:
    """Markdown table of all goals, from the JSON of `benchmarks.loss` and of trainings."""
    found = Results(files)
    fairseq = {"fp16": 5.0, "bf16": 6.0, "fp32": 2.8}

    def gpu(peer: str, check: Callable[[Row, Row], Check | None]) -> str:
        checks = (check(mine, other) for mine, other in found.pairs(found.gpu, peer))
        return verdict(filter(None, checks), found.why_absent(peer))

    def liger(dtype: str, upstream: float, goal: float) -> str:
        here = (dtype, upstream)
        return gpu("liger", lambda m, o: _faster(m, o, goal) if _kind(m) == here else None)

    on_cpu, on_gpu = (_accurate(found, device) for device in ("cpu", "cuda"))
    goals = {
        "fairseq, GPU, forward + backward": gpu(
            "fairseq", lambda m, o: _faster(m, o, fairseq[m["dtype"]])
        ),
        "fairseq, GPU, peak memory beyond the logits": gpu("fairseq", _less_memory),
        "Liger, bf16, upstream gradient 1": liger("bf16", 1.0, 1.2),
        "Liger, fp16, upstream gradient 128": liger("fp16", 128.0, 1.5),
        # With a uniform P one log-sum-exp is enough: that is another problem.
        "flash-attn with smoothing: time": gpu(
            "flash-attn", lambda m, o: None if m["beta"] == "inf" else _time("time", m, o, 1.10)
        ),
        "roofline": verdict(_roofline(found), ON_GPU),
        "fused with the output projection": verdict(_fused(found), ON_GPU),
        "host synchronizations, CUDA graph": verdict(_no_waiting(found), ON_GPU),
        "accuracy": f"CPU: {verdict(on_cpu, NOWHERE)}; GPU: {verdict(on_gpu, ON_GPU)}",
        "fairseq, CPU, forward + backward, and memory": verdict(_on_cpu(found), NOWHERE),
        "whole training on a CPU": verdict(_training(found), NOWHERE),
        "largest --max-tokens": ON_GPU,
    }
    lines = ["| # | goal | result |", "|---|---|---|"]
    lines += [f"| {n} | {goal} | {result} |" for n, (goal, result) in enumerate(goals.items(), 1)]
    return "\n".join(lines)
