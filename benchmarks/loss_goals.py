"""The goals of `goals.toml`, held against the results of `benchmarks.loss` and of trainings.

A goal counts as met when the worst of its measurements does. What was not measured is said to be
not measured, never guessed.
"""

import itertools
import tomllib
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.loss_report import Row, itemsize, setting

ABSENT = {"cuda": "not measured on a GPU", "cpu": "not measured"}
OUR_BEST = ("labo-triton", "labo-torch")  # the first that was timed is what "auto" takes
Rule = dict[str, Any]


def rows_of(file: dict[str, Any]) -> Iterator[Row]:
    """The rows of both passes, with what the goals are about; of a training one per criterion."""
    for row in file.get("rows", []):
        if row["mode"] == "both":
            yield row | _derived(row)
    for name, ratio in file.get("words_per_second_ratio", {}).items():
        settings = file["settings"]
        where = f"{name}, {settings['repeats']} times {settings['updates']} updates"
        row = {"provider": "training", "device": settings["device"], "p50_ms": None}
        yield row | {"words_per_second_ratio": ratio, "where": where}


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
        if bound is None or mine[rule["measure"]] is None:
            continue
        value = float(mine[rule["measure"]])
        peers = (row[rule["measure"]] for row in _peers(rule.get("peer"), mine, here))
        ratios = [x / value if at_least else value / x for x in peers if x]
        for found in ratios if "peer" in rule else [value]:
            what, sign = rule["what"].format_map(mine), "≥" if at_least else "≤"
            limit = f"{sign} {bound:g}{unit}; {mine['where']}"
            missed = (bound - found if at_least else found - bound) / bound
            yield (what, bound), missed, f"{what} {found:.3g}{unit} ({limit})"


def _peers(name: str | None, mine: Row, rows: list[Row]) -> list[Row]:
    """The peer's rows of the same setting, and β if the peer has one."""
    rows = [row for row in rows if row["provider"] == name and setting(row) == setting(mine)]
    return [row for row in rows if row["beta"] in (None, mine["beta"])]


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
