"""Time and memory of the loss: ours beside fairseq's, torch's, Liger's, flash-attn's and apex's.

Usage: python scripts/benchmark.py [--device cpu|cuda] [option ...] [--output FILE] [--plot FILE]
       python scripts/benchmark.py --goals FILE ...

All providers run in one process, on the same random tensors, in turns. Each is first compared
with its own definition in float64; one that is wrong, missing or fails is reported as such
and not timed. Sizes default to those of the project's goals: on a CPU N = 1800 tokens and
V = 7872 and 32000, on a GPU N = 8192 and V = 10152, 32000 and 50304. With --goals nothing is
measured: the files of earlier runs (and of bench_training.sh) are held against the goals.
"""

import argparse
import fnmatch
import importlib.metadata
import itertools
import json
import logging
import math
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
sys.path.insert(2, str(Path(__file__).resolve().parents[1] / "data-prep"))

import torch

from benchmarks import loss_check as checking
from benchmarks import loss_measure as measuring
from benchmarks.loss_goals import goals_table
from benchmarks.loss_measure import MODES, Contestant
from benchmarks.loss_providers import Problem, Provider, list_providers, load, make_problem
from benchmarks.loss_report import Row, make_row, plot, table

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {
        **{"num_tokens": 1800, "vocab_size": [7872, 32000], "hidden_dim": 128},
        **{"dtype": ["fp32"], "repeats": 12},
    },
    "cuda": {
        **{"num_tokens": 8192, "vocab_size": [10152, 32000, 50304], "hidden_dim": 512},
        **{"dtype": ["fp16", "bf16", "fp32"], "repeats": 40},
    },
}


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Options, with the defaults of the device."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=DEFAULTS, help="default: cuda if there is a GPU")
    add("--threads", type=int, default=2, help="of the CPU (default: 2)")
    add("--num-tokens", type=int, metavar="N")
    add("--vocab-size", type=int, nargs="+", metavar="V")
    add("--hidden-dim", type=int, metavar="D", help="of the output projection")
    add("--dtype", nargs="+", choices=DTYPES)
    add("--upstream", type=float, nargs="+", default=[1.0, 128.0], help="gradients of the sum")
    add("--beta", type=float, nargs="+", default=[2.0, 2.5, math.inf])
    add("--label-smoothing", type=float, default=0.1)
    add("--mode", nargs="+", choices=MODES, default=list(MODES))
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
    if options.goals:
        return options
    names = {provider.name for provider in list_providers([1.0])}
    for pattern in options.providers:
        if not fnmatch.filter(names, pattern):
            parser.error(f"--providers {pattern}: expected one of {', '.join(sorted(names))}")
    return options


def format_beta(beta: float | None) -> str | None:
    """β as the results name it; None for providers without."""
    return None if beta is None else f"{beta:g}"


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """Machine, versions and commit, those of the peers too."""
    from score import describe_machine

    machine = describe_machine()
    for name in ("triton", "liger-kernel", "flash-attn", "apex"):
        try:
            machine["versions"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if options.device == "cpu":
        found = None
        if Path("/proc/cpuinfo").exists():
            found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        machine["device"] = f"CPU ({found[1]})" if found else machine["device"]
    return machine


def check_all(
    providers: list[Provider], problem: Problem, options: argparse.Namespace
) -> tuple[list[Contestant], dict[Provider, Row]]:
    """Those that may be timed, and of every provider its status and errors."""
    contestants, reports = [], {}
    expected: dict[checking.Upstream, checking.Expected] = {}
    known = None
    upstreams = [*options.upstream, checking.PER_TOKEN]
    for provider in providers:
        loss, status = load(provider, device=options.device)
        report: Row = {"status": status, "max_error": None, "error_over_eager": None}
        reports[provider] = report
        if loss is None:
            continue
        contestant = Contestant(provider, loss)
        # Neighbours share what they are compared with; all of it at once needs too much memory.
        group = (provider.definition, provider.beta, provider.linear)
        if group != known:
            expected.clear()
            expected |= {up: checking.expect(problem, provider, up) for up in upstreams}
            known = group
        try:
            verdict = checking.check(loss, provider, problem, expected)
            report["status"] = verdict.status
            report["max_error"] = verdict.error
            report["error_over_eager"] = verdict.error_over_eager
            if verdict.status == "ok":
                report["peak"] = measuring.peak_mib(contestant, problem, device=options.device)
                contestants.append(contestant)
        except Exception as error:  # a peer's failure is a result, not the end of the run
            first_line = (str(error).splitlines() or [""])[0]
            report["status"] = f"error: {type(error).__name__}: {first_line}"
    return contestants, reports


def measure(
    problem: Problem, options: argparse.Namespace, *, bandwidth: float, dtype: str
) -> list[Row]:
    """Rows of the results for one dtype and vocabulary: provider x β x upstream x mode."""
    wanted = [
        provider
        for provider in list_providers(options.beta)
        if any(fnmatch.fnmatch(provider.name, pattern) for pattern in options.providers)
    ]
    by_oracle = sorted(
        wanted, key=lambda each: (each.linear, each.definition, str(each.beta), each.name)
    )
    contestants, reports = check_all(by_oracle, problem, options)
    bytes_per_ms = bandwidth / 1e3
    samples = {
        upstream: measuring.time_all(
            contestants, problem, upstream=upstream, repeats=options.repeats, device=options.device
        )
        for upstream in options.upstream
    }
    if options.device == "cuda":
        for contestant in contestants:
            if contestant.provider.name.startswith("labo-"):
                reports[contestant.provider] |= measuring.waiting(contestant, problem)
    rows = []
    order = [contestant.provider for contestant in contestants]
    for upstream, provider, mode in itertools.product(options.upstream, wanted, options.mode):
        row = {
            **{"provider": provider.name, "device": options.device, "dtype": dtype},
            **{"num_tokens": options.num_tokens, "vocab_size": problem.logits.size(1)},
            "hidden_dim": options.hidden_dim if provider.linear else None,
            **{"beta": format_beta(provider.beta), "upstream": upstream, "mode": mode},
        }
        times = samples[upstream][order.index(provider)][mode] if provider in order else None
        rows.append(make_row(row, reports[provider], times, bytes_per_ms=bytes_per_ms))
    return rows


def run(options: argparse.Namespace) -> None:
    """Measure all dtypes and vocabularies; print, write and draw what was found."""
    for path in filter(None, (options.output, options.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    settings = {
        name: [format_beta(beta) for beta in value] if name == "beta" else value
        for name, value in vars(options).items()
        if name not in ("output", "plot", "goals")
    }
    machine = describe(options)
    bandwidth = measuring.copy_bandwidth(options.device)
    print(f"{machine['device']}, copies {bandwidth / 1e9:.1f} GB/s")
    rows: list[Row] = []
    results: dict[str, Any] = {"kind": "loss", "settings": settings, "machine": machine}
    results |= {"copy_gb_per_second": bandwidth / 1e9, "rows": rows}
    for dtype, vocab_size in itertools.product(options.dtype, options.vocab_size):
        problem = make_problem(
            num_tokens=options.num_tokens,
            vocab_size=vocab_size,
            hidden_dim=options.hidden_dim,
            dtype=DTYPES[dtype],
            device=options.device,
            label_smoothing=options.label_smoothing,
        )
        found = measure(problem, options, bandwidth=bandwidth, dtype=dtype)
        rows += found
        print(table(found), flush=True)
        if options.output:  # after each, so that a run that is cut off leaves what it has
            options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.output:
        print(f"written: {options.output}")
    if options.plot:
        plot(results, options.plot)
        print(f"written: {options.plot}")


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
