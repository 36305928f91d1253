"""fairseq's own trainer in this process, of a fresh model, and random batches for it.

And what the commands that use it have in common: options of the model, the file of the results.
"""

import argparse
import gc
import itertools
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_labo.defaults import DEFAULT_ALPHA, USER_DIR
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.provenance import describe_machine
from fairseq_labo.experiments.training.presets import SIZES

# fairseq's command line takes --bf16 for a TPU's, so it is set afterwards.
PRECISIONS = {"fp32": "", "fp16": "--fp16 --fp16-init-scale 128", "bf16": "", "amp": "--amp"}
SENTENCE_TOKENS = 32


Defaults = dict[str, dict[str, Any]]  # by device


def make_parser(name: str, description: str | None, defaults: Defaults) -> argparse.ArgumentParser:
    """A parser with the options of the device, the model and the results."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", choices=defaults, help="default: cuda if there is a GPU")
    parser.add_argument("--size", choices=SIZES, help="of the model")
    parser.add_argument("--vocab-size", type=int, metavar="V")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file of the results")
    return parser


def parse(
    parser: argparse.ArgumentParser, arguments: list[str] | None, defaults: Defaults
) -> argparse.Namespace:
    """The options, with the defaults of the device; fairseq's and hydra's loggers are quiet."""
    options = parser.parse_args(arguments)
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: expected a GPU, found none; use --device cpu")
    for name, value in defaults[options.device].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    for name in ("fairseq", "hydra"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return options


def write_results(results: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the results with their settings and the machine, if a file was named."""
    if options.output:
        settings = {name: value for name, value in vars(options).items() if name != "output"}
        machine = describe_machine(cpu=options.device == "cpu")
        write_json(options.output, {**results, "settings": settings, "machine": machine})


def configure(
    flags: list[str], options: argparse.Namespace, precision: str, *, device: str = "cuda"
) -> tuple[Any, Any]:
    """fairseq's configuration and task of a training with the flags of a criterion."""
    from fairseq import options as fairseq_options
    from fairseq import tasks, utils
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    utils.import_user_module(argparse.Namespace(user_dir=str(USER_DIR)))
    size = SIZES[options.size]
    words = ["--task", "dummy_mt", "--dict-size", str(options.vocab_size), "--seed", "1"]
    words += ["--src-len", "256", "--tgt-len", "256", "--arch", size["arch"]]
    words += [*size["flags"].split(), "--share-all-embeddings", *PRECISIONS[precision].split()]
    words += ["--optimizer", "adam", "--lr-scheduler", "inverse_sqrt"]
    words += [f"--label-smoothing={DEFAULT_ALPHA}"]
    words += ["--cpu", "--fp16-no-flatten-grads"] if device == "cpu" else []
    with tempfile.TemporaryDirectory() as folder:  # nothing is saved
        parser = fairseq_options.get_training_parser()
        words += ["--save-dir", folder, *flags]
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
