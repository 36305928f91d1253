"""What a number was obtained with: checkpoint, machine, versions, commit."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

DISTRIBUTIONS = ("torch", "fairseq-fixed", "fairseq", "sacrebleu", "sacremoses", "numpy")
CRITERION_FLAGS = (
    *("_name", "label_smoothing", "labo_beta", "smoothing_epochs", "smoothing_updates"),
)


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its training: criterion and flags, seed, epoch, updates.

    "epoch" is the one that training would go on with: one more than those done.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    history = (state.get("optimizer_history") or [{}])[-1]
    iterator = (state.get("extra_state") or {}).get("train_iterator", {})
    config = state.get("cfg") or {}
    criterion = config.get("criterion") or {}
    described = {
        "path": path.name,
        "criterion": {key: criterion[key] for key in CRITERION_FLAGS if key in criterion},
        "seed": (config.get("common") or {}).get("seed"),
        "epoch": iterator.get("epoch"),
        "num_updates": history.get("num_updates"),
    }
    if "averaged_from" in state:
        described["averaged_from"] = state["averaged_from"]
    return described


def describe_machine(*, cpu: bool = False) -> dict[str, Any]:
    """Device (the CPU if `cpu`), processor threads, versions and commit of this process."""
    gpu = torch.cuda.is_available() and not cpu
    versions = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
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
    if torch.cuda.is_available() or platform.libc_ver()[0] != "glibc":
        return {}
    return {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}


def peak_gpu_mib(least_gib_free: float | None) -> float | None:
    """What torch held at most on the first GPU, in MiB, from what it left free, in GiB."""
    if least_gib_free is None or not torch.cuda.is_available():
        return None
    total: int = torch.cuda.get_device_properties(0).total_memory
    return total / 2**20 - least_gib_free * 1024


def processor_name() -> str:
    """The processor's own name, where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def current_commit() -> str | None:
    """Commit of the repository, with "+changes" if the work tree differs from it."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return None
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
