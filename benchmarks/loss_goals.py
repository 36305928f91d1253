"""The project's goals of speed and memory, held against the results of benchmark.py.

A goal counts as met when the worst of its measurements does. `goals_table` never guesses: what
was not measured is said to be not measured.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.loss_report import Row, logits_bytes, setting, speedup

MIB = 2**20
ON_GPU = "not measured on a GPU"
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


Checks = Iterator[Check]


class Results:
    """Rows of all files; only medians of both passes matter to the goals."""

    def __init__(self, files: list[dict[str, Any]]) -> None:
        rows: list[Row] = [row for file in files for row in file.get("rows", [])]
        self.rows = [row for row in rows if row["mode"] == "both"]
        self.trainings = [file for file in files if file.get("kind") == "training"]

    def timed(self, provider: str, device: str) -> list[Row]:
        """Rows of a provider with a time."""
        return [
            row
            for row in self.rows
            if (row["provider"], row["device"]) == (provider, device) and row["p50_ms"]
        ]

    def ours(self, device: str) -> list[Row]:
        """Rows of the implementation that "auto" takes on the device."""
        return next((rows for name in OUR_BEST if (rows := self.timed(name, device))), [])

    def pairs(self, ours: list[Row], peer: str, device: str) -> Iterator[tuple[Row, Row]]:
        """(our row, the peer's row) of the same setting, and β if the peer has one."""
        others = self.timed(peer, device)
        for mine in ours:
            for other in others:
                if setting(other) == setting(mine) and other["beta"] in (None, mine["beta"]):
                    yield mine, other

    def why_absent(self, provider: str) -> str:
        """Why there is nothing to compare with on a GPU."""
        for row in self.rows:
            of_peer = (row["provider"], row["device"]) == (provider, "cuda")
            if of_peer and row["status"] != "ok":
                return f"{ON_GPU} ({provider} {row['status']})"
        return ON_GPU


def _where(row: Row) -> str:
    parts = [row["dtype"], f"V = {row['vocab_size']}", f"upstream {row['upstream']:g}"]
    if row["beta"]:
        parts.insert(2, f"β = {row['beta']}")
    return ", ".join(parts)


def _faster(pairs: Iterator[tuple[Row, Row]], bound: Callable[[Row], float | None]) -> Checks:
    """Checks of "at least `bound` times as fast"; None leaves a row out."""
    for mine, other in pairs:
        wanted, ratio = bound(mine), speedup(other, mine)
        if wanted is not None and ratio is not None:
            yield Check(mine["dtype"], _where(mine), ratio, wanted)


def _beats_fairseq(found: Results) -> Checks:
    goals = {"fp16": 5.0, "bf16": 6.0, "fp32": 2.8}
    pairs = found.pairs(found.ours("cuda"), "fairseq", "cuda")
    return _faster(pairs, lambda row: goals[row["dtype"]])


def _less_memory(found: Results) -> Checks:
    for mine, other in found.pairs(found.ours("cuda"), "fairseq", "cuda"):
        ratio = other["peak_mib_beyond_logits"] / mine["peak_mib_beyond_logits"]
        wanted = 3.0 if mine["dtype"] == "fp32" else 5.0
        yield Check(mine["dtype"], _where(mine), ratio, wanted)


def _beats_liger(found: Results, *, dtype: str, upstream: float, goal: float) -> Checks:
    pairs = found.pairs(found.ours("cuda"), "liger", "cuda")
    wanted = (dtype, upstream)
    return _faster(pairs, lambda row: goal if (row["dtype"], row["upstream"]) == wanted else None)


def _near_flash(found: Results) -> Checks:
    for mine, other in found.pairs(found.ours("cuda"), "flash-attn", "cuda"):
        if mine["beta"] != "inf":  # there one LSE is enough
            ratio = mine["p50_ms"] / other["p50_ms"]
            yield Check("time", _where(mine), ratio, 1.10, at_least=False)


def _roofline(found: Results) -> Checks:
    for row in found.ours("cuda"):
        bound = 85.0 if row["vocab_size"] >= 32000 else 80.0
        share = 100 * row["share_of_copy_bandwidth"]
        yield Check("of the copy bandwidth", _where(row), share, bound, unit="%")


def _fused(found: Results) -> Checks:
    ours = found.timed("labo-linear-fused", "cuda")
    for row in ours:
        itemsize = 4 if row["dtype"] == "fp32" else 2
        gradients = (row["num_tokens"] + row["vocab_size"]) * row["hidden_dim"] * itemsize / MIB
        held = row["peak_mib_beyond_logits"] - gradients
        yield Check("beyond gradients", _where(row), held, 256, at_least=False, unit=" MiB")
    for mine, other in found.pairs(ours, "labo-linear-unfused", "cuda"):
        ratio = mine["p50_ms"] / other["p50_ms"]
        yield Check("time, unfused", _where(mine), ratio, 1.05, at_least=False)
    for mine, other in found.pairs(ours, "liger-linear", "cuda"):
        yield Check("Liger's fused", _where(mine), other["p50_ms"] / mine["p50_ms"], 1.3)


def _no_waiting(found: Results) -> Checks:
    for row in found.ours("cuda"):
        for key, right, what in (
            ("synchronizes_host", False, "steps without synchronization"),
            ("captured_in_graph", True, "steps captured"),
        ):
            if row[key] is not None:
                yield Check(what, _where(row), float(row[key] is right), 1.0, unit="")


def _accurate(found: Results, device: str) -> Checks:
    ours = [r for r in found.rows if r["provider"] in OUR_BEST and r["device"] == device]
    for row in ours:
        if row["error_over_eager"] is not None:  # "nan" if it was: then it is missed
            value = float(row["error_over_eager"])
            value = value if value == value else float("inf")
            yield Check("of eager's error", _where(row), value, 1.1, at_least=False)


def _on_cpu(found: Results) -> Checks:
    ours = [row for row in found.ours("cpu") if row["dtype"] == "fp32"]
    for mine, other in found.pairs(ours, "fairseq", "cpu"):
        ratio = speedup(other, mine)
        if ratio is not None:
            bound, what = (2.0, "β = 2") if mine["beta"] == "2" else (1.5, "any β")
            yield Check(what, _where(mine), ratio, bound)
    for row in ours:
        logits = logits_bytes(row) / MIB
        peak = (logits + row["peak_mib_beyond_logits"]) / (2 * logits)
        yield Check("memory", _where(row), peak, 1.3, at_least=False)


def _training(found: Results) -> Checks:
    for training in found.trainings:
        settings = training["settings"]
        length = f"{settings['repeats']} times {settings['updates']} updates"
        for name, ratio in training["words_per_second_ratio"].items():
            if settings["device"] == "cpu":
                yield Check("words per second", f"{name}, {length}", ratio, 1.2)


def verdict(checks: Checks, absent: str) -> str:
    """ "met" or "missed by ...", with the worst measurement of each kind; `absent` if none."""
    worst: dict[tuple[str, float], Check] = {}
    for check in checks:
        key = (check.what, check.bound)
        if key not in worst or check.shortfall > worst[key].shortfall:
            worst[key] = check
    if not worst:
        return absent
    shortfall = max(check.shortfall for check in worst.values())
    # Not "by 0%": what is missed by little is missed.
    start = "met" if shortfall <= 0 else f"missed by {max(shortfall, 0.001):.1%}"
    return f"{start}: {'; '.join(map(str, worst.values()))}"


def goals_table(files: list[dict[str, Any]]) -> str:
    """Markdown table of all goals, from the JSON of benchmark.py and of bench_training.sh."""
    found = Results(files)
    accuracy_on_gpu = verdict(_accurate(found, "cuda"), ON_GPU)
    accuracy_on_cpu = verdict(_accurate(found, "cpu"), "not measured")
    liger, flash = found.why_absent("liger"), found.why_absent("flash-attn")
    goals = [
        ("fairseq, GPU, forward + backward", verdict(_beats_fairseq(found), ON_GPU)),
        ("fairseq, GPU, peak memory beyond the logits", verdict(_less_memory(found), ON_GPU)),
        ("Liger, bf16, upstream gradient 1",
         verdict(_beats_liger(found, dtype="bf16", upstream=1.0, goal=1.2), liger)),
        ("Liger, fp16, upstream gradient 128",
         verdict(_beats_liger(found, dtype="fp16", upstream=128.0, goal=1.5), liger)),
        ("flash-attn with smoothing: time", verdict(_near_flash(found), flash)),
        ("roofline", verdict(_roofline(found), ON_GPU)),
        ("fused with the output projection", verdict(_fused(found), ON_GPU)),
        ("host synchronizations, CUDA graph", verdict(_no_waiting(found), ON_GPU)),
        ("accuracy", f"CPU: {accuracy_on_cpu}; GPU: {accuracy_on_gpu}"),
        ("fairseq, CPU, forward + backward, and memory", verdict(_on_cpu(found), "not measured")),
        ("whole training on a CPU", verdict(_training(found), "not measured")),
        ("largest --max-tokens", ON_GPU),
    ]  # fmt: skip
    lines = ["| # | goal | result |", "|---|---|---|"]
    lines += [f"| {n} | {goal} | {result} |" for n, (goal, result) in enumerate(goals, start=1)]
    return "\n".join(lines)
