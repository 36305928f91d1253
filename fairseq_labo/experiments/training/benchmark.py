"""Speed and memory of whole training: our criterions beside label_smoothed_cross_entropy.

Usage: scripts/bench_training.sh (see its -h), which calls this.

Each training is scripts/train.sh in a process of its own, with the same seed, data and model.
Words per second are target tokens over the time of all updates but the first interval of the
log; memory is the largest resident set of any process of the training and, on a GPU, what
torch held at most.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines
from fairseq_labo.experiments.training.progress import parse_report

TRAIN = Path(__file__).parents[3] / "scripts" / "train.sh"
BASELINE = "label_smoothed_cross_entropy"
INTERVALS = 10  # reports in the log of one training


class Variant(NamedTuple):
    """A criterion, its flags of train.sh, and those that train.sh hands on."""

    name: str
    flags: tuple[str, ...]
    more_flags: tuple[str, ...] = ()


def variants(updates: int) -> list[Variant]:
    """What is compared; tsla_cross_entropy in its first stage."""
    labo = ("--criterion", "labo_cross_entropy", "--labo-beta", "2")
    tsla = ("--criterion", "tsla_cross_entropy", "--smoothing-updates", str(updates))
    fused = ("--fused-projection",)
    return [
        Variant(BASELINE, ("--criterion", BASELINE)),
        Variant("labo_cross_entropy", labo),
        Variant("labo_cross_entropy fused", labo, fused),
        Variant("tsla_cross_entropy", tsla),
        Variant("tsla_cross_entropy fused", tsla, fused),
    ]


def command(variant: Variant, options: argparse.Namespace, save_dir: Path) -> list[str]:
    """One training: nothing but updates, each of them in the log."""
    return [
        str(options.train),
        *("--data", str(options.data), "--save-dir", str(save_dir), "--size", options.size),
        *("--epochs", "100000", "--seed", str(options.seed), *variant.flags, "--"),
        *("--max-update", str(options.updates), "--disable-validation", "--no-save"),
        *("--max-tokens", str(options.max_tokens)),
        *("--log-interval", str(max(1, options.updates // INTERVALS)), *variant.more_flags),
    ]


def words_per_second(reports: list[dict[str, Any]], *, log: Path) -> float:
    """Target tokens a second over all intervals of the log but the first, the warm-up."""
    words, seconds, before = 0.0, 0.0, None
    for report in reports:
        done = int(report["num_updates"])
        if before is not None and float(report["wps"]) > 0:
            interval = (done - before) * float(report["wpb"])
            words += interval
            seconds += interval / float(report["wps"])
        before = done
    if not seconds:
        raise UserError(
            f"{log}: expected two or more reports of speed, found {len(reports)} reports; raise "
            f"--updates, or read the log's end for an error"
        )
    return words / seconds


# Run by a process of its own: the memory of a child counts from what its parent held when it
# started it, and this one holds torch.
RUN_AND_MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def train_once(arguments: list[str], *, save_dir: Path) -> dict[str, Any]:
    """Run one training to its end; its speed and memory, from its log and its exit."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_MEASURE, *arguments], capture_output=True, text=True
    )
    log = save_dir / "train.log"
    if done.returncode != 0:
        tail = "\n".join(list(read_lines(log))[-15:]) if log.exists() else done.stderr
        raise UserError(f"{' '.join(arguments)}: exit status {done.returncode}\n{tail}")
    found = [report for line in read_lines(log) if (report := parse_report(line)) is not None]
    inner = [values for kind, values in found if kind == "train_inner"]
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return {
        "words_per_second": words_per_second(inner, log=log),
        "peak_resident_mib": int(done.stdout) * unit / 2**20,
        "peak_gpu_mib": peak_gpu_mib(inner),
        "loss": float(inner[-1]["loss"]),
    }


def peak_gpu_mib(reports: list[dict[str, Any]]) -> float | None:
    """What torch held at most on the GPU, from the free memory that fairseq logs; or None."""
    free_gib = [float(report["gb_free"]) for report in reports if report.get("gb_free")]
    if not free_gib:
        return None
    from fairseq_labo.experiments import (
        provenance as machine,  # torch, which a CPU's run does not need here
    )

    return machine.peak_gpu_mib(min(free_gib))


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of each criterion, and our words per second over the baseline's."""
    medians = {}
    for name in dict.fromkeys(run["name"] for run in runs):
        mine = [run for run in runs if run["name"] == name]
        medians[name] = {
            key: statistics.median(run[key] for run in mine)
            for key in ("words_per_second", "peak_resident_mib", "peak_gpu_mib")
            if mine[0][key] is not None
        }
    base = medians[BASELINE]["words_per_second"]
    ratios = {
        name: values["words_per_second"] / base
        for name, values in medians.items()
        if name != BASELINE
    }
    return {"medians": medians, "words_per_second_ratio": ratios}


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Options; bench_training.sh describes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=2000)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("bench_training.json"))
    parser.add_argument("--train", type=Path, default=TRAIN, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.updates < 2 or options.repeats < 1:
        parser.error(
            f"expected --updates of 2 or more and --repeats of 1 or more, found "
            f"{options.updates} and {options.repeats}"
        )
    return options


def main(arguments: list[str] | None = None) -> None:
    """Train all variants in turns, write the results, print their medians."""
    from score import describe_machine

    options = parse_options(arguments)
    machine = describe_machine()
    runs: list[dict[str, Any]] = []
    for repeat in range(options.repeats):
        order = variants(options.updates)
        for variant in order if repeat % 2 == 0 else reversed(order):
            with tempfile.TemporaryDirectory() as folder:
                arguments_of_train = command(variant, options, Path(folder))
                measured = train_once(arguments_of_train, save_dir=Path(folder))
            runs.append({"name": variant.name, "repeat": repeat, **measured})
            speed, memory = measured["words_per_second"], measured["peak_resident_mib"]
            print(f"{variant.name:<30} {speed:9.1f} words/s {memory:9.1f} MiB", flush=True)
    settings = {
        **{"data": options.data.name, "updates": options.updates, "repeats": options.repeats},
        **{"size": options.size, "seed": options.seed, "max_tokens": options.max_tokens},
        "device": "cpu" if machine["device"].startswith("CPU") else "cuda",
    }
    summary = summarize(runs)
    results = {"kind": "training", "settings": settings, "machine": machine, **summary}
    results["runs"] = runs
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, values in summary["medians"].items():
        ratio = summary["words_per_second_ratio"].get(name)
        shown = f"  {ratio:.2f}x {BASELINE}" if ratio else ""
        print(f"median: {name:<22} {values['words_per_second']:9.1f} words/s{shown}")
    print(f"written: {options.output}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
