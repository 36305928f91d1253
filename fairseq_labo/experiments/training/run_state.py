"""What fairseq-train would do if it were started: begin, resume, or nothing, being finished.

fairseq has no such check. It asks whether --max-update is reached after an update, so that a
finished run that is started again is trained by one more; with --patience it begins to count
anew. The limits and the checkpoint are read as fairseq reads them, by its own parser.
"""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EPOCH_BEGINS = "Start iterating over samples"
STOPPED_EARLY = re.compile(r"early stop since .* hasn't improved for last (\d+) runs")
DEFAULT_RESTORE_FILE = "checkpoint_last.pt"


@dataclass(frozen=True)
class RunState:
    """Where training goes on (epochs count from 1, updates from 0), or why it does not."""

    checkpoint: str | None = None  # None: training begins
    epoch: int = 1
    num_updates: int = 0
    finished: str | None = None
    rebuilds_batches: bool = False


def training_config(arguments: list[str]) -> Any:
    """The configuration that fairseq-train makes of its arguments."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments))


def state_of_arguments(arguments: list[str], log: Path) -> RunState:
    """`run_state` of fairseq-train with these arguments."""
    return run_state(training_config(arguments), log=log)


def run_state(config: Any, *, log: Path | None = None) -> RunState:
    """The state of a run, from its configuration, its last checkpoint and its log."""
    saving = config.checkpoint
    path = Path(saving.restore_file)
    if saving.restore_file == DEFAULT_RESTORE_FILE:
        path = Path(saving.save_dir) / DEFAULT_RESTORE_FILE
    if not path.exists():
        return RunState()
    import torch

    # Mapped, not read, where the format allows it: the optimizer's state may be large.
    mapped = zipfile.is_zipfile(path)
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    extra_state = checkpoint["extra_state"]
    epoch = 1 if saving.reset_dataloader else int(extra_state["train_iterator"]["epoch"])
    updates = (
        0 if saving.reset_optimizer else int(checkpoint["optimizer_history"][-1]["num_updates"])
    )
    reason = _finished(
        config,
        epoch=epoch,
        num_updates=updates,
        hours=extra_state.get("previous_training_time", 0) / 3600,
        log=log,
    )
    return RunState(
        checkpoint=str(path),
        epoch=epoch,
        num_updates=updates,
        finished=reason,
        rebuilds_batches=epoch > 1 and not config.dataset.update_epoch_batch_itr,
    )


def _finished(
    config: Any, *, epoch: int, num_updates: int, hours: float, log: Path | None
) -> str | None:
    """Which limit is reached, or None."""
    limits = config.optimization
    if 0 < limits.max_update <= num_updates:
        return f"{num_updates} updates are done of --max-update {limits.max_update}"
    if 0 < limits.max_epoch < epoch:
        return f"{epoch - 1} epochs are done of --max-epoch {limits.max_epoch}"
    if 0 < limits.stop_time_hours < hours:
        return f"{hours:.1f} hours are over of --stop-time-hours {limits.stop_time_hours:g}"
    patience = config.checkpoint.patience
    if patience > 0 and log is not None and stopped_after(log) == patience:
        return f"it stopped early: {patience} validations without improvement (--patience)"
    return None


def stopped_after(log: Path) -> int | None:
    """The patience that ended the last training of a log early, or None if nothing did."""
    stopped = None
    if log.exists():
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if EPOCH_BEGINS in line:
                    stopped = None
                elif found := STOPPED_EARLY.search(line):
                    stopped = int(found[1])
    return stopped
