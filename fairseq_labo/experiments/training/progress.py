"""How far a run is, and of what training, by its checkpoint, its log and fairseq's configuration.

Most of it imports fairseq or torch: to be asked `apart`, see inquiry.py.
"""

import argparse
import ast
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.checkpoints import corpus_of, load_checkpoint, settings_of
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.inquiry import Criterion, registered
from fairseq_labo.experiments.training.log import MAIN_LOG
from fairseq_labo.experiments.training.mending import (
    LAST_CHECKPOINT,
    gone_on_from,
    mend,
    named_elsewhere,
)

# Flags of criterions.
NO_PART_OF_A_TRAINING = {"report_accuracy", "tpu"}
# What else makes a training another: of sections of fairseq's configuration. Not its batches, whose
# --max-tokens and --update-freq follow from the number of workers; of the model nothing that
# building it sets.
DIMENSIONS = "layers|embed_dim|ffn_embed_dim|attention_heads|normalize_before|hidden_size"
SHARED = "share_(all_embeddings|(decoder_)?input_output_embed)"
DECIDING = {
    "model": re.compile(rf"arch|(\w+_)?dropout|(encoder|decoder)_({DIMENSIONS})|{SHARED}"),
    "optimization": re.compile(r"lr|clip_norm|sentence_avg"),
    "optimizer": re.compile(r"_name|adam_betas|adam_eps|momentum|weight_decay"),
    "lr_scheduler": re.compile(r"_name|warmup_.*"),
}
# What says when, and by whom, a training of two stages is regularized.
STAGE_FLAGS = (
    "smoothing_epochs",
    "smoothing_updates",
    "smoothing_schedule",
    "teacher_path",
    "teacher_temperature",
)
REBUILT = (
    "warning: resuming in epoch {epoch}: fairseq, with any criterion, forms other batches than "
    "without the interruption, so the result will differ a little. With '-- "
    "--update-epoch-batch-itr True' from the start it forms them anew in every epoch, and a "
    "restart changes nothing"
)
EPOCH_BEGINS = "Start iterating over samples"
STOPPED_EARLY = re.compile(r"early stop since .* hasn't improved for last (\d+) runs")


def training_config(arguments: list[str]) -> Any:
    """The configuration that fairseq-train makes of its arguments."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments))


def state_of(
    arguments: list[str], save_dir: Path, log: str, mending: bool
) -> tuple[bool, list[str]]:
    """`mend` the folder, if asked to, and then the `progress` of fairseq-train in it.

    Imports fairseq: to be asked `apart`. Raises UserError for a checkpoint that cannot be used.
    """
    config = training_config(arguments)
    named = config.checkpoint.restore_file != LAST_CHECKPOINT
    has_last = not config.checkpoint.no_last_checkpoints
    said = [] if named or not mending else mend(save_dir, log=log, has_last=has_last)
    own, restored = save_dir / LAST_CHECKPOINT, Path(config.checkpoint.restore_file)
    if named and own.exists() and not (restored.exists() and own.samefile(restored)):
        said.append(
            f"warning: {own}, which is this run's own, is not gone on from but "
            f"{config.checkpoint.restore_file}, as --restore-file says; --finetune-from-model "
            "begins with that and then goes on from its own"
        )
    finished, message = progress(config, save_dir / log)
    return finished, [*said, *filter(None, [message])]


def progress(config: Any, log: Path) -> tuple[bool, str]:
    """Whether nothing is left to train, and what the user should know (or ""), before it starts.

    From fairseq's configuration of a run, its last checkpoint and its log. fairseq has no such
    check. It asks whether --max-update is reached after an update, so that a finished run that is
    started again is trained by one more; with --patience it begins to count anew.
    """
    saving = config.checkpoint
    own = Path(saving.save_dir) / LAST_CHECKPOINT
    named = named_elsewhere(saving.restore_file, saving.continue_once, has_own=own.exists())
    if not (named or own.exists()) or "://" in (named or ""):  # which only fairseq can read
        return False, ""
    path = Path(named) if named else own
    remedy = "name another" if named else "--resume auto goes on from that, or else afresh"
    try:
        checkpoint = load_checkpoint(path)
    except UserError as error:
        raise UserError(f"{error}: {remedy}") from error
    other = _of_another_training(config, checkpoint)
    afresh = "leave out the flag that names it" if named else "take another --save-dir"
    extra_state = checkpoint["extra_state"]
    epoch = 1 if saving.reset_dataloader else int(extra_state["train_iterator"]["epoch"])
    last = checkpoint["optimizer_history"][-1]
    updates = 0 if saving.reset_optimizer else int(last["num_updates"])
    hours = extra_state.get("previous_training_time", 0) / 3600
    if reason := _finished(config, epoch=epoch, updates=updates, hours=hours, log=log):
        if other:
            by_epochs = 0 < config.optimization.max_epoch < epoch
            anew = ", or add --reset-dataloader, to count epochs from here"
            anew = anew if saving.reset_optimizer and by_epochs else ""
            raise UserError(
                f"{path}: expected a training with these flags, found a finished one with other "
                f"({'; '.join(other)}); {afresh}{anew}"
            )
        return True, (
            f"finished: {reason} ({path}). Nothing is trained. To train on, raise the limit; to "
            f"train afresh, {afresh}"
        )
    said = []
    if other and not saving.reset_optimizer:
        said.append(f"warning: resuming a training with other flags: {'; '.join(other)}")
    if epoch > 1 and not config.dataset.update_epoch_batch_itr:
        said.append(REBUILT.format(epoch=epoch))
    return False, "\n".join(said)


def _of_another_training(config: Any, checkpoint: Mapping[str, Any]) -> list[str]:
    """Flags that decide a training, where the checkpoint says others: ``seed 7, now 1``."""
    now, before = _entries(config.criterion), settings_of(checkpoint, "criterion")
    criterion = registered(now["_name"], None)
    flags = criterion.flags if isinstance(criterion, Criterion) else {}
    pairs = {}
    if "_name" in before:
        pairs["criterion"] = (before["_name"], now["_name"])
    for key in flags.keys() & before.keys() - NO_PART_OF_A_TRAINING:
        pairs[key] = (before[key], now.get(key))
    if (seed := settings_of(checkpoint, "common").get("seed")) is not None:
        pairs["seed"] = (seed, config.common.seed)
    for section, pattern in DECIDING.items():
        now = _entries(getattr(config, section))
        before = _entries(settings_of(checkpoint, section))
        for key in filter(pattern.fullmatch, now.keys() & before.keys()):
            if now.get(f"{key}_to_keep"):  # then building the model has changed the number
                continue
            pairs[section if key == "_name" else key] = (before[key], now[key])
    other = {key: pair for key, pair in pairs.items() if not _same(*pair)}
    if "arch" in other:  # what it says of the model stands for the rest
        other = {key: pair for key, pair in other.items() if not DECIDING["model"].fullmatch(key)}
        other["arch"] = pairs["arch"]
    return sorted(f"{key} {old}, now {new}" for key, (old, new) in other.items())


def _entries(section: Any) -> dict[str, Any]:
    """Of a section of fairseq's configuration, which may be missing.

    What hydra's nested sections of a model say counts, not the flat defaults beside them.
    """
    found = dict(vars(section) if isinstance(section, argparse.Namespace) else section or {})
    for side in ("encoder", "decoder"):
        if isinstance(nested := found.get(side), Mapping):
            found |= {f"{side}_{key}": value for key, value in nested.items()}
    if found.get("share_all_embeddings"):  # which building the model writes down
        found["share_decoder_input_output_embed"] = True
    return found


def _same(before: Any, now: Any) -> bool:
    """Whether a flag has the value of before, lists as text or not, or names the same file."""
    both = (before, now)
    texts = all(isinstance(value, str) for value in both)
    if _listed(before) == _listed(now):
        return True
    return texts and len({os.path.realpath(path) for path in both}) == 1


def _listed(value: Any) -> Any:
    """As a list what a text like ``(0.9,0.98)`` stands for, which fairseq may keep as one."""
    if isinstance(value, str) and value.startswith(("(", "[")):
        with suppress(ValueError, SyntaxError, TypeError):
            value = ast.literal_eval(value)
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return list(value) if is_list else value


def check_begun_with(paths: Mapping[str, Path]) -> None:
    """Raise UserError for a file, by its flag, that is no whole checkpoint.

    Imports torch: to be asked `apart`.
    """
    for flag, path in paths.items():
        try:
            load_checkpoint(path)
        except UserError as error:
            raise UserError(f"{flag}: {error}; name another") from error


def stages_of(path: Path) -> dict[str, Any] | None:
    """`STAGE_FLAGS` of the training whose checkpoint is gone on from, as far as it has them.

    None where there is no checkpoint that can be read.

    path: a checkpoint, or a folder of some. Imports torch: to be asked `apart`.
    """
    try:
        good = gone_on_from(path, MAIN_LOG) if path.is_dir() else path
        state = load_checkpoint(good) if good else None
    except (UserError, OSError):  # the training will say so
        return None
    if state is None:
        return None
    criterion = settings_of(state, "criterion")
    # 0 epochs is a stage 1 of none.
    return {flag: criterion[flag] for flag in STAGE_FLAGS if criterion.get(flag) is not None}


def corpus_begun(folder: Path) -> dict[str, Any]:
    """What the checkpoint that a folder goes on from tells of its corpus; to be asked `apart`."""
    path = gone_on_from(folder, MAIN_LOG)
    return corpus_of(path) if path else {}


def _finished(config: Any, *, epoch: int, updates: int, hours: float, log: Path) -> str | None:
    """Which limit is reached, or None."""
    limits, patience = config.optimization, config.checkpoint.patience
    if 0 < limits.max_update <= updates:
        return f"{updates} updates are done of --max-update {limits.max_update}"
    if 0 < limits.max_epoch < epoch:
        return f"{epoch - 1} epochs are done of --max-epoch {limits.max_epoch}"
    if 0 < limits.stop_time_hours < hours:
        return f"{hours:.1f} hours are over of --stop-time-hours {limits.stop_time_hours:g}"
    stopped = stopped_after(log)
    if stopped is not None and 0 < patience <= stopped:
        return f"it stopped early: {patience} validations without improvement (--patience)"
    return None


def stopped_after(log: Path) -> int | None:
    """The patience that ended the last training of a log early, or None if nothing did."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = STOPPED_EARLY.findall(text.rpartition(EPOCH_BEGINS)[2])
    return int(found[-1]) if found else None
