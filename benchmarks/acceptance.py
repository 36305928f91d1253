"""Everything that a GPU must show, in one command: ``labo benchmark --acceptance FOLDER``.

Each step is a process of its own, with a log; one that fails costs no other. A step that has passed
is not run again; one that is not done when --minutes are over is cut off, and none is begun with
less than a third of its own limit left: the same command goes on.
What there is so far is in acceptance.json, acceptance.md (steps, goals) and loss.png, after every
step. With --device cpu the same steps run in miniature, the kernels in Triton's interpreter.
"""

import argparse
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import torch

from benchmarks.loss import describe
from benchmarks.loss_report import goals_table, plot
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, read_json, write_json, write_lines
from fairseq_labo.experiments.provenance import available_cores

REPOSITORY = Path(__file__).parents[1]
RECORD, REPORT, PICTURE = "acceptance.json", "acceptance.md", "loss.png"
KERNELS = ["tests/ops/test_triton_loss.py", "tests/ops/test_triton_kernels.py"]
KERNELS += ["tests/ops/test_dispatch.py", "tests/ops/test_dispatch_check.py"]
# In miniature: a few of each file, mutants among them.
FEW = "agree and 203 and float16 or mutant and wrong_gradient or several_blocks"
# The definition itself would take most of the time.
PROVIDERS = "fairseq torch liger flash-attn apex *-linear labo-torch labo-triton labo-linear-*"
LOSS = ["-m", "benchmarks.loss", "--providers", *PROVIDERS.split()]
SMALL_LOSS = ["--num-tokens", "64", "--vocab-size", "500", "--hidden-dim", "16", "--repeats", "2"]
SMALL_LOSS += ["--beta", "2", "10"]
LABO = ["-m", "fairseq_labo.experiments.cli"]
LATE = "not done: cut off"
UPDATES = ["| update | precision | words/s | GPU MiB | computed by | outcome |", "|---" * 6 + "|"]
COUNTED = ("tests", "failures", "errors", "skipped")  # by pytest


class Step(NamedTuple):
    """A process: Python's arguments, what it answers, and how many seconds it may take."""

    name: str
    question: str
    arguments: list[str]
    seconds: int


def list_steps(device: str, folder: Path) -> list[Step]:
    """All steps, those first that decide whether the others mean anything."""
    cuda = device == "cuda"
    on = ["--device", device]

    def result(name: str) -> list[str]:
        return ["--output", str(folder / f"{name}.json")]

    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *KERNELS, *on]
    tests += [f"--junitxml={folder}/kernels.xml", *([] if cuda else ["-k", FEW])]
    if cuda and importlib.util.find_spec("xdist"):  # each compiles kernels
        tests += ["-n", str(min(8, available_cores()))]
    steps = [Step("kernels", "the grid against float64, and the mutants", tests, 420)]
    # In miniature in one precision, which is compared with the CPU's float32 all the same.
    for dtype in ("fp16", "bf16", "fp32") if cuda else ("bf16",):
        name, small = f"loss-{dtype}", [] if cuda else SMALL_LOSS
        words = [*LOSS, *on, "--dtype", dtype, *small, *result(name)]
        steps.append(Step(name, "goals 1-9", words, 300))
    for precision in ("fp32", "fp16", "bf16", "amp") if cuda else ("bf16",):
        name = f"updates-{precision}"
        words = ["-m", "benchmarks.updates", *on, "--precision", precision, *result(name)]
        words += [] if cuda else ["--updates", "2", "--max-tokens", "64"]
        steps.append(Step(name, "losses, speed and memory of updates", words, 240))
    words = ["-m", "benchmarks.largest_batch", *on, *result("largest")]
    words += [] if cuda else ["--memory-mib", "5"]
    steps.append(Step("largest", "goal 12: the largest batch", words, 240))
    return steps + list_whole_steps(cuda, folder)


def list_whole_steps(cuda: bool, folder: Path) -> list[Step]:
    """A user's own commands, on the embedded corpus."""
    data, run = str(folder / "data"), str(folder / "run")
    train = [*LABO, "train", "--data", data, "--save-dir"]
    ends = ["--", "--max-update", "40" if cuda else "4"]
    one, two = (["--gpus", "1"], ["--gpus", "2"]) if cuda else (["--gpus", "0"], ["--workers", "2"])
    evaluate = [*LABO, "evaluate", "--data", data, "--checkpoint", f"{run}/checkpoint_best.pt"]
    evaluate += ["--beam", "1", "--allow-empty", *([] if cuda else ["--cpu"])]
    steps = [
        Step("prepare", "a corpus", [*LABO, "prepare", "microworld", "--destdir", data], 120),
        Step("train", "fairseq-train, whole", [*train, run, *one, *ends], 180),
        Step("evaluate", "fairseq-generate and scores", evaluate, 180),
    ]
    if not cuda or torch.cuda.device_count() >= 2:
        steps.append(Step("two", "two processes", [*train, f"{run}-2", *one, *two, *ends], 180))
    return steps


def run_step(step: Step, folder: Path, seconds: float) -> str:
    """Run one step; "passed", or what went wrong."""
    log = folder / f"{step.name}.log"
    say(f"{step.name}: {step.question}")
    with log.open("w", encoding="utf-8") as output:
        print(shlex.join(["python", *step.arguments]), file=output, flush=True)
        process = subprocess.Popen(
            [sys.executable, *step.arguments], cwd=REPOSITORY, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            if seconds < step.seconds:
                return f"{LATE} after {seconds:.0f} s by --minutes"
            return f"failed: not done after {seconds:.0f} s; its log: {log.name}"
        finally:  # with all that it has started
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status == 0:
        return "passed"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    why = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"failed: exit status {status}: {why[:200]}"


def tests_of(folder: Path) -> str:
    """How many tests of the kernels passed, by pytest's own report."""
    try:
        suites = ElementTree.parse(folder / "kernels.xml").getroot().iter("testsuite")
    except (OSError, ElementTree.ParseError):
        return ""
    counts = [{key: int(suite.get(key, 0)) for key in COUNTED} for suite in suites]
    total = {key: sum(each[key] for each in counts) for key in COUNTED}
    bad = total["failures"] + total["errors"]
    passed = total["tests"] - total["skipped"] - bad
    return f"{passed} tests passed, {bad} failed, {total['skipped']} skipped"


def report(steps: list[Step], record: dict[str, Any], folder: Path) -> str:
    """Write all that is known; the report as text."""
    files = [folder / f"{step.name}.json" for step in steps]
    results = {path.stem: found for path in files if isinstance(found := read_json(path), dict)}
    tests, machine = tests_of(folder), record["machine"]
    write_json(folder / RECORD, {**record, "kernels": tests, "results": results})
    lines = [f"# Acceptance: {machine['device']}, commit {machine['commit']}", ""]
    if machine["device"].startswith("CPU"):
        lines += ["In miniature: this shows that the steps run, and nothing of speed.", ""]
    lines += [", ".join(f"{name} {version}" for name, version in machine["versions"].items())]
    lines += ["", "| step | asks for | outcome | seconds | commit |", "|---|---|---|---|---|"]
    for step in steps:
        done = record["steps"].get(step.name, {"outcome": "not run yet", "seconds": ""})
        outcome = done["outcome"].replace("|", "\\|")
        outcome += f" ({tests})" if step.name == "kernels" and tests else ""
        cells = [step.name, step.question, outcome, str(done["seconds"]), done.get("commit", "")]
        lines.append(f"| {' | '.join(cells)} |")
    goals = [found for found in results.values() if found.get("kind") in ("loss", "largest")]
    lines += ["", *goals_table(goals).splitlines(), "", *UPDATES]
    for row in (row for found in results.values() for row in found.get("updates", [])):
        speed, memory = row.get("words_per_second"), row.get("peak_gpu_mib")
        cells = [row["name"], row["precision"]]
        cells += ["" if x is None else f"{x:.0f}" for x in (speed, memory)]
        cells += [", ".join(row.get("implementations", [])), row["status"]]
        lines.append(f"| {' | '.join(cells)} |")
    write_lines(folder / REPORT, lines)
    losses = [found for found in results.values() if found.get("kind") == "loss"]
    if losses and importlib.util.find_spec("matplotlib"):
        rows = [row for each in losses for row in each["rows"]]
        plot(losses[0] | {"rows": rows}, folder / PICTURE)
    return "\n".join(lines)


def run(folder: Path, device: str, minutes: float) -> int:
    """Run what has not passed, within `minutes`; 0 if everything has passed.

    Raises UserError if the folder holds results of another device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: expected a GPU, found none; use --device cpu")
    began = time.monotonic()
    with locked(folder):
        machine = describe(device)
        record = read_json(folder / RECORD) or {"machine": machine, "steps": {}}
        if record["machine"]["device"] != machine["device"]:
            raise UserError(
                f"{folder}: expected results of {machine['device']}, found those of "
                f"{record['machine']['device']}; give another folder"
            )
        record["machine"] = machine
        steps = list_steps(device, folder)
        late = False
        for step in steps:
            seconds_left = 60 * minutes - (time.monotonic() - began)
            late = late or seconds_left < step.seconds / 3
            if late or record["steps"].get(step.name, {}).get("outcome") == "passed":
                continue
            at = time.monotonic()
            outcome = run_step(step, folder, min(seconds_left, step.seconds))
            seconds = round(time.monotonic() - at)
            done = {"outcome": outcome, "seconds": seconds, "commit": machine["commit"]}
            record["steps"][step.name] = done
            report(steps, record, folder)
        print(report(steps, record, folder))
    outcomes = [record["steps"].get(step.name, {}).get("outcome", LATE) for step in steps]
    if left := sum(outcome.startswith(LATE) for outcome in outcomes):
        say(f"{left} steps are left: the same command goes on from here")
    return 0 if set(outcomes) == {"passed"} else 1


def main(arguments: list[str] | None = None) -> int:
    """The command line; see ``labo benchmark -h``."""
    parser = argparse.ArgumentParser("python -m benchmarks.acceptance", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="of the results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--minutes", type=float, default=9.5, help="for this run (default: 9.5)")
    options = parser.parse_args(arguments)
    try:
        return run(options.folder.absolute(), options.device, options.minutes)
    except UserError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
