"""What `examples/digits.py` prints and writes: a table, digits.json and a figure."""

import importlib.metadata
import json
import logging
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

Run = dict[str, Any]


def summarize(runs: list[Run]) -> dict[str, dict[str, float]]:
    """By method: mean and (sample) standard deviation of its test scores over the seeds."""
    summary = {}
    for method in dict.fromkeys(run["method"] for run in runs):
        mine = [run["test"] for run in runs if run["method"] == method]
        summary[method] = {"seeds": float(len(mine))}
        for score in ("accuracy", "nll"):
            values = [test[score] for test in mine]
            summary[method][f"{score}_mean"] = statistics.mean(values)
            # One value has no deviation; NaN would not be JSON.
            summary[method][f"{score}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return summary


def table(summary: dict[str, dict[str, float]]) -> str:
    """The summary as a Markdown table."""
    lines = ["| method | test accuracy (%) | test NLL (nats) |", "|---|---:|---:|"]
    for method, row in summary.items():
        accuracy = f"{row['accuracy_mean']:.2f} ± {row['accuracy_std']:.2f}"
        nll = f"{row['nll_mean']:.4f} ± {row['nll_std']:.4f}"
        lines.append(f"| {method} | {accuracy} | {nll} |")
    return "\n".join(lines) + "\n"


def provenance() -> dict[str, Any]:
    """Machine, versions and commit that the numbers were obtained with."""
    names = ("torch", "scikit-learn", "numpy")
    return {
        "machine": f"CPU ({platform.machine()})",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in names},
        },
        "commit": current_commit(),
    }


def current_commit() -> str | None:
    """Commit of the repository, with "+changes" if the work tree differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    commit = git("rev-parse", "--short", "HEAD")
    return commit + changed if commit else None


def draw(runs: list[Run], summary: dict[str, dict[str, float]], path: Path) -> None:
    """Validation NLL after every epoch, and test NLL and accuracy with each seed as a dot."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq turns all reports on
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # The same numbers give the same file, and a small one.
    pyplot.rcParams.update({"svg.hashsalt": "digits", "svg.fonttype": "none"})
    figure, (over_time, nll, accuracy) = pyplot.subplots(1, 3, figsize=(13, 4.2))
    colours = {method: f"C{number}" for number, method in enumerate(summary)}
    for method in summary:
        curves = [[e["nll"] for e in run["valid"]] for run in runs if run["method"] == method]
        means = [statistics.mean(values) for values in zip(*curves, strict=True)]
        over_time.plot(range(1, len(means) + 1), means, label=method, color=colours[method])
    over_time.set(xlabel="epoch", ylabel="nats", yscale="log", title="validation NLL (mean)")
    over_time.legend(fontsize=8)
    for axes, score, title in (
        (nll, "nll", "test NLL (nats)"),
        (accuracy, "accuracy", "test accuracy (%)"),
    ):
        for row, method in enumerate(summary):
            values = [run["test"][score] for run in runs if run["method"] == method]
            axes.plot(values, [row] * len(values), "o", alpha=0.4, color=colours[method])
            mean, deviation = (summary[method][f"{score}_{which}"] for which in ("mean", "std"))
            axes.errorbar(mean, row, xerr=deviation, fmt="|k", capsize=3)
        axes.set_yticks(range(len(summary)), list(summary))
        axes.invert_yaxis()
        axes.set_title(f"{title}: seeds, mean ± std")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def print_and_write(
    runs: list[Run], *, settings: dict[str, Any], seconds: float, output: Path
) -> None:
    """Print the table; write it, digits.json and digits.svg into the folder `output`."""
    summary = summarize(runs)
    printed = table(summary)
    print(printed, end="")
    results = {"settings": settings, **provenance(), "seconds": round(seconds, 1)}
    output.mkdir(parents=True, exist_ok=True)
    head = json.dumps({**results, "summary": summary}, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(run)}" for run in runs)  # one run a line
    (output / "digits.json").write_text(f'{head},\n "runs": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    (output / "table.md").write_text(printed, encoding="utf-8")
    draw(runs, summary, output / "digits.svg")
    print(f"{len(runs)} trainings in {seconds:.0f} s; table, numbers and figure: {output}")
