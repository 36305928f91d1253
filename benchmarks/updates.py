"""Updates of a whole model by fairseq's own trainer, on random batches: speed, memory, losses.

    python -m benchmarks.updates [--device cpu|cuda] [--precision P ...] [--output FILE]

The criterions are those of ``labo benchmark``, in one process, each with the same initial weights
and batches. With an update without dropout the loss and the norm of the gradient are compared with
those on the CPU in float32.
"""

import argparse
import itertools
import math
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.loss_measure import MIB
from benchmarks.trainer import (
    PRECISIONS,
    Defaults,
    batches,
    make_parser,
    make_trainer,
    parse,
    write_results,
)
from fairseq_labo.experiments.training.benchmark import BASELINE, variants
from fairseq_labo.ops import dispatch

NO_DROPOUT = ["--dropout", "0", "--attention-dropout", "0", "--activation-dropout", "0"]
# Of a loss and of a gradient's norm, relative to the CPU's in float32; fairseq rounds a loss, which
# is about 10 in the first update, to three decimals.
AGREEMENT = {"fp32": 2e-4, "fp16": 2e-2, "bf16": 2e-2, "amp": 2e-2}
WARM_UPS, SCALINGS = 10, 8
DEFAULTS: Defaults = {
    "cpu": {"size": "small", "vocab_size": 1000, "max_tokens": 256, "updates": 4},
    "cuda": {"size": "iwslt", "vocab_size": 10152, "max_tokens": 4096, "updates": 200},
}
DEFAULTS["cpu"] |= {"precision": ["fp32", "fp16", "bf16"]}  # fairseq's --amp is a GPU's
DEFAULTS["cuda"] |= {"precision": list(PRECISIONS)}


@contextmanager
def chosen_implementations() -> Iterator[set[str]]:
    """What ``impl="auto"`` takes inside the block."""
    seen: set[str] = set()
    choose = dispatch.choose

    def recording(*arguments: Any, **options: Any) -> str:
        name = choose(*arguments, **options)
        seen.add(name)
        return name

    with mock.patch.object(dispatch, "choose", recording):
        yield seen


def first_update(
    flags: list[str], options: argparse.Namespace, precision: str, *, device: str
) -> dict[str, float]:
    """Loss and norm of the gradient in the first update, without dropout."""
    trainer, dictionary = make_trainer([*flags, *NO_DROPOUT], options, precision, device=device)
    clip, norms = trainer.clip_grad_norm, []

    def clipped(*arguments: Any, **more: Any) -> Any:
        norms.append(clip(*arguments, **more))
        return norms[-1]

    batch, found = next(batches(dictionary, options.max_tokens)), None
    with mock.patch.object(trainer, "clip_grad_norm", clipped):
        for _ in range(SCALINGS):  # None: it overflowed, and fairseq has halved the loss scale
            found = found or trainer.train_step([batch], raise_oom=True)
    if not found:
        raise ArithmeticError(f"the first update's gradient overflowed {SCALINGS} times")
    return {"loss": float(found["loss"]), "gradient_norm": float(norms[-1])}


def train(
    flags: list[str], options: argparse.Namespace, precision: str, *, device: str
) -> dict[str, Any]:
    """Words (target tokens) a second, peak memory and last loss of a training with dropout."""
    trainer, dictionary = make_trainer(flags, options, precision, device=device)
    stream, cuda = batches(dictionary, options.max_tokens), device == "cuda"
    warm_ups, words, loss = min(WARM_UPS, options.updates // 2), 0, math.nan
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    # fairseq forgets the peak at the end of each update.
    with mock.patch.object(torch.cuda, "reset_peak_memory_stats"):
        for batch in itertools.islice(stream, options.updates):
            if warm_ups == 0 and not words:
                _wait(cuda)
                began = time.perf_counter()
            output = trainer.train_step([batch], raise_oom=True)
            words += batch["ntokens"] if warm_ups == 0 else 0
            warm_ups = max(0, warm_ups - 1)
            loss = float(output["loss"]) if output else loss  # None: a step that overflowed
        _wait(cuda)
    return {
        "words_per_second": words / (time.perf_counter() - began),
        "peak_gpu_mib": torch.cuda.max_memory_allocated() / MIB if cuda else None,
        "loss": loss,
    }


def _wait(cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every criterion in every precision; what fails is said in its row, and costs no other."""
    rows, ratios = [], {}
    flags_of = variants(options.updates)
    exact: dict[str, dict[str, float]] = {}
    for precision, (name, flags) in itertools.product(options.precision, flags_of.items()):
        row: dict[str, Any] = {"name": name, "precision": precision, "status": "ok"}
        try:
            if name not in exact:
                exact[name] = first_update(flags, options, "fp32", device="cpu")
            with chosen_implementations() as chosen:
                here = first_update(flags, options, precision, device=options.device)
                row |= train(flags, options, precision, device=options.device)
            row["implementations"] = sorted(chosen)
            differences = [here[each] / right - 1 for each, right in exact[name].items()]
            row["off_by"] = float(np.abs(differences).max())  # NaN if one is, unlike max
            row["first_update"], row["status"] = here, verdict(row, options.device)
        except Exception as error:  # of one precision or criterion: a result, not the end
            traceback.print_exc()
            row["status"] = f"error: {type(error).__name__}: {(str(error) or '-').splitlines()[0]}"
        rows.append({key: _in_json(value) for key, value in row.items()})
        speeds = {each["name"]: each.get("words_per_second") for each in rows[-len(flags_of) :]}
        if name != BASELINE and speeds.get(BASELINE) and row["status"] == "ok":
            ratios[f"{name}, {precision}"] = row["words_per_second"] / speeds[BASELINE]
        print(_line(row), flush=True)
    return {"kind": "updates", "updates": rows, "speed_over_baseline": ratios}


def _in_json(value: Any) -> Any:
    """JSON has neither NaN nor infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def verdict(row: dict[str, Any], device: str) -> str:
    """ "ok", or what is wrong with a measurement."""
    if not row["off_by"] <= AGREEMENT[row["precision"]]:
        return f"wrong: off the CPU's loss or gradient by {row['off_by']:.2g}"
    if device == "cuda" and row["name"] != BASELINE and row["implementations"] != ["triton"]:
        return f"wrong: computed by {', '.join(row['implementations'])}, expected triton"
    return "ok"


def _line(row: dict[str, Any]) -> str:
    speed, memory = row.get("words_per_second"), row.get("peak_gpu_mib")
    shown = f"{speed:.0f} words/s" if speed else ""
    shown += f", {memory:.0f} MiB" if memory else ""
    return f"{row['precision']:<5}{row['name']:<30} {shown}  {row['status']}"


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Options, with the defaults of the device."""
    parser = make_parser("updates", __doc__, DEFAULTS)
    parser.add_argument("--max-tokens", type=int, metavar="N", help="target tokens of a batch")
    parser.add_argument("--updates", type=int, help="of each training")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS)
    options = parse(parser, arguments, DEFAULTS)
    if options.updates < 2:
        parser.error(f"--updates: expected 2 or more, found {options.updates}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write what was found; 1 if a criterion failed or was wrong."""
    options = parse_options(arguments)
    results = measure(options)
    write_results(results, options)
    return int(any(row["status"] != "ok" for row in results["updates"]))


if __name__ == "__main__":
    raise SystemExit(main())
