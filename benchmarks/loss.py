"""Time and memory of the loss: ours beside fairseq's, torch's, Liger's, flash-attn's and apex's.

    python -m benchmarks.loss [--device cpu|cuda] [option ...] [--output FILE] [--plot FILE]
    python -m benchmarks.loss --goals FILE ...

All providers run in one process, on the same random tensors, in turns. Each is first compared
with its own definition in float64; one that is wrong, missing or fails is reported as such
and not timed. Sizes default to those of the project's goals: on a CPU N = 1800 tokens and
V = 7872 and 32000, on a GPU N = 8192 and V = 10152, 32000 and 50304. With --goals nothing is
measured: the files of earlier runs, of trainings too, are held against the goals.
"""

import argparse
import fnmatch
import importlib.metadata
import itertools
import json
import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks import loss_check as checking
from benchmarks import loss_measure as measuring
from benchmarks.loss_measure import PASSES
from benchmarks.loss_providers import DTYPES, Problem, Provider, list_providers, make_problem
from benchmarks.loss_report import Row, goals_table, make_row, plot, table
from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA
from fairseq_labo.experiments.provenance import describe_machine, processor_name

DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {"num_tokens": 1800, "vocab_size": [7872, 32000], "hidden_dim": 128},
    "cuda": {"num_tokens": 8192, "vocab_size": [10152, 32000, 50304], "hidden_dim": 512},
}
DEFAULTS["cpu"] |= {"dtype": ["fp32"], "repeats": 12}
DEFAULTS["cuda"] |= {"dtype": ["fp16", "bf16", "fp32"], "repeats": 40}
# A power of exp(z/β) that the kernels multiply out, another one, the default, one beyond the powers
# and the default, and uniform.
BETAS = [2.0, 2.5, DEFAULT_BETA, 10.0, math.inf]


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Options, with the defaults of the device."""
    parser = argparse.ArgumentParser("python -m benchmarks.loss", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--device", choices=DEFAULTS, help="default: cuda if there is a GPU")
    add("--threads", type=int, default=2, help="of the CPU (default: 2)")
    add("--num-tokens", type=int, metavar="N")
    add("--vocab-size", type=int, nargs="+", metavar="V")
    add("--hidden-dim", type=int, metavar="D", help="of the output projection")
    add("--dtype", nargs="+", choices=DTYPES)
    add("--upstream", type=float, nargs="+", default=[1.0, 128.0], help="gradients of the sum")
    add("--beta", type=float, nargs="+", default=BETAS)
    add("--label-smoothing", type=float, default=DEFAULT_ALPHA)
    add("--mode", nargs="+", choices=PASSES, default=list(PASSES))
    add("--providers", nargs="+", default=["*"], help="names or patterns, as 'labo-*'")
    add("--repeats", type=int, help="timings of each (default: 12 on a CPU, 40 on a GPU)")
    add("--seed", type=int, default=1)
    add("--output", type=Path, help="JSON file of the results")
    add("--plot", type=Path, help="picture of the results (needs matplotlib)")
    add("--goals", type=Path, nargs="+", metavar="FILE", help="print the table of goals; no more")
    options = parser.parse_args(arguments)
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.device == "cuda" and not torch.cuda.is_available() and not options.goals:
        parser.error("--device cuda: expected a GPU, found none; use --device cpu")
    for name, value in DEFAULTS[options.device].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    names = sorted({provider.name for provider in list_providers([1.0])})
    for pattern in options.providers:
        if not fnmatch.filter(names, pattern):
            parser.error(f"--providers {pattern}: expected one of {', '.join(names)}")
    return options


def describe(device: str) -> dict[str, Any]:
    """Machine, versions and commit, those of the peers too."""
    machine = describe_machine(cpu=device == "cpu")
    for name in ("triton", "liger-kernel", "flash-attn", "apex"):
        with suppress(importlib.metadata.PackageNotFoundError):
            machine["versions"][name] = importlib.metadata.version(name)
    if device == "cpu":
        machine["device"] = f"CPU ({processor_name()})"
    return machine


def check_all(
    providers: list[Provider], problem: Problem, options: argparse.Namespace
) -> dict[Provider, Row]:
    """Of every provider its status ("ok": it may be timed), errors and memory."""
    reports: dict[Provider, Row] = {}

    def group(provider: Provider) -> tuple[Any, ...]:
        return provider.linear, provider.definition, str(provider.beta)

    # Neighbours share what they are compared with; all of it at once needs too much memory.
    for _, alike in itertools.groupby(sorted(providers, key=group), group):
        expected: dict[checking.Upstream, checking.Expected] = {}
        for provider in alike:
            report = reports[provider] = {"status": provider.why_missing(options.device)}
            if report["status"]:
                continue
            for upstream in (*options.upstream, checking.PER_TOKEN) if not expected else ():
                expected[upstream] = checking.expect(problem, provider, upstream)
            try:
                report |= checking.check(provider, problem, expected)._asdict()
                if report["status"] == "ok":
                    peak = measuring.peak_mib(provider, problem, device=options.device)
                    report["peak_mib_beyond_logits"] = peak
            except Exception as error:  # a peer's failure is a result, not the end of the run
                first_line = (str(error).splitlines() or [""])[0]
                report["status"] = f"error: {type(error).__name__}: {first_line}"
    return reports


def measure(
    problem: Problem, options: argparse.Namespace, *, bandwidth: float, dtype: str
) -> list[Row]:
    """Rows of the results for one dtype and vocabulary: provider x β x upstream x mode."""
    patterns, providers = options.providers, list_providers(options.beta)
    wanted = [x for x in providers if any(fnmatch.fnmatch(x.name, each) for each in patterns)]
    reports = check_all(wanted, problem, options)
    right = [provider for provider in wanted if reports[provider]["status"] == "ok"]
    timing = {"repeats": options.repeats, "device": options.device}
    samples = {
        x: measuring.time_all(right, problem, upstream=x, **timing) for x in options.upstream
    }
    for provider in right if options.device == "cuda" else []:
        if provider.name.startswith("labo-"):
            reports[provider] |= measuring.waiting(provider, problem)
    rows = []
    for upstream, provider, mode in itertools.product(options.upstream, wanted, options.mode):
        num_tokens, vocab_size = problem.logits.shape
        row = {"provider": provider.name, "device": options.device, "dtype": dtype}
        row |= {"num_tokens": num_tokens, "vocab_size": vocab_size}
        row |= {"hidden_dim": options.hidden_dim if provider.linear else None}
        row |= {"beta": provider.beta and f"{provider.beta:g}", "upstream": upstream, "mode": mode}
        times = [each[mode] for each in samples[upstream].get(provider, ())]
        rows.append(make_row(row, reports[provider], times, bytes_per_ms=bandwidth / 1e3))
    return rows


def run(options: argparse.Namespace) -> None:
    """Measure all dtypes and vocabularies; print, write and draw the results."""
    for path in filter(None, (options.output, options.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    settings = vars(options) | {"beta": [f"{beta:g}" for beta in options.beta]}
    for name in ("output", "plot", "goals"):
        del settings[name]
    machine, bandwidth = describe(options.device), measuring.copy_bandwidth(options.device)
    print(f"{machine['device']}, copies {bandwidth / 1e9:.1f} GB/s")
    rows: list[Row] = []
    results: dict[str, Any] = {"kind": "loss", "settings": settings, "machine": machine}
    results |= {"copy_gb_per_second": bandwidth / 1e9, "rows": rows}
    for dtype, vocab_size in itertools.product(options.dtype, options.vocab_size):
        sizes = (options.num_tokens, vocab_size, options.hidden_dim)
        case = (DTYPES[dtype], options.device)
        problem = make_problem(sizes, *case, label_smoothing=options.label_smoothing)
        new_rows = measure(problem, options, bandwidth=bandwidth, dtype=dtype)
        rows += new_rows
        print(table(new_rows), flush=True)
        if options.output:  # after each, so that a run that is cut off leaves what it has
            options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(results, options.plot)
    for path in filter(None, (options.output, options.plot)):
        print(f"written: {path}")


def main(arguments: list[str] | None = None) -> None:
    """Measure, or hold results against the goals."""
    for name in ("fairseq", "matplotlib"):  # fairseq lets every logger talk
        logging.getLogger(name).setLevel(logging.WARNING)
    options = parse_options(arguments)
    if options.goals:
        print(goals_table([json.loads(path.read_text("utf-8")) for path in options.goals]))
    else:
        run(options)


if __name__ == "__main__":
    main()
