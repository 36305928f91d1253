"""What a number was obtained with: versions, commit, cores, a checkpoint's training."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fairseq_labo import environment
from fairseq_labo.experiments import provenance
from fairseq_labo.experiments.provenance import available_cores


def test_it_is_light() -> None:
    code = "import sys, fairseq_labo.experiments.provenance\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_versions_of_whatever_provides_fairseq(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2", "ve-fairseq": "0.12.3", "numpy": "1"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    found = {"fairseq": ["ve-fairseq", "ve-fairseq"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: found)
    environment.providers_of_fairseq.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", version)
    described = provenance.describe_machine(cpu=True)
    capability = torch.backends.cpu.get_cpu_capability()  # AVX2, AVX512: they round differently
    assert described["device"] == f"CPU ({platform.machine()}, {capability})"
    environment.providers_of_fairseq.cache_clear()
    assert described["versions"] | {"python": ""} == versions | {"python": ""}


@pytest.mark.slow
def test_the_installed_fairseq_is_recorded() -> None:
    providers = importlib.metadata.packages_distributions()["fairseq"]
    assert set(providers) <= provenance.describe_machine(cpu=True)["versions"].keys()


def test_all_flags_of_a_checkpoints_criterion(tmp_path: Path) -> None:
    criterion = {"_name": "labo_cross_entropy", "label_smoothing": 0.1, "fused_projection": True}
    content = {
        "model": {},
        "cfg": {"criterion": criterion, "common": {"seed": 3}},
        "optimizer_history": [{"num_updates": 7}],
        "extra_state": {"train_iterator": {"epoch": 2}},
    }
    torch.save(content, tmp_path / "checkpoint_best.pt")
    assert provenance.describe_checkpoint(tmp_path / "checkpoint_best.pt") == {
        "path": "checkpoint_best.pt",
        "criterion": criterion,
        "seed": 3,
        "epoch": 2,
        "num_updates": 7,
    }


@pytest.mark.parametrize(
    "entry", [{"extra_state": {"train_iterator": None}}, {"optimizer_history": [None]}]
)
def test_a_checkpoint_that_was_stripped(entry: dict[str, Any], tmp_path: Path) -> None:
    """What it does not tell is None: not an error, which would come after the translation."""
    torch.save({"model": {}, **entry}, tmp_path / "c.pt")
    described = provenance.describe_checkpoint(tmp_path / "c.pt")
    assert described["epoch"] is None and described["num_updates"] is None


def test_the_name_alone_of_a_criterion_with_flags_of_old(tmp_path: Path) -> None:
    """Its settings in a checkpoint are all flags of the training, as a Namespace."""
    flags = Namespace(criterion="of_old", arch="transformer", data="/home/me/data")
    content = {"model": {}, "cfg": {"criterion": flags, "common": {"seed": 3}}}
    torch.save(content, tmp_path / "checkpoint_best.pt")
    described = provenance.describe_checkpoint(tmp_path / "checkpoint_best.pt")
    assert described["criterion"] == {"_name": "of_old"} and described["seed"] == 3


def test_commit_is_that_of_this_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed copy inside somebody's repository is not of that repository."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "provenance.py").touch()
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.current_commit() is None
    subprocess.run([*git, "add", "provenance.py"], check=True)
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    assert provenance.current_commit() == commit.stdout.strip() + "+changes"


def test_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """From what fairseq says was free, at the worst."""
    assert provenance.peak_gpu_mib(None) is None
    memory = SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: memory)
    assert provenance.peak_gpu_mib(68) == 12 * 1024
    assert provenance.keep_freed_memory() == {}


def cores_of(tmp_path: Path, membership: str, files: dict[str, str]) -> int:
    """Cores where the cgroups are as in `files`."""
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
    (tmp_path / "self").write_text(membership, encoding="utf-8")
    return available_cores(root=tmp_path / "cgroup", membership=tmp_path / "self")


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000"}, 8),
        ("0::/\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/\n", {"cpu.max": "250000 100000"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000"}, 8),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000"}, 2),
        ("0::/gone\n", {"cpu.max": "200000 100000"}, 2),
        ("4:memory:/\n1:cpu:/\n", {}, 8),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (
            "3:cpu,cpuacct:/job\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_cores_within_the_quota_of_cgroups(
    membership: str,
    files: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cores_of(tmp_path, membership, files) == expected


def test_cores_obey_taskset_and_not_omp_num_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, runpy\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        f"print(runpy.run_path({provenance.__file__!r})['available_cores']())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    before = available_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert available_cores() == before


def test_cores_without_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert available_cores(membership=tmp_path / "none") == 3
