"""Tables of what was timed and counted: results/benchmark/."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "results"
Row = dict[str, Any]

PROVIDERS = {
    "fairseq": "fairseq's label smoothing",
    "torch": "`F.cross_entropy(label_smoothing=)`",
    "torch-linear": "`F.linear_cross_entropy(label_smoothing=)`",
    "labo-linear-unfused": "projection, then our loss",
    "labo-linear-fused": "`labo_linear_loss`",
}


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers, to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def load(name: str | Path) -> Any:
    """A JSON file of results/, by its path in there or the whole one."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def both_passes(file: str, vocab_size: int, *, linear: bool = False) -> dict[str, Row]:
    """By provider and β the row of forward and backward at an upstream gradient of 1."""
    rows: dict[str, Row] = {}
    for row in load(f"benchmark/{file}.json")["rows"]:
        wanted = row["mode"] == "both" and row["upstream"] == 1 and row["status"] == "ok"
        if wanted and row["vocab_size"] == vocab_size and linear == bool(row["hidden_dim"]):
            name = PROVIDERS.get(row["provider"], "ours")
            rows[f"{name}, β = {row['beta']}" if row["beta"] else name] = row
    return rows


def table_loss(*files: str) -> str:
    """Time, speed beside fairseq's, memory and error of each provider, a block for each V."""
    units = ("ms", "times as fast", "MiB", "error")
    header, rows = ["forward and backward"], dict[str, list[str]]()
    of_both = files if len(files) == 2 else files * 2
    for vocab_size, file in zip((7872, 32000), of_both, strict=True):
        header += [f"V = {vocab_size}: {units[0]}", *units[1:]]
        measured = both_passes(file, vocab_size)
        slowest = measured[PROVIDERS["fairseq"]]["p50_ms"]
        for name, row in measured.items():
            ratio = slowest / row["p50_ms"]
            memory, error = row["peak_mib_beyond_logits"], row["max_error"]
            cells = rows.setdefault(name, [])
            cells += [f"{row['p50_ms']:.1f}", f"{ratio:.2f}", f"{memory:.0f}", f"{error:.1e}"]
    return markdown(header, [[name, *cells] for name, cells in rows.items()])


def table_speed() -> str:
    """The README's: V = 32,000 with fresh pages and with kept memory."""
    fresh, kept = both_passes("cpu-32000", 32000), both_passes("cpu-kept-memory", 32000)
    first = PROVIDERS["fairseq"]
    rows = [
        [
            name,
            f"{fresh[name]['p50_ms']:.0f}",
            f"{fresh[first]['p50_ms'] / fresh[name]['p50_ms']:.2f}",
            f"{kept[first]['p50_ms'] / kept[name]['p50_ms']:.2f}",
            f"{fresh[name]['peak_mib_beyond_logits']:.0f}",
        ]
        for name in kept
    ]
    header = ["forward and backward", "ms", "times as fast", "… with freed memory kept", "MiB"]
    return markdown(header, rows)


def table_projection() -> str:
    """Projection and loss, fused or not."""
    rows = [
        [name, f"{row['p50_ms']:.0f}", f"{row['peak_mib_beyond_logits']:.0f}"]
        for name, row in both_passes("cpu-7872", 7872, linear=True).items()
        if row["beta"] in (None, "2")
    ]
    return markdown(["projection and loss, D = 128, V = 7872", "ms", "MiB"], rows)


def table_training() -> str:
    """Whole trainings beside `label_smoothed_cross_entropy`."""
    medians = load("benchmark/cpu-training.json")["medians"]
    slowest = next(iter(medians.values()))["words_per_second"]
    rows = [
        [
            f"`{name.replace(' fused', ' --fused-projection')}`",
            f"{each['words_per_second']:.0f}",
            f"{each['words_per_second'] / slowest:.2f}",
            f"{each['peak_resident_mib']:.0f}",
        ]
        for name, each in medians.items()
    ]
    return markdown(["criterion", "words/s", "times as fast", "peak resident MiB"], rows)


def table_launches() -> str:
    """Launches of a criterion's step, and those of fairseq's over them."""
    rows = load("benchmark/launches.json")["rows"]
    shown = []
    for row in rows:
        times = f"{rows[0]['launches'] / row['launches']:.1f}"
        counts = [str(row["launches"]), times, str(row["with_the_model"])]
        shown.append([f"`{row['criterion']}`", *counts])
    columns = ["launches", "times as few", "with a model of 2+2 layers"]
    return markdown(["forward and backward", *columns], shown)


def table_compatibility() -> str:
    """The rows of scripts/test-matrix.sh."""
    header = ["date", "row", "Python", "torch", "numpy", "fairseq-fixed", "outcome"]
    header += ["fast tests", "time"]
    paths = sorted((RESULTS / "compatibility").glob("*.tsv"))
    return markdown(header, [path.read_text("utf-8").rstrip("\n").split("\t") for path in paths])


TABLES = {
    "loss": table_loss, "speed": table_speed, "projection": table_projection,
    "training": table_training, "launches": table_launches, "compatibility": table_compatibility,
}  # fmt: skip
