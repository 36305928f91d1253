"""How large a batch may become before memory runs out, ours beside fairseq's label smoothing.

    python -m benchmarks.largest_batch [--device cpu|cuda] [--output FILE]

A whole update of fairseq's own trainer must fit: into the GPU, or on a CPU into --memory-mib, by
what torch's profiler sees.
"""

import argparse
import gc
import traceback
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.loss_measure import MIB, cpu_profile, peak_bytes
from benchmarks.trainer import (
    PRECISIONS,
    SENTENCE_TOKENS,
    Defaults,
    batches,
    make_parser,
    make_trainer,
    parse,
    write_results,
)
from fairseq_labo.experiments.training.benchmark import BASELINE, variants

FINENESS = 1.02  # a batch that is larger by this factor does not fit
DEFAULTS: Defaults = {
    "cpu": {"size": "small", "vocab_size": 1000, "precision": "fp32"},
    "cuda": {"size": "wmt", "vocab_size": 37000, "precision": "fp16"},  # WMT14's joint BPE
}


def largest(options: argparse.Namespace) -> dict[str, Any]:
    """The most target tokens of a batch that fit, of every criterion, and over the baseline's."""
    found = {}
    for name, flags in variants(10**9).items():
        try:
            found[name] = SENTENCE_TOKENS * _largest_of(flags, options)
        except Exception:  # of one criterion: no batch of it has been shown to fit
            traceback.print_exc()
            found[name] = 0
        print(f"{name:<30} {found[name]} tokens", flush=True)
    base = found[BASELINE]
    ratios = {name: tokens / base for name, tokens in found.items() if name != BASELINE and base}
    return {"kind": "largest", "max_tokens": found, "max_tokens_ratio": ratios}


def _largest_of(flags: list[str], options: argparse.Namespace) -> int:
    """The most sentences of a batch that fit."""
    trainer, dictionary = make_trainer(flags, options, options.precision, device=options.device)
    if options.device == "cpu":  # what the optimizer keeps is not of a batch
        trainer.train_step([next(batches(dictionary, SENTENCE_TOKENS))])
    return most(
        lambda number: _fits(trainer, next(batches(dictionary, number * SENTENCE_TOKENS)), options)
    )


def _fits(trainer: Any, batch: dict[str, Any], options: argparse.Namespace) -> bool:
    if options.device == "cpu":
        with cpu_profile() as profiled:
            trainer.train_step([batch])
        return peak_bytes(profiled) <= options.memory_mib * MIB
    try:
        trainer.train_step([batch], raise_oom=True)
    except RuntimeError as error:  # torch's own, or that of Triton or cuBLAS at the edge
        texts = ("out of memory", "ALLOC_FAILED")
        if not (isinstance(error, torch.OutOfMemoryError) or any(x in str(error) for x in texts)):
            raise
        return False
    finally:
        trainer.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()
    return True


def most(fits: Callable[[int], bool]) -> int:
    """The largest number that fits, to within `FINENESS`; 0 if 1 does not."""
    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
    while high - low > max(1, low * (FINENESS - 1)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def main(arguments: list[str] | None = None) -> int:
    """Search, print, and write what was found; 1 if no batch of a criterion fits."""
    parser = make_parser("largest_batch", __doc__, DEFAULTS)
    parser.add_argument("--precision", choices=PRECISIONS)
    memory = "of a CPU, beside the model and what its optimizer keeps (default: 20)"
    parser.add_argument("--memory-mib", type=float, default=20.0, help=memory)
    options = parse(parser, arguments, DEFAULTS)
    results = largest(options)
    write_results(results, options)
    return 0 if all(results["max_tokens"].values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
