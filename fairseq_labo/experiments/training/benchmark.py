"""``labo benchmark``: speed and memory of whole trainings, our criterions beside fairseq's.

Each training is ``labo train`` in a process of its own, with the same seed, data and model.
Words per second are target tokens over the time of all updates but the first interval of the
log; memory is the largest resident set of any process of the training and, on a GPU, what
torch held at most.
"""

import argparse
import itertools
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import provenance
from fairseq_labo.experiments.console import format_table
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, read_json, read_lines, write_json
from fairseq_labo.experiments.training.flags import add_flags, flags_of
from fairseq_labo.experiments.training.launch import RESOURCES
from fairseq_labo.experiments.training.log import MAIN_LOG, parse_report
from fairseq_labo.experiments.training.presets import PRESETS, SEED, TRAINING_FLAGS

DESCRIPTION = """
Train the same model on the same data with label_smoothed_cross_entropy, labo_cross_entropy
(beta 2) and tsla_cross_entropy (stage 1), ours also with --fused-projection, for a few updates, in
turns of alternating order.
Prints words per second and peak memory of each, their medians, and ours over fairseq's.
Leave the machine alone meanwhile. A GPU is used when there is one.

With --acceptance FOLDER everything is measured that a GPU must show (kernels against float64, all
goals of speed and memory, updates of whole models in every precision, the largest batch): from a
checkout of the repository, in steps that the same command goes on with.
"""
REPOSITORY = Path(__file__).parents[3]
TRAIN = [sys.executable, "-m", "fairseq_labo.experiments.cli", "train"]
BASELINE = "label_smoothed_cross_entropy"
INTERVALS = 10  # reports in the log of one training
LOG_TAIL_LINES = 15
OUTPUT = Path("bench_training.json")
FLAGS = {**flags_of(PRESETS["benchmark"]), "size": TRAINING_FLAGS["size"], **SEED}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The corpus, the file of the results, and `FLAGS`."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared corpus (required)")
    described = f"JSON file of the results (default: {OUTPUT})"
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help=described)
    add_flags(parser, "trainings", FLAGS)
    group = parser.add_argument_group("acceptance of a GPU")
    group.add_argument(
        "--acceptance", type=Path, metavar="FOLDER", help="measure everything, there"
    )
    group.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: the same in miniature"
    )
    described = "for all steps; what is not done then is left for the next time (default: 9.5)"
    group.add_argument("--minutes", type=float, default=9.5, help=described)


def run(options: argparse.Namespace) -> int:
    """Train all variants in turns, write the results, print their medians; or the acceptance."""
    if options.acceptance:
        return accept(options)
    if options.data is None:
        raise UserError(
            "expected --data DIR (a prepared corpus) or --acceptance FOLDER, found none"
        )
    PreparedCorpus.read(options.data)  # or five trainings would say why they cannot
    if options.output.is_dir():
        raise UserError(f"--output: expected a file, found a folder at {options.output}")
    machine = provenance.describe_machine()
    runs: list[dict[str, Any]] = []
    with locked(options.output.parent, name=f".{options.output.name}.lock"):
        for repeat in range(options.repeats):
            order = list(variants(options.updates).items())
            for name, flags in order if repeat % 2 == 0 else reversed(order):
                with tempfile.TemporaryDirectory() as name_of_folder:
                    folder = Path(name_of_folder)
                    try:
                        measured = train_once(command(flags, options, folder), folder)
                    except UserError as error:
                        log, kept = folder / MAIN_LOG, options.output.with_suffix(".train.log")
                        if log.exists():
                            shutil.copyfile(log, kept)
                        raise UserError(str(error).replace(str(log), str(kept))) from error
                runs.append({"name": name, "repeat": repeat, **measured})
                speed, memory = measured["words_per_second"], measured["peak_resident_mib"]
                print(f"{name:<30} {speed:9.1f} words/s {memory:9.1f} MiB", flush=True)
        settings = {name: getattr(options, name) for name in FLAGS} | {"data": options.data.name}
        settings["device"] = "cpu" if machine["device"].startswith("CPU") else "cuda"
        summary = summarize(runs)
        results = {"kind": "training", "settings": settings, "machine": machine, **summary}
        write_json(options.output, {**results, "runs": runs})
    print(f"\n{medians_table(summary)}\nwritten: {options.output}")
    return 0


def accept(options: argparse.Namespace) -> int:
    """Run benchmarks.acceptance, which is not part of the installed package."""
    if not (REPOSITORY / "benchmarks" / "acceptance.py").is_file():
        raise UserError(
            f"--acceptance: expected a checkout of the repository, found an installed package at "
            f"{REPOSITORY}; run `python -m fairseq_labo.experiments.cli benchmark --acceptance "
            f"{shlex.quote(str(options.acceptance))}` in a checkout"
        )
    command = [sys.executable, "-m", "benchmarks.acceptance", str(options.acceptance.absolute())]
    command += ["--device", options.device, "--minutes", str(options.minutes)]
    return subprocess.run(command, cwd=REPOSITORY).returncode


def variants(updates: int) -> dict[str, list[str]]:
    """What is compared, with its flags of ``labo train``."""
    found: dict[str, str] = PRESETS["variants"]
    return {name: words.format(updates=updates).split() for name, words in found.items()}


def command(flags: list[str], options: argparse.Namespace, save_dir: Path) -> list[str]:
    """One training: nothing but updates, each of them in the log."""
    words = [*TRAIN, "--data", str(options.data), "--save-dir", str(save_dir)]
    words += ["--size", options.size, "--seed", str(options.seed), "--epochs", "100000"]
    words += [*flags, "--", "--max-update", str(options.updates)]
    words += ["--disable-validation", "--no-save", "--max-tokens", str(options.max_tokens)]
    words += ["--update-freq", "1"]
    return [*words, "--log-interval", str(max(1, options.updates // INTERVALS))]


def train_once(arguments: list[str], save_dir: Path) -> dict[str, Any]:
    """Run one training to its end; its speed and memory, from what it left in `save_dir`."""
    started = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        said = started.communicate()[1]
    finally:  # a signal: labo train ends its own processes
        started.terminate()
        started.wait()
    log, resources = save_dir / MAIN_LOG, read_json(save_dir / RESOURCES)
    if started.returncode != 0 or not isinstance(resources, dict):
        tail = "\n".join(said.splitlines()[-LOG_TAIL_LINES:])
        raise UserError(f"{shlex.join(arguments)}: exit status {started.returncode}\n{tail}")
    reports = map(parse_report, read_lines(log))
    inner = [values for kind, values in reports if kind == "train_inner"]
    free_gib = [float(report["gb_free"]) for report in inner if report.get("gb_free")]
    return {
        "words_per_second": words_per_second(inner, log=log),
        "peak_resident_mib": resources["peak_memory_mib"],
        "peak_gpu_mib": provenance.peak_gpu_mib(min(free_gib, default=None)),
        "loss": float(inner[-1]["loss"]),
    }


def words_per_second(reports: list[dict[str, Any]], *, log: Path) -> float:
    """Target tokens a second over all intervals of the log but the first, the warm-up.

    Raises UserError for a log of fewer than two reports.
    """
    words = seconds = 0.0
    for before, report in itertools.pairwise(reports):
        if (speed := float(report["wps"])) > 0:
            updates = int(report["num_updates"]) - int(before["num_updates"])
            words += updates * float(report["wpb"])
            seconds += updates * float(report["wpb"]) / speed
    if not seconds:
        raise UserError(
            f"{log}: expected two or more reports of speed, found {len(reports)} reports; raise "
            f"--updates, or read the log's end for an error"
        )
    return words / seconds


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of each criterion, and our words per second over the baseline's."""
    medians: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(run["name"] for run in runs):
        mine = [run for run in runs if run["name"] == name]
        medians[name] = {
            key: statistics.median(run[key] for run in mine)
            for key in ("words_per_second", "peak_resident_mib", "peak_gpu_mib")
            if mine[0][key] is not None
        }
    speeds = {name: values["words_per_second"] for name, values in medians.items()}
    base = speeds.pop(BASELINE)
    ratios = {name: speed / base for name, speed in speeds.items()}
    return {"medians": medians, "words_per_second_ratio": ratios}


def medians_table(summary: dict[str, Any]) -> str:
    """The medians, a row for each criterion."""
    rows = [["median", "words/s", "MiB", f"of {BASELINE}"]]
    for name, median in summary["medians"].items():
        figures = median["words_per_second"], median["peak_resident_mib"]
        ratio = summary["words_per_second_ratio"].get(name, 1)
        rows.append([name, *(f"{figure:.1f}" for figure in figures), f"{ratio:.2f}x"])
    return format_table(rows, left_columns=1)
