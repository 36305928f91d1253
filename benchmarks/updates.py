"""Updates of a whole model by fairseq's own trainer, on random batches: speed, memory, losses.

    python -m benchmarks.updates [--device cpu|cuda] [--precision P ...] [--output FILE]
    python -m benchmarks.updates --largest [--output FILE]

The criterions are those of ``labo benchmark``, in one process, each with the same initial weights
and batches. With an update without dropout the loss and the norm of the gradient are compared with
those on the CPU in float32. With --largest it is asked how large a batch may become before memory
runs out: a GPU's, or on a CPU --memory-mib, by what torch's profiler sees.
"""

import argparse
import gc
import itertools
import logging
import math
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.loss_measure import cpu_profile, peak_bytes
from fairseq_labo.defaults import DEFAULT_ALPHA
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.provenance import describe_machine
from fairseq_labo.experiments.training.benchmark import BASELINE, variants
from fairseq_labo.experiments.training.presets import SIZES, USER_DIR
from fairseq_labo.ops import dispatch

MIB = 2**20
# fairseq's command line takes --bf16 for a TPU's, so it is set afterwards.
PRECISIONS = {"fp32": "", "fp16": "--fp16 --fp16-init-scale 128", "bf16": "", "amp": "--amp"}
NO_DROPOUT = ["--dropout", "0", "--attention-dropout", "0", "--activation-dropout", "0"]
# Of a loss and of a gradient's norm, relative to the CPU's in float32; fairseq rounds a loss, which
# is about 10 in the first update, to three decimals.
AGREEMENT = {"fp32": 2e-4, "fp16": 2e-2, "bf16": 2e-2, "amp": 2e-2}
WARM_UPS, SCALINGS = 10, 8
SENTENCE_TOKENS = 32
FINENESS = 1.02  # of the largest batch: a larger one by this factor does not fit
DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {"size": "small", "vocab_size": 1000, "max_tokens": 256, "updates": 4},
    "cuda": {"size": "iwslt", "vocab_size": 10152, "max_tokens": 4096, "updates": 200},
}
DEFAULTS["cpu"] |= {"precision": ["fp32", "fp16", "bf16"]}  # fairseq's --amp is a GPU's
DEFAULTS["cuda"] |= {"precision": list(PRECISIONS)}
LARGEST = {"size": "wmt", "vocab_size": 37000, "precision": ["fp16"]}  # WMT14's joint BPE


def configure(
    flags: list[str], options: argparse.Namespace, precision: str, *, device: str = "cuda"
) -> tuple[Any, Any]:
    """fairseq's configuration and task of a training with the flags of a criterion."""
    from fairseq import options as fairseq_options
    from fairseq import tasks, utils
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    utils.import_user_module(Namespace(user_dir=str(USER_DIR)))
    size = SIZES[options.size]
    words = [*f"--task dummy_mt --dict-size {options.vocab_size} --seed 1".split()]
    words += ["--src-len", "256", "--tgt-len", "256", "--arch", size["arch"]]
    words += [*size["flags"].split(), "--share-all-embeddings", *PRECISIONS[precision].split()]
    words += ["--optimizer", "adam", "--lr-scheduler", "inverse_sqrt"]
    words += [f"--label-smoothing={DEFAULT_ALPHA}"]
    words += ["--cpu", "--fp16-no-flatten-grads"] if device == "cpu" else []
    with tempfile.TemporaryDirectory() as folder:  # nothing is saved
        parser = fairseq_options.get_training_parser()
        words = [*words, "--save-dir", folder, *flags]
        parsed = fairseq_options.parse_args_and_arch(parser, words)
    config = convert_namespace_to_omegaconf(parsed)
    config.common.bf16 = precision == "bf16"
    return config, tasks.setup_task(config.task)


def make_trainer(
    flags: list[str], options: argparse.Namespace, precision: str, *, device: str
) -> tuple[Any, Any]:
    """fairseq's trainer of a fresh model; and the model's dictionary."""
    from fairseq.trainer import Trainer

    config, task = configure(flags, options, precision, device=device)
    gc.collect()  # a trainer is part of cycles: the last one would still hold its memory
    if device == "cuda":
        torch.cuda.empty_cache()
    torch.manual_seed(1)
    model, criterion = task.build_model(config.model), task.build_criterion(config.criterion)
    trainer = Trainer(config, task, model, criterion)
    trainer.save_checkpoint = _save_nothing  # or its crash.pt would hide what went wrong
    return trainer, task.target_dictionary


def _save_nothing(*_: Any, **__: Any) -> None:
    pass


def batches(dictionary: Any, num_tokens: int) -> Iterator[dict[str, Any]]:
    """Batches of random sentences, the same in every call: about `num_tokens` target tokens."""
    generator = torch.Generator().manual_seed(1)
    pad, eos = dictionary.pad(), dictionary.eos()
    num_sentences = max(1, num_tokens // SENTENCE_TOKENS)

    def side() -> Tensor:  # [sentences, tokens], with </s> and padding at the end
        shape = num_sentences, SENTENCE_TOKENS
        words = torch.randint(dictionary.nspecial, len(dictionary), shape, generator=generator)
        lengths = torch.randint(
            SENTENCE_TOKENS // 2, SENTENCE_TOKENS, shape[:1], generator=generator
        )
        lengths[0] = SENTENCE_TOKENS - 1
        places = torch.arange(SENTENCE_TOKENS)
        words = words.where(places < lengths[:, None], torch.tensor(pad))
        return words.where(places != lengths[:, None], torch.tensor(eos))

    for number in itertools.count():
        source, target = side(), side()
        previous = torch.cat([torch.full_like(target[:, :1], eos), target[:, :-1]], 1)
        previous = previous.where(target.ne(pad), torch.tensor(pad))
        lengths = source.ne(pad).sum(1)
        inputs = {"src_tokens": source, "src_lengths": lengths, "prev_output_tokens": previous}
        yield {
            "id": torch.arange(num_sentences) + number * num_sentences,
            "net_input": inputs,
            "target": target,
            "nsentences": num_sentences,
            "ntokens": int(target.ne(pad).sum()),
        }


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


def largest(options: argparse.Namespace) -> dict[str, Any]:
    """The most target tokens of a batch that fit, of every criterion, and over the baseline's."""
    (precision,) = options.precision
    found = {}
    for name, flags in variants(10**9).items():
        try:
            found[name] = SENTENCE_TOKENS * _largest_of(flags, options, precision)
        except Exception:  # of one criterion: no batch of it has been shown to fit
            traceback.print_exc()
            found[name] = 0
        print(f"{name:<30} {found[name]} tokens", flush=True)
    base = found[BASELINE]
    ratios = {name: tokens / base for name, tokens in found.items() if name != BASELINE and base}
    return {"kind": "largest", "max_tokens": found, "max_tokens_ratio": ratios}


def _largest_of(flags: list[str], options: argparse.Namespace, precision: str) -> int:
    """The most sentences of a batch that fit."""
    trainer, dictionary = make_trainer(flags, options, precision, device=options.device)
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


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Options, with the defaults of the device."""
    parser = argparse.ArgumentParser("python -m benchmarks.updates", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--device", choices=DEFAULTS, help="default: cuda if there is a GPU")
    add("--size", choices=SIZES, help="of the model")
    add("--vocab-size", type=int, metavar="V")
    add("--max-tokens", type=int, metavar="N", help="target tokens of a batch")
    add("--updates", type=int, help="of each training")
    add("--precision", nargs="+", choices=PRECISIONS)
    add("--largest", action="store_true", help="how large a batch may become")
    add("--memory-mib", type=float, default=20.0, help="that fits, on a CPU (default: 20)")
    add("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args(arguments)
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: expected a GPU, found none; use --device cpu")
    defaults = DEFAULTS[options.device]
    if options.largest:
        defaults = defaults | (LARGEST if options.device == "cuda" else {"precision": ["fp32"]})
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.updates < 2:
        parser.error(f"--updates: expected 2 or more, found {options.updates}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write what was found; 1 if a criterion failed or was wrong."""
    for name in ("fairseq", "hydra"):
        logging.getLogger(name).setLevel(logging.WARNING)
    options = parse_options(arguments)
    results = largest(options) if options.largest else measure(options)
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    settings |= {"repeats": 1, "device": options.device}
    machine = describe_machine(cpu=options.device == "cpu")
    if options.output:
        write_json(options.output, {**results, "settings": settings, "machine": machine})
    bad = [row for row in results.get("updates", []) if row["status"] != "ok"]
    return 1 if bad or not all(results.get("max_tokens", {0: 1}).values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
