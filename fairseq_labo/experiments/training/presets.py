"""What ``labo train`` makes of its flags: criterions, sizes and flags as data; fairseq's arguments.

A criterion that is not in `CRITERIONS` is looked up in fairseq's registry (`registry`).
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.flags import (
    Flag,
    choice,
    number,
    option,
    switch,
    value_of,
    whole,
)
from fairseq_labo.experiments.training.registry import Criterion, registered

USER_DIR = Path(__file__).parents[2]  # the package fairseq_labo

# Flags of the criterions in `CRITERIONS`, in the order in which fairseq gets them.
CRITERION_FLAGS = {
    "smoothing_epochs": whole("length of stage 1 (tsla_cross_entropy: half the epochs)", 0),
    "smoothing_updates": whole("the same in updates", 0),
    "label_smoothing": number(
        "weight of the smoothing; cross_entropy has none", DEFAULT_ALPHA, at_least=0, below=1
    ),
    "labo_beta": number("LABO's temperature; inf is label smoothing", DEFAULT_BETA, above=0),
    "smoothing_schedule": choice(
        "how the weight falls in stage 1; step: constant, then 0", None, "step", "linear", "cosine"
    ),
    "teacher_path": Flag(str, "checkpoint that teaches tsla_cross_entropy", metavar="FILE"),
    "teacher_temperature": number("temperature of what it teaches", above=0, below=math.inf),
    "fused_projection": switch("compute the loss from the decoder's features: saves memory"),
    "ignore_prefix_size": whole("leave out the first N target tokens of each sentence", 0),
    "report_accuracy": switch("log the accuracy of tokens"),
}
_OF_FAIRSEQ = ["label_smoothing", "ignore_prefix_size", "report_accuracy"]
_OF_BOTH = ["smoothing_epochs", "smoothing_updates", "smoothing_schedule", "fused_projection"]


def _criterion(*flags: str, nll_metric: str = "loss") -> Criterion:
    return Criterion({name: CRITERION_FLAGS[name] for name in flags}, nll_metric)


# Ours log plain NLL as the loss of validation; so does cross entropy, whose loss it is.
CRITERIONS = {
    "cross_entropy": _criterion(),
    "label_smoothed_cross_entropy": _criterion(*_OF_FAIRSEQ, nll_metric="nll_loss"),
    "tsla_cross_entropy": _criterion(
        *_OF_FAIRSEQ, *_OF_BOTH, "teacher_path", "teacher_temperature"
    ),
    "labo_cross_entropy": _criterion(*_OF_FAIRSEQ, *_OF_BOTH, "labo_beta"),
}
# The methods of a study may share these, though not every criterion has them.
MAY_BE_LEFT_OUT = {"smoothing_epochs", "smoothing_updates", "label_smoothing", "labo_beta"}

# A model (fairseq's --arch) with the settings of its training.
SIZES = {
    "small": "transformer --dropout 0.1 --encoder-layers 2 --encoder-embed-dim 128 "
    "--encoder-ffn-embed-dim 256 --encoder-attention-heads 4 --decoder-layers 2 "
    "--decoder-embed-dim 128 --decoder-ffn-embed-dim 256 --decoder-attention-heads 4 "
    "--lr 5e-3 --warmup-updates 200 --max-tokens 1000",
    "iwslt": "transformer_iwslt_de_en --dropout 0.3 --weight-decay 1e-4 "
    "--lr 5e-4 --warmup-updates 4000 --max-tokens 4096",
    "wmt": "transformer_wmt_en_de --dropout 0.1 "
    "--lr 5e-4 --warmup-updates 4000 --warmup-init-lr 1e-7 --max-tokens 4096",
}
BATCH_TOKENS = {"wmt": 32768}  # of all workers together, where it is published
# By default fairseq makes batches of a multiple of 8 sentences and drops a last one that is none:
# of the training set, but of the validation set, too, by which the checkpoint is chosen.
EVERY_SENTENCE = ["--required-batch-size-multiple", "1"]

TRAINING_FLAGS = {
    "criterion": Flag(
        str, f"{', '.join(CRITERIONS)}, or another of fairseq's, with its own flags behind --",
        "labo_cross_entropy",
    ),
    "epochs": whole("epochs", 1, 10),
    "size": choice(
        "small: 2+2 layers of 128, for a CPU; iwslt: transformer_iwslt_de_en, wmt: "
        "transformer_wmt_en_de (base), with the published settings", "small", *SIZES,
    ),
    "best_by": choice(
        "the best checkpoint is that of the lowest NLL on the validation set, or of the highest "
        "BLEU of its translations", "nll", "nll", "bleu",
    ),
    "batch_tokens": whole(
        "tokens of a batch of all workers together: --max-tokens and --update-freq follow from it "
        "and their number (default: --max-tokens for each; with --size wmt 32768, the published "
        "batch, unless --update-freq is given)", 1,
    ),
}  # fmt: skip
SEED = {"seed": whole("seed", 0, 1, most=2**31 - 1)}
PROCESS_FLAGS = {
    "gpus": whole("GPUs of this machine to use (default: all; 0: the CPU)", 0),
    "workers": whole("data-parallel workers on the CPU", 1, 1),
    "nodes": whole("machines; start it on each of them (not needed under srun)", 1),
    "node_rank": whole("number of this machine, from 0", 0),
    "master": Flag(str, "address of machine 0 (default port: 29500)", metavar="HOST[:PORT]"),
}
# What a study may set; its seeds, its corpus and its folders it gives by itself.
TRAIN_FLAGS: dict[str, Flag] = {**TRAINING_FLAGS, **CRITERION_FLAGS, **PROCESS_FLAGS}


@dataclass(frozen=True)
class Settings:
    """What decides a training's result, beside the corpus and what is passed on to fairseq."""

    save_dir: Path
    criterion: str = "labo_cross_entropy"
    criterion_flags: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 10
    seed: int = 1
    size: str = "small"
    best_by: str = "nll"


def fairseq_arguments(
    settings: Settings, corpus: PreparedCorpus, passed_on: Sequence[str]
) -> list[str]:
    """Arguments of fairseq-train. UserError for a criterion, or a flag of it, that there is not."""
    criterion = find_criterion(settings.criterion, user_dir=value_of("--user-dir", passed_on))
    source, target = corpus.languages
    arch, *size = SIZES[settings.size].split()
    # One embedding for everything needs one dictionary.
    share = "all-embeddings" if corpus.joined_dictionary else "decoder-input-output-embed"
    words = [str(corpus.bin_dir), "--user-dir", str(USER_DIR), "--task", "translation"]
    words += ["--source-lang", source, "--target-lang", target]
    words += ["--criterion", settings.criterion, *_criterion_words(settings, criterion)]
    words += ["--arch", arch, f"--share-{share}", *size, *EVERY_SENTENCE]
    words += ["--optimizer", "adam", "--adam-betas", "(0.9, 0.98)"]
    words += ["--lr-scheduler", "inverse_sqrt", "--max-epoch", str(settings.epochs)]
    words += ["--seed", str(settings.seed), "--save-dir", str(settings.save_dir)]
    if settings.best_by == "nll":
        words += ["--best-checkpoint-metric", criterion.nll_metric]
    else:
        words += ["--eval-bleu"]
        words += ["--eval-bleu-args", '{"beam": 5, "max_len_a": 1.2, "max_len_b": 10}']
        words += ["--eval-bleu-detok", "moses" if corpus.tokenizer == "moses" else "space"]
        words += ["--eval-bleu-remove-bpe", corpus.post_process or "none"]
        words += ["--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"]
    words += ["--no-epoch-checkpoints", "--num-workers", "0"]
    return [*words, "--log-format", "json", "--log-interval", "50", *passed_on]


def _criterion_words(settings: Settings, criterion: Criterion) -> list[str]:
    """The criterion's flags: those given, and the defaults of those that have one here."""
    name, values = settings.criterion, dict(settings.criterion_flags)
    stages = [flag for flag in ("smoothing_epochs", "smoothing_updates") if flag in values]
    if len(stages) == 2:
        raise UserError("expected one of --smoothing-epochs and --smoothing-updates, found both")
    if name == "tsla_cross_entropy" and not stages:
        values["smoothing_epochs"] = (settings.epochs + 1) // 2
    for flag in [flag for flag in values if flag not in criterion.flags]:
        shown = option(flag)
        if flag not in MAY_BE_LEFT_OUT:
            raise UserError(
                f"{shown}: expected a criterion that has it, found {name}; leave it out"
            )
        say(f"{name} has no {shown}: left out")
    defaults = {flag: each.default for flag, each in criterion.flags.items()}
    values = {**defaults, **values}
    order = [*CRITERION_FLAGS, *criterion.flags]
    return [
        word
        for flag in dict.fromkeys(order)
        if flag in criterion.flags and values[flag] is not None
        for word in criterion.flags[flag].words(flag, values[flag])
    ]


def find_criterion(name: str, *, user_dir: str | None = None) -> Criterion:
    """The criterion of that name; UserError, with the nearest name, if nobody has registered it."""
    found = CRITERIONS.get(name) or registered(name, user_dir)
    if isinstance(found, Criterion):
        return found
    near = _nearest(name, found)
    raise UserError(f"expected a criterion registered with fairseq, found {name!r}{near}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def check_flag(name: str, value: Any, *, criterion: str) -> None:
    """Raise UserError unless `name` (label_smoothing) is a flag, and `value` one that it takes."""
    flags = TRAIN_FLAGS if criterion in CRITERIONS else _with_own_flags(criterion)
    if name not in flags:
        raise UserError(
            f"{name}: expected a flag of labo train or of {criterion}, found none"
            f"{_nearest(name, flags)}"
        )
    flags[name].read(name, str(value))
    if name == "criterion":
        find_criterion(str(value))


def _with_own_flags(criterion: str) -> dict[str, Flag]:
    return {**find_criterion(criterion).flags, **TRAIN_FLAGS}


def split_flags(flags: Mapping[str, Any], criterion: str) -> tuple[dict[str, Any], list[str]]:
    """Flags of ``labo train``, and the words behind -- for those that only `criterion` knows."""
    own, words = {}, []
    for name, value in flags.items():
        check_flag(name, value, criterion=criterion)
        if name in TRAIN_FLAGS:
            own[name] = value
        else:
            flag = find_criterion(criterion).flags[name]
            words += flag.words(name, flag.read(name, str(value)))
    return own, words
