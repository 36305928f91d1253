"""Rows of `benchmarks.loss`, and how they are shown: a table, a picture, the goals.

The goals of `goals.toml` are held against the results, of trainings too. One counts as met when the
worst of its measurements does. What was not measured is said to be not measured, never guessed.
"""

import itertools
import math
import tomllib
from collections.abc import Callable, Hashable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.loss_measure import PASSES

Row = dict[str, Any]
Rule = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)
SETTING = ("device", "dtype", "num_tokens", "vocab_size", "upstream")
TIMES = ("p20_ms", "p50_ms", "p80_ms")
MEASURED = ("peak_mib_beyond_logits", "share_of_copy_bandwidth", "max_error", "error_over_eager")
RESULTS = (*TIMES, *MEASURED, "synchronizes_host", "captured_in_graph", "status")
# The printed table's columns of numbers: times, speed, and those of `MEASURED`.
TITLES = (*PASSES, "faster", "peak MiB", "of copy", "error", "/eager")
FORMATS = (".3f", ".3f", ".3f", ".2f", ".1f", ".0%", ".1e", ".3g")
ABSENT = {"cuda": "not measured on a GPU", "cpu": "not measured"}
OUR_BEST = ("labo-triton", "labo-torch")  # the first that was timed is what "auto" takes


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


def rows_of(file: dict[str, Any]) -> Iterator[Row]:
    """The rows of both passes, with what the goals are about; one per criterion of the others."""
    for row in file.get("rows", []):
        if row["mode"] == "both":
            yield row | _derived(row)
    settings = file.get("settings", {})
    for name, ratio in file.get("words_per_second_ratio", {}).items():
        where = f"{name}, {settings['repeats']} times {settings['updates']} updates"
        row = {"provider": "training", "device": settings["device"], "p50_ms": None}
        yield row | {"words_per_second_ratio": ratio, "where": where}
    for name, ratio in file.get("max_tokens_ratio", {}).items():
        where = f"{name}, V = {settings['vocab_size']}, {settings['precision']}"
        row = {"provider": "batch", "device": settings["device"], "p50_ms": None}
        yield row | {"max_tokens_ratio": ratio, "where": where}


def _derived(row: Row) -> Row:
    mib, share = row["peak_mib_beyond_logits"], row["share_of_copy_bandwidth"]
    error, waits = row["error_over_eager"], row["synchronizes_host"]
    num_tokens, vocab_size, entry_mib = row["num_tokens"], row["vocab_size"], itemsize(row) / 2**20
    logits = num_tokens * vocab_size * entry_mib
    gradients = (num_tokens + vocab_size) * (row["hidden_dim"] or 0) * entry_mib
    beta = f", β = {row['beta']}" if row["beta"] else ""
    return {
        "where": f"{row['dtype']}, V = {vocab_size}{beta}, upstream {row['upstream']:g}",
        "percent_of_copy_bandwidth": share and 100 * share,
        "peak_mib_beyond_gradients": mib and mib - gradients,
        "peak_over_logits_and_gradient": mib and (logits + mib) / (2 * logits),
        "runs_ahead": None if waits is None else not waits,
        # NaN is a gradient with NaN in it: as far from the goal as can be.
        "error_over_eager": "inf" if error == "nan" else error,
    }


def _rule_for(row: Row, check: Rule) -> Rule:
    """The check with the first bound that fits the row, if one does."""
    for bound in check.get("bounds", []):
        fits = bound.get("where", {}).items() <= row.items()
        if fits and row.get("vocab_size", 0) >= bound.get("from_vocab_size", 0):
            return check | bound
    return check


def measurements(check: Rule, rows: list[Row]) -> Iterator[tuple[tuple[str, float], float, str]]:
    """Of each its kind, how far it misses its bound (0 or less: not at all), and a text."""
    here = [row for row in rows if row["device"] == check["device"]]
    timed = {row["provider"] for row in here if row["p50_ms"]}
    best = [name for name in OUR_BEST if name in timed][:1]
    for mine in (row for row in here if row["provider"] in check.get("providers", best)):
        rule = _rule_for(mine, check)
        at_least, unit = "at_least" in rule, rule.get("unit", "x")
        bound = rule.get("at_least", rule.get("at_most"))
        status = mine.get("status", "ok")
        if bound is not None and not status.startswith(("ok", "missing")):
            what = rule["what"].format_map(mine)
            yield (what, bound), math.inf, f"{what}: {status} ({mine['where']})"
            continue
        if bound is None or mine[rule["measure"]] is None:
            continue
        value = float(mine[rule["measure"]])
        # The peer's rows of the same setting, and β if the peer has one.
        beside = [row for row in here if row["provider"] == rule.get("peer")]
        alike = [row for row in beside if setting(row) == setting(mine)]
        peers = (row[rule["measure"]] for row in alike if row["beta"] in (None, mine["beta"]))
        ratios = [x / value if at_least else value / x for x in peers if x]
        for found in ratios if "peer" in rule else [value]:
            what, sign = rule["what"].format_map(mine), "≥" if at_least else "≤"
            limit = f"{sign} {bound:g}{unit}; {mine['where']}"
            missed = (bound - found if at_least else found - bound) / bound
            yield (what, bound), missed, f"{what} {found:.3g}{unit} ({limit})"


def verdict(checks: list[Rule], rows: list[Row]) -> str:
    """ "met" or "missed by ...", with the worst measurement of each kind; or why there is none."""
    worst: dict[tuple[str, float], tuple[float, str]] = {}
    for kind, missed, text in (each for check in checks for each in measurements(check, rows)):
        worst[kind] = max(worst.get(kind, (missed, text)), (missed, text), key=itemgetter(0))
    if not worst:
        peer = (checks[0].get("peer"), checks[0]["device"])
        statuses = [row["status"] for row in rows if (row["provider"], row["device"]) == peer]
        reasons = [f" ({peer[0]} {status})" for status in statuses if status != "ok"]
        return ABSENT[checks[0]["device"]] + "".join(reasons[:1])
    shortfall = max(missed for missed, _ in worst.values())
    if math.isinf(shortfall):
        return f"missed: {'; '.join(text for _, text in worst.values())}"
    # At least 0.1%, or a small miss would be printed as "missed by 0.0%".
    start = "met" if shortfall <= 0 else f"missed by {max(shortfall, 0.001):.1%}"
    return f"{start}: {'; '.join(text for _, text in worst.values())}"


def goals_table(files: list[dict[str, Any]]) -> str:
    """Markdown table of all goals, from the JSON of `benchmarks.loss` and of trainings."""
    goals = tomllib.loads(Path(__file__).with_name("goals.toml").read_text(encoding="utf-8"))
    rows = [row for file in files for row in rows_of(file)]
    lines = ["| # | goal | result |", "|---|---|---|"]
    for number, goal in enumerate(goals["goal"], 1):
        parts = itertools.groupby(goal["checks"], lambda check: check.get("part", ""))
        result = "; ".join(part + verdict(list(checks), rows) for part, checks in parts)
        lines.append(f"| {number} | {goal['text']} | {result} |")
    return "\n".join(lines)
