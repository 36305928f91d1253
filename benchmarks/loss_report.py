"""Rows of `benchmarks.loss`, and how they are shown: a table and a picture."""

import math
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
# The logits are read in each pass, and their gradient is written: what has to move.
PASSES = {"forward": 1, "backward": 2, "both": 3}
# Title, width and format of a column of the table, and the row's field.
COLUMNS = (
    ("peak MiB", 10, ".1f", "peak_mib_beyond_logits"),
    ("of copy", 9, ".0%", "share_of_copy_bandwidth"),
    ("error", 9, ".1e", "max_error"),
    ("/eager", 10, ".3g", "error_over_eager"),
)


def make_row(row: Row, report: Row, times_ms: list[float] | None, *, bytes_per_ms: float) -> Row:
    """Complete a row that says what was run by the results; None where nothing was measured.

    `report` holds the status and errors of the provider; `bytes_per_ms` is the copy bandwidth.
    """
    p20, p50, p80, share = None, None, None, None
    if times_ms is not None:
        quantiles = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
        values = torch.tensor(times_ms, dtype=torch.float64).quantile(quantiles).tolist()
        p20, p50, p80 = (round(value, 6) for value in values)
        if row["hidden_dim"] is None:  # the projection's own work is no traffic of logits
            share = PASSES[row["mode"]] * logits_bytes(row) / p50 / bytes_per_ms
    return row | {
        "p20_ms": p20,
        "p50_ms": p50,
        "p80_ms": p80,
        "peak_mib_beyond_logits": report.get("peak") if row["mode"] == "both" else None,
        "share_of_copy_bandwidth": share,
        "max_error": _finite(report.get("max_error")),
        "error_over_eager": _finite(report.get("error_over_eager")),
        "synchronizes_host": report.get("synchronizes"),
        "captured_in_graph": report.get("captured"),
        "status": report["status"],
    }


def logits_bytes(row: Row) -> int:
    """Size of the logits that a row is about."""
    itemsize = {"fp32": 4, "fp16": 2, "bf16": 2}[row["dtype"]]
    return int(row["num_tokens"] * row["vocab_size"] * itemsize)


def _finite(value: float | None) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    return value if value is None or math.isfinite(value) else str(value)


def setting(row: Row) -> tuple[Any, ...]:
    """What rows must share to be compared."""
    keys = ("device", "dtype", "num_tokens", "vocab_size", "upstream")
    return tuple(row[key] for key in keys)


def table(rows: list[Row]) -> str:
    """Printed table: one block for each setting, one line for each provider and β.

    Times are medians in ms; "faster" is fairseq's time over this one (both passes, or the only
    ones measured); memory in MiB beyond the inputs; error relative to the float64 definition.
    """
    lines = []
    titles = "".join(f"{title:>{width}}" for title, width, *_ in COLUMNS)
    passes = "".join(f"{mode:>10}" for mode in PASSES)
    for key in dict.fromkeys(setting(row) for row in rows):
        device, dtype, num_tokens, vocab_size, upstream = key
        here = [row for row in rows if setting(row) == key]
        lines += [
            f"\n{device}, {dtype}, N = {num_tokens}, V = {vocab_size}, upstream {upstream:g}",
            f"{'provider':<20}{'beta':>5}{passes}{'faster':>8}{titles}  status",
        ]
        for name, beta in dict.fromkeys((row["provider"], row["beta"]) for row in here):
            mine = [row for row in here if (row["provider"], row["beta"]) == (name, beta)]
            lines.append(_line({row["mode"]: row for row in mine}, here))
    return "\n".join(lines)


def _cell(value: Any, width: int, pattern: str = "") -> str:
    shown = "" if value is None else format(value, "" if isinstance(value, str) else pattern)
    return f"{shown:>{width}}"


def _line(by_mode: dict[str, Row], here: list[Row]) -> str:
    last = by_mode[max(by_mode, key=lambda mode: PASSES[mode])]
    fairseq = [row for row in here if (row["provider"], row["mode"]) == ("fairseq", last["mode"])]
    ratio = speedup(fairseq[0], last) if fairseq else None
    times = "".join(_cell(by_mode.get(mode, {}).get("p50_ms"), 10, ".3f") for mode in PASSES)
    rest = "".join(_cell(last[field], width, pattern) for _, width, pattern, field in COLUMNS)
    start = f"{last['provider']:<20}{_cell(last['beta'], 5)}"
    return f"{start}{times}{_cell(ratio, 8, '.2f')}{rest}  {last['status']}"


def speedup(other: Row, mine: Row) -> float | None:
    """How many times as fast as `other` a row is, by medians; None if one was not timed."""
    if not other["p50_ms"] or not mine["p50_ms"]:
        return None
    return float(other["p50_ms"] / mine["p50_ms"])


def plot(results: dict[str, Any], path: Path) -> None:
    """Bars of speed (fairseq = 1) and of peak memory, both passes, the first upstream gradient.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise RuntimeError(
            f"--plot {path}: expected matplotlib, found none; install it (pip install matplotlib) "
            f"or leave the option out: the JSON file has everything"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    wanted = ("both", results["settings"]["upstream"][0])
    rows = [row for row in results["rows"] if (row["mode"], row["upstream"]) == wanted]
    rows = [row for row in rows if row["p50_ms"]]
    labels = list(dict.fromkeys(map(_label, rows)))
    settings = list(dict.fromkeys(map(setting, rows)))
    size = (11, 2 + 0.45 * max(1, len(labels)))
    figure, (speed, memory) = pyplot.subplots(1, 2, sharey=True, figsize=size)
    height = 0.8 / max(1, len(settings))
    for number, key in enumerate(settings):
        here = {_label(row): row for row in rows if setting(row) == key}
        base = here.get("fairseq")
        positions = [labels.index(label) + height * (number + 0.5) - 0.4 for label in here]
        ratios = [(speedup(base, row) if base else None) or 0.0 for row in here.values()]
        peaks = [row["peak_mib_beyond_logits"] or 0.0 for row in here.values()]
        legend = f"{key[1]}, N = {key[2]}, V = {key[3]}"
        speed.barh(positions, ratios, height=height, label=legend)
        memory.barh(positions, peaks, height=height)
    speed.axvline(1.0, color="black", linewidth=0.8)
    speed.set_yticks(range(len(labels)), labels)
    speed.invert_yaxis()
    speed.set_xlabel("times as fast as fairseq's label smoothing, forward + backward")
    memory.set_xlabel("peak MiB beyond the inputs, gradients included")
    if settings:
        speed.legend(fontsize="small")
    figure.suptitle(f"{results['machine']['device']}, commit {results['machine']['commit']}")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _label(row: Row) -> str:
    return str(row["provider"]) + (f" (β = {row['beta']})" if row["beta"] else "")
