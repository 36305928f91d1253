"""Rows of `benchmarks.loss`, and how they are shown: a table and a picture."""

import math
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.loss_measure import PASSES

Row = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)
SETTING = ("device", "dtype", "num_tokens", "vocab_size", "upstream")
TIMES = ("p20_ms", "p50_ms", "p80_ms")
MEASURED = ("peak_mib_beyond_logits", "share_of_copy_bandwidth", "max_error", "error_over_eager")
RESULTS = (*TIMES, *MEASURED, "synchronizes_host", "captured_in_graph", "status")
# The printed table's columns of numbers: times, speed, and those of `MEASURED`.
TITLES = (*PASSES, "faster", "peak MiB", "of copy", "error", "/eager")
FORMATS = (".3f", ".3f", ".3f", ".2f", ".1f", ".0%", ".1e", ".3g")


def make_row(row: Row, report: Row, times_ms: list[float], *, bytes_per_ms: float) -> Row:
    """Complete a row that says what was run by the results; None where nothing was measured.

    `report` holds what is known of the provider; `bytes_per_ms` is the copy bandwidth.
    """
    row = row | dict.fromkeys(RESULTS) | report
    for field in ("max_error", "error_over_eager"):  # JSON has neither NaN nor infinity
        if not math.isfinite(row[field] or 0.0):
            row[field] = str(row[field])
    if row["mode"] != "both":
        row["peak_mib_beyond_logits"] = None
    if times_ms:
        quantiles = np.quantile(times_ms, (0.2, 0.5, 0.8)).round(6).tolist()
        row |= zip(TIMES, quantiles, strict=True)
        if row["hidden_dim"] is None:  # the projection's own work is no traffic of logits
            moved = PASSES[row["mode"]] * row["num_tokens"] * row["vocab_size"] * itemsize(row)
            row["share_of_copy_bandwidth"] = moved / row["p50_ms"] / bytes_per_ms
    return row


def itemsize(row: Row) -> int:
    """Bytes of a logit."""
    return 4 if row["dtype"] == "fp32" else 2


def setting(row: Row) -> tuple[Any, ...]:
    """What rows must share to be compared."""
    return tuple(row[key] for key in SETTING)


def speedup(other: Row | None, mine: Row) -> float | None:
    """How many times as fast as `other` a row is, by medians; None if one was not timed."""
    if not other or not other["p50_ms"] or not mine["p50_ms"]:
        return None
    return float(other["p50_ms"] / mine["p50_ms"])


def _grouped(rows: list[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _label(row: Row) -> str:
    return row["provider"] + (f" (β = {row['beta']})" if row["beta"] else "")


def table(rows: list[Row]) -> str:
    """Printed table: one block for each setting, one line for each provider and β.

    Times are medians in ms; "faster" is fairseq's time over this one (both passes, or the only
    ones measured); memory in MiB beyond the inputs; error relative to the float64 definition.
    """
    lines = []
    titles = "".join(f"{title:>10}" for title in TITLES)
    for (device, dtype, num_tokens, vocab_size, upstream), here in _grouped(rows, setting).items():
        case = f"N = {num_tokens}, V = {vocab_size}, upstream {upstream:g}"
        lines += [f"\n{device}, {dtype}, {case}", f"{'provider':<20}{'beta':>5}{titles}  status"]
        lines += [_line(mine, here) for mine in _grouped(here, _label).values()]
    return "\n".join(lines)


def _line(mine: list[Row], here: list[Row]) -> str:
    times = {row["mode"]: row["p50_ms"] for row in mine}
    last = max(mine, key=lambda row: PASSES[row["mode"]])
    wanted = ("fairseq", last["mode"])
    base = next((row for row in here if (row["provider"], row["mode"]) == wanted), None)
    values = [*map(times.get, PASSES), speedup(base, last), *(last[field] for field in MEASURED)]
    cells = map(_cell, values, FORMATS)
    start = f"{last['provider']:<20}{last['beta'] or '':>5}"
    return f"{start}{''.join(cells)}  {last['status']}"


def _cell(value: float | str | None, pattern: str) -> str:
    shown = value or "" if isinstance(value, str | None) else format(value, pattern)
    return f"{shown:>10}"


def plot(results: dict[str, Any], path: Path) -> None:
    """Bars of speed (fairseq = 1) and of peak memory, both passes, the first upstream gradient.

    Raises:
        RuntimeError: matplotlib is not installed.
    """
    try:
        from matplotlib import figure as figures
    except ImportError as error:
        raise RuntimeError(
            f"--plot {path}: expected matplotlib, found none; install it (pip install matplotlib) "
            f"or leave the option out: the JSON file has everything"
        ) from error
    wanted = {"mode": "both", "upstream": results["settings"]["upstream"][0]}.items()
    rows = [row for row in results["rows"] if wanted <= row.items() and row["p50_ms"]]
    labels, settings = list(_grouped(rows, _label)), _grouped(rows, setting)
    figure = figures.Figure((11, 2 + 0.45 * max(1, len(labels))), layout="tight")
    speed, memory = figure.subplots(1, 2, sharey=True)
    height = 0.8 / max(1, len(settings))
    for number, (key, here) in enumerate(settings.items()):
        base = next((row for row in here if row["provider"] == "fairseq"), None)
        places = [labels.index(_label(row)) + height * (number + 0.5) - 0.4 for row in here]
        legend = f"{key[1]}, N = {key[2]}, V = {key[3]}"
        speed.barh(places, [speedup(base, row) or 0 for row in here], height, label=legend)
        memory.barh(places, [row["peak_mib_beyond_logits"] or 0 for row in here], height)
    speed.axvline(1.0, color="black", linewidth=0.8)
    speed.set_yticks(range(len(labels)), labels)
    speed.invert_yaxis()
    speed.set_xlabel("times as fast as fairseq's label smoothing, forward + backward")
    memory.set_xlabel("peak MiB beyond the inputs, gradients included")
    if settings:
        speed.legend(fontsize="small")
    figure.suptitle(f"{results['machine']['device']}, commit {results['machine']['commit']}")
    figure.savefig(path, dpi=150)
