"""What ``labo train`` makes of its flags: fairseq's arguments. The presets are in presets.toml.

A criterion that is not in `CRITERIONS` is looked up in fairseq's registry (`inquiry`).
"""

import argparse
import difflib
import math
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA, PRIORS, USER_DIR
from fairseq_labo.experiments.checkpoints import CHECKPOINTS
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.languages import OWN_TOKENIZER, UNSPACED, short_code
from fairseq_labo.experiments.training.flags import Flag, flags_of, option, value_of
from fairseq_labo.experiments.training.inquiry import Criterion, apart, registered
from fairseq_labo.experiments.training.mending import named_elsewhere
from fairseq_labo.experiments.training.progress import stages_of

PRESETS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PRESETS["criterion"]["label_smoothing"]["default"] = DEFAULT_ALPHA
PRESETS["criterion"]["labo_beta"]["default"] = DEFAULT_BETA
PRESETS["criterion"]["label_prior"]["choices"] = PRIORS

TRAINING_FLAGS, CRITERION_FLAGS = flags_of(PRESETS["training"]), flags_of(PRESETS["criterion"])
SEED, PROCESS_FLAGS = flags_of(PRESETS["seed"]), flags_of(PRESETS["processes"])
# What a study may set; its seeds, its corpus and its folders it gives by itself.
TRAIN_FLAGS: dict[str, Flag] = {**TRAINING_FLAGS, **CRITERION_FLAGS, **PROCESS_FLAGS}
CRITERIONS = {
    name: Criterion({flag: CRITERION_FLAGS[flag] for flag in known["flags"]}, known["nll_metric"])
    for name, known in PRESETS["criterions"].items()
}
SIZES: dict[str, dict[str, Any]] = PRESETS["sizes"]
OF_THE_MODEL = ("--encoder-", "--decoder-")  # among the flags of a size
# fairseq's flags that end a training.
ENDS = ("--max-epoch", "--max-update", "--stop-time-hours", "--patience", "--stop-min-lr")
# fairseq's flags of the checkpoints of epochs, which are kept where one of these is given.
EPOCH_CHECKPOINTS = ("--save-interval", "--keep-last-epochs")
LABEL_SMOOTHED = "label_smoothed_cross_entropy"
TSLA = "tsla_cross_entropy"
STAGES = {"smoothing_epochs", "smoothing_updates", "teacher_path"}  # where one is given, no default
# The methods of a study may share these, though not every criterion has them.
MAY_BE_LEFT_OUT = {"smoothing_epochs", "smoothing_updates", "label_smoothing", "labo_beta"}


def fairseq_arguments(options: argparse.Namespace, corpus: PreparedCorpus) -> list[str]:
    """Arguments of fairseq-train, from the options of ``labo train``.

    Raises UserError for a criterion, or a flag of it, that there is not.
    """
    if (elsewhere := value_of("--save-dir", options.passed_on)) is not None:
        raise UserError(
            f"--save-dir: expected it before --, for the log and the lock lie there, too, found "
            f"{elsewhere} behind it; give --save-dir {elsewhere}"
        )
    criterion = find_criterion(options.criterion, value_of("--user-dir", options.passed_on))
    size = SIZES[options.size]
    values = {"corpus": corpus, "options": options, "user_dir": USER_DIR, "size": size}
    values |= {"source": corpus.languages[0], "target": corpus.languages[1]}
    # One embedding for everything needs one dictionary.
    share = "all-embeddings" if corpus.joined_dictionary else "decoder-input-output-embed"
    values |= {"share": share, "nll_metric": criterion.nll_metric}
    if options.best_by == "bleu":
        check_spaces(corpus.languages[1], options.passed_on)
        values["rules_of"] = short_code(corpus.languages[1])
        values["detokenizer"] = "moses" if corpus.tokenizer == "moses" else "space"
        values["subwords"] = corpus.post_process or "none"

    def filled(part: str) -> list[str]:
        return [word.format(**values) for word in shlex.split(PRESETS["command"][part])]

    own_model = value_of("--arch", options.passed_on) or any(
        word.startswith("-a") for word in options.passed_on
    )
    words = [*filled("corpus"), *_criterion_words(options, criterion)]
    flags = size["flags"].split()
    if own_model:
        pairs = zip(flags[::2], flags[1::2], strict=True)
        words += [word for pair in pairs if not pair[0].startswith(OF_THE_MODEL) for word in pair]
    else:
        words += [*filled("model"), *flags]
    words += [*filled("training"), *filled(options.best_by)]
    of_epochs = keeps_epochs(options.passed_on)
    log = [word for word in filled("log") if not of_epochs or word != "--no-epoch-checkpoints"]
    words += [*log, *options.passed_on]
    check_end(words)
    epochs = _number(value_of("--max-epoch", words)) or math.inf
    if "--no-save" not in words and (reason := no_checkpoint(epochs, words)):
        raise UserError(reason)
    return words


def check_spaces(language: str, passed_on: Sequence[str]) -> None:
    """Raise UserError for --best-by bleu where fairseq's BLEU would not part the words."""
    code = short_code(language)
    if code in {*UNSPACED, *OWN_TOKENIZER} and "--eval-tokenized-bleu" not in passed_on:
        raise UserError(
            f"--best-by bleu: expected a target language for which sacreBLEU's tokenizer 13a is "
            f"made, which fairseq takes for all, found {language}; give --best-by nll, or -- "
            "--eval-tokenized-bleu"
        )


def check_end(training: Sequence[str]) -> None:
    """Raise UserError for a training that would have no end, or end before it begins."""
    given = {flag: value_of(flag, training) for flag in ENDS}
    ends = dict(given)
    if "--disable-validation" in training:
        del ends["--patience"]  # which counts validations
    numbers = [_number(text) for text in ends.values()]
    if max(numbers) <= 0 or min(numbers[:3]) < 0:
        found = " ".join(f"{flag} {text}" for flag, text in given.items() if text is not None)
        raise UserError(
            f"expected an end of the training, found {found}: for fairseq 0 is no limit; give "
            f"--epochs N, or behind -- one of {', '.join(ENDS)} above 0"
        )


def no_checkpoint(epochs: float, training: Sequence[str]) -> str | None:
    """Why a training of so many epochs may leave no checkpoint; else None.

    fairseq saves at the end of a training that --max-update, --stop-time-hours or --patience ends,
    of which the last may not come, and not when the last epoch ends.
    """
    flag = "--save-interval"
    saving = (f"{flag}-updates", "--max-update", "--stop-time-hours")
    interval = _number(value_of(flag, training))
    if interval <= epochs or any(_number(value_of(each, training)) > 0 for each in saving):
        return None
    return (
        f"expected a checkpoint of the training, found {flag} {interval:g} and {epochs:g} epochs; "
        "give a smaller one"
    )


def _number(text: str | None) -> float:
    """0 for none and for those without end; of what is no number fairseq will say so."""
    try:
        number = float(text or 0)
    except ValueError:
        return 1
    return number if math.isfinite(number) else 0


def passed_on(name: str, words: Sequence[str]) -> str | None:
    """The value of a criterion's flag, or of --criterion, among fairseq's arguments."""
    value = value_of(option(name), words)
    is_switch = name in CRITERION_FLAGS and CRITERION_FLAGS[name].kind is bool
    return "true" if is_switch and value is not None else value


def _criterion_words(options: argparse.Namespace, criterion: Criterion) -> list[str]:
    """The criterion's flags: those given, and the defaults of those that have one here."""
    name = options.criterion
    given = {flag: getattr(options, flag) for flag in CRITERION_FLAGS}
    given = {flag: value for flag, value in given.items() if value is not None}
    if {"smoothing_epochs", "smoothing_updates"} <= given.keys():
        raise UserError("expected one of --smoothing-epochs and --smoothing-updates, found both")
    for flag in ("criterion", *given):
        if (value := passed_on(flag, options.passed_on)) is not None:
            raise UserError(
                f"{option(flag)}: expected it once, found {getattr(options, flag)} and, behind --, "
                f"{value}; leave out one"
            )
    behind = {flag for flag in STAGES if value_of(option(flag), options.passed_on) is not None}
    if name == TSLA and not STAGES & {*given, *behind}:
        begun = _begun(options)
        # A training that goes on keeps what it began with: it may be in stage 2.
        before = apart(stages_of, begun) if begun else None
        epochs = value_of("--max-epoch", options.passed_on) or ""
        whole = (int(epochs) if epochs.isdecimal() else 0) or options.epochs
        if before is not None:
            if not STAGES & before.keys():
                raise UserError(
                    f"{name}: expected the length of stage 1 where a training without stages is "
                    f"gone on from ({begun}), found none; give --smoothing-epochs N, counted from "
                    "its beginning, or --smoothing-updates N, counted from here"
                )
            given = before | given
        elif reason := no_default_stage(whole, value_of("--max-update", options.passed_on)):
            raise UserError(f"{name}: {reason}")
        else:
            given["smoothing_epochs"] = (whole + 1) // 2
    prior = given.get("label_prior") or passed_on("label_prior", options.passed_on) or "uniform"
    if "teacher_path" in given and prior != "uniform":
        kept = options.teacher_path is None
        remedy = "give the length of stage 1, for the teacher is that of what is gone on from"
        raise UserError(
            f"expected one of --label-prior and --teacher-path, found both "
            f"({prior}, {given['teacher_path']}); leave one out{f', or {remedy}' if kept else ''}"
        )
    for flag in [option(flag) for flag in given if flag not in criterion.flags]:
        if flag not in map(option, MAY_BE_LEFT_OUT):
            raise UserError(f"{flag}: expected a criterion that has it, found {name}; leave it out")
        say(f"{name} has no {flag}: left out")
    words = []
    for flag in CRITERION_FLAGS:
        if known := criterion.flags.get(flag):
            value = given.get(flag, known.default)
            words += [] if value is None else known.words(flag, value)
    return words


def _begun(options: argparse.Namespace) -> Path | None:
    """The checkpoint, or the folder of some, whose epochs the training goes on counting."""
    if "--reset-dataloader" in options.passed_on:
        return None
    has_own = any(options.save_dir.glob(CHECKPOINTS))
    flags = ("--restore-file", "--continue-once")
    named = named_elsewhere(*(value_of(flag, options.passed_on) for flag in flags), has_own=has_own)
    if named:
        return Path(named) if Path(named).is_file() else None
    return options.save_dir if has_own else None


def no_default_stage(epochs: int, updates: str | None) -> str:
    """Why half of the epochs cannot be the length of TSLA's stage 1; empty if it can.

    updates: of --max-update, if it was given.
    """
    if _number(updates) > 0:
        return (
            "expected the length of stage 1 where --max-update ends the training, found none: half "
            f"of the {epochs} epochs may be more; give --smoothing-updates N, N below {updates}"
        )
    if epochs == 1:
        return (
            "expected the length of stage 1, for half of one epoch is none, found neither "
            "--smoothing-epochs nor --smoothing-updates; give --smoothing-updates N, or more "
            "--epochs"
        )
    return ""


def keeps_epochs(passed_on: Sequence[str]) -> bool:
    """Whether checkpoints of epochs are asked for, and none of updates, which are averaged else."""
    if value_of("--save-interval-updates", passed_on) is not None:
        return False
    return any(value_of(flag, passed_on) is not None for flag in EPOCH_CHECKPOINTS)


@cache
def find_criterion(name: str, user_dir: str | None = None) -> Criterion:
    """The criterion of that name; UserError, with the nearest name, if nobody has registered it."""
    try:
        found = CRITERIONS.get(name) or apart(registered, name, user_dir)
    except Exception as error:  # importing it runs a user's own code
        if user_dir is None:
            raise
        raise UserError(
            f"--user-dir: expected a module that can be imported, found {user_dir}, which cannot: "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(found, Criterion):
        # fairseq's default is none; compared with the first of them they should smooth alike.
        if name.startswith(LABEL_SMOOTHED):
            own = {"label_smoothing": CRITERION_FLAGS["label_smoothing"]}
            return replace(found, flags={**found.flags, **own})
        return found
    where = "with fairseq" if user_dir is None else f"with fairseq or by {user_dir}"
    near = _nearest(name, found)
    raise UserError(f"expected a criterion registered {where}, found {name!r}{near}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def check_flag(name: str, value: Any, *, criterion: str, user_dir: str | None = None) -> list[str]:
    """The words of a flag (label_smoothing) of ``labo train``, or of `criterion`, on its command.

    The criterion is one of fairseq, of this package or of `user_dir`. Raises UserError for a flag
    that neither has, and for a value that it does not take.
    """
    own = find_criterion(criterion, user_dir).flags
    of_others = CRITERION_FLAGS.keys() - own.keys() - MAY_BE_LEFT_OUT
    flags = {key: flag for key, flag in {**own, **TRAIN_FLAGS}.items() if key not in of_others}
    if name not in flags:
        raise UserError(
            f"{name}: expected a flag of labo train or of {criterion}, found none"
            f"{_nearest(name, flags)}"
        )
    read = flags[name].read(name, str(value))
    if name == "criterion":
        find_criterion(read, user_dir)
    return flags[name].words(name, read)


def split_flags(
    flags: Mapping[str, Any], criterion: str, user_dir: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Flags of ``labo train``, and the words behind -- for those that only `criterion` knows."""
    words = {
        name: check_flag(name, value, criterion=criterion, user_dir=user_dir)
        for name, value in flags.items()
    }
    own = {name: value for name, value in flags.items() if name in TRAIN_FLAGS}
    return own, [word for name in flags if name not in own for word in words[name]]
