"""Checkpoints that a kill or a full disk has cut off: kept aside, and others put in their place."""

import itertools
import shutil
from pathlib import Path

from fairseq_labo.experiments.checkpoints import CHECKPOINTS, load_checkpoint, newest_good
from fairseq_labo.experiments.errors import UserError

LAST_CHECKPOINT = "checkpoint_last.pt"  # the default of --restore-file
BEST_CHECKPOINT = "checkpoint_best.pt"


def mend(folder: Path, *, log: str, has_last: bool = True) -> list[str]:
    """Put the newest good checkpoint in the place of a last or best one that was cut off.

    fairseq writes a checkpoint whole under one name and then copies it to others: the best one,
    and then the last one. A kill or a full disk during a copy leaves a part under the final name;
    what was being copied is then the newest good one. A last one that is missing, where a `log`
    tells of a training, was about to be written, if it `has_last` (no --no-last-checkpoints).
    Damaged files get another name.

    Imports torch. Returns what was done, a line each.
    """
    last, best = folder / LAST_CHECKPOINT, folder / BEST_CHECKPOINT
    damaged = {path: said for path in sorted(folder.glob(CHECKPOINTS)) if (said := _damage(path))}
    good = newest_good(folder)
    if good and has_last and not last.exists() and (folder / log).exists():
        damaged[last] = f"{last}: expected a checkpoint, as after each epoch, found none"
    done = []
    for path, said in damaged.items():
        # Behind a whole last one nothing was cut off: what became of the best one is not known.
        replaced = good is not None and (path == last or (path == best and good != last))
        part = folder / f"{path.name}.part"
        if good and replaced:
            shutil.copyfile(good, part)
            said += f"; going on with a copy of {good.name}"
        if path.exists():
            names = (path.with_name(f"{path.name}.damaged-{n}") for n in itertools.count(1))
            aside = next(name for name in names if not name.exists())
            path.rename(aside)
            said += f"; what was found is now {aside.name}"
        if replaced:
            part.replace(path)
        done.append(said)
    return done


def gone_on_from(folder: Path, log: str) -> Path | None:
    """The checkpoint that a training in `folder` goes on from, once it is mended; None: afresh.

    Imports torch.
    """
    last = folder / LAST_CHECKPOINT
    if last.exists() and not _damage(last):
        return last
    return newest_good(folder) if last.exists() or (folder / log).exists() else None


def named_elsewhere(
    restore_file: str | None, continue_once: str | None, *, has_own: bool
) -> str | None:
    """The checkpoint, by fairseq-train's flags, that it begins with instead of the folder's own."""
    if restore_file not in (None, LAST_CHECKPOINT):
        return restore_file
    return None if has_own else continue_once


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None; OSError for one that may only not be read."""
    path.open("rb").close()
    try:
        load_checkpoint(path)
    except UserError as error:
        return str(error)
    return None
