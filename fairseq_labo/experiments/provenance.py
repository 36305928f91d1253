"""What a number was obtained with: checkpoint, machine, versions, commit."""

import importlib.metadata
import math
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("torch", "sacrebleu", "sacremoses", "numpy")


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its training: criterion (``_name``) and its flags, seed, updates.

    "epoch" is the one that training would go on with: one more than those done.
    """
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    history = (state.get("optimizer_history") or [{}])[-1]
    iterator = (state.get("extra_state") or {}).get("train_iterator", {})
    config = state.get("cfg") or {}
    described = {
        "path": path.name,
        "criterion": dict(config.get("criterion") or {}),
        "seed": (config.get("common") or {}).get("seed"),
        "epoch": iterator.get("epoch"),
        "num_updates": history.get("num_updates"),
    }
    if "averaged_from" in state:
        described["averaged_from"] = state["averaged_from"]
    return described


def describe_machine(*, cpu: bool = False) -> dict[str, Any]:
    """Device (the CPU if `cpu`), processor threads, versions and commit of this process."""
    import torch

    gpu = torch.cuda.is_available() and not cpu
    versions = {"python": platform.python_version()}
    # Several distributions provide the module fairseq (fairseq-fixed, ve-fairseq, ...).
    providers = importlib.metadata.packages_distributions().get("fairseq", [])
    for name in (*DISTRIBUTIONS, *sorted(set(providers))):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": torch.cuda.get_device_name() if gpu else f"CPU ({platform.machine()})",
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
    if least_gib_free is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    total: int = torch.cuda.get_device_properties(0).total_memory
    return total / 2**20 - least_gib_free * 1024


def available_cores(
    *, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Cores that this process may keep busy: its affinity, within the quota of its cgroups.

    Not os.cpu_count(), which knows neither, nor nproc, which obeys OMP_NUM_THREADS. A part of a
    core does not count, except where there is nothing else. `root` is where the cgroups are
    mounted, `membership` the file that says in which of them this process is.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        cores = len(os.sched_getaffinity(0))
    return max(1, math.floor(min([cores, *_quotas(root, membership)])))


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """The quotas, in cores, of this process's cgroups (version 2 and 1) and of those above."""
    if not membership.exists():
        return
    for line in membership.read_text(encoding="utf-8").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = root / controllers
        group = mounted / place.lstrip("/")
        for folder in (group, *group.parents[: len(group.parts) - len(mounted.parts)]):
            try:
                if controllers:
                    quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
                    period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
                else:
                    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            except OSError:  # a container sees only its part of the tree
                continue
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)


def processor_name() -> str:
    """The processor's own name, where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def current_commit() -> str | None:
    """Commit of the repository of this file, with "+changes" if the work tree differs from it.

    None for an installed package, even in a virtual environment within another repository.
    """
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    if not commit or not git("ls-files", __file__):
        return None
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
