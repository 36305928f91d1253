"""What a number was obtained with: checkpoint, machine, versions, commit."""

import importlib.metadata
import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairseq_labo.environment import providers_of_fairseq
from fairseq_labo.experiments.checkpoints import load_checkpoint, settings_of

DISTRIBUTIONS = ("torch", "sacrebleu", "sacremoses", "numpy")


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its training: criterion (``_name``) and its flags, seed, updates.

    "epoch" is the one that training would go on with: one more than those done.
    """
    state = load_checkpoint(path)
    history = (state.get("optimizer_history") or [None])[-1]
    iterator = (state.get("extra_state") or {}).get("train_iterator")
    criterion = settings_of(state, "criterion")
    if "_name" not in criterion and "criterion" in criterion:  # all flags, of an old criterion
        criterion = {"_name": criterion["criterion"]}
    averaged = {"averaged_from": state["averaged_from"]} if "averaged_from" in state else {}
    return {
        "path": path.name,
        "criterion": criterion,
        "seed": settings_of(state, "common").get("seed"),
        "epoch": iterator.get("epoch") if isinstance(iterator, dict) else None,
        "num_updates": history.get("num_updates") if isinstance(history, dict) else None,
        **averaged,
    }


def describe_machine(*, cpu: bool = False) -> dict[str, Any]:
    """Device (the CPU if `cpu`), processor threads, versions and commit of this process."""
    import torch

    gpu = torch.cuda.is_available() and not cpu
    # With other instructions it rounds otherwise, which moves a training's scores as a seed does.
    processor = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    versions = {"python": platform.python_version()}
    for name in (*DISTRIBUTIONS, *providers_of_fairseq()):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "device": torch.cuda.get_device_name() if gpu else f"CPU ({processor})",
        "threads": torch.get_num_threads(),
        "versions": versions,
        "commit": current_commit(),
    }


def keep_freed_memory() -> dict[str, str]:
    """Environment for trainings on the CPU: the GNU C library keeps memory that was freed.

    By default it gives large buffers back to the system and gets fresh pages at each step, at a
    cost that depends on the criterion's buffers and on the machine's load. No result depends on
    it. Empty on a GPU or without that library.
    """
    import torch

    if torch.cuda.is_available() or platform.libc_ver()[0] != "glibc":
        return {}
    return {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}


def peak_gpu_mib(least_gib_free: float | None) -> float | None:
    """What torch held at most on the first GPU, in MiB, from what it left free, in GiB."""
    import torch

    if least_gib_free is None or not torch.cuda.is_available():
        return None
    total: int = torch.cuda.get_device_properties(0).total_memory
    return total / 2**20 - least_gib_free * 1024


def available_cores(
    *, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Whole cores that this process may keep busy: its affinity, within its cgroups' quota.

    Not os.cpu_count(), which knows neither, nor nproc, which obeys OMP_NUM_THREADS. `root` is
    where the cgroups are mounted, `membership` the file that says in which this process is.
    """
    macos = not hasattr(os, "sched_getaffinity")
    cores = os.cpu_count() or 1 if macos else len(os.sched_getaffinity(0))
    return max(1, math.floor(min([cores, *_quotas(root, membership)])))


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """The quotas, in cores, of this process's cgroups (version 2 and 1) and of those above."""
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.exists() else []
    for _, controllers, place in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
        group = root / controllers / place.lstrip("/")
        for folder in (group, *group.parents):  # no folder above `root` has such files
            with suppress(OSError):  # a container sees only its part of the tree
                texts = [(folder / name).read_text(encoding="utf-8") for name in names]
                quota, period = " ".join(texts).split()
                if quota not in ("max", "-1"):
                    yield int(quota) / int(period)


def processor_name() -> str:
    """The processor's own name, where the system tells it."""
    with suppress(OSError):  # not on macOS
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.*\S)", text, re.MULTILINE):
            return found[1]
    return platform.processor() or platform.machine()


def current_commit() -> str | None:
    """Commit of the repository of this file, with "+changes" if the work tree differs from it.

    None for an installed package, even in a virtual environment within another repository.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    if shutil.which("git") is None:
        return None

    commit = git("rev-parse", "--short", "HEAD")
    if not commit or not git("ls-files", __file__):
        return None
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
