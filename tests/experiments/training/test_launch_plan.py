"""What is started, by device and cluster; no GPU is needed to see it."""

import argparse
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fairseq_labo.defaults import USER_DIR
from fairseq_labo.experiments.cli import parse
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import launch_plan
from fairseq_labo.experiments.training.flags import option, value_of
from fairseq_labo.experiments.training.launch_plan import (
    WITH_PLUGIN,
    Launch,
    Place,
    batch_flags,
    master_address,
    place_of,
    plan,
    usual_batch,
    visible_gpus,
)

TRAINING = ["bin", "--max-epoch", "2"]
ALONE = [sys.executable, "-m", "fairseq_cli.train", *TRAINING]
# What srun sets for the last of four tasks on two machines.
SRUN = {
    "SLURM_JOB_ID": "70123",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07,09]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}
ONE_TASK_A_NODE = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}


def options_of(**given: Any) -> argparse.Namespace:
    """The options of labo train with these flags."""
    words = [[option(name), str(value)] for name, value in given.items()]
    return parse(["train", "--data", "x", "--save-dir", "y", *itertools.chain(*words)])


def planned(
    found: int,
    environ: Mapping[str, str] | None = None,
    training: list[str] = TRAINING,
    **given: Any,
) -> Launch:
    """The launch on a machine that shows so many GPUs."""
    with mock.patch.object(launch_plan, "visible_gpus", return_value=found):
        return plan(options_of(**given), training, environ=environ or {})


def torchrun(*flags: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *flags]


def program(folder: Path, name: str, *lines: str) -> dict[str, str]:
    """A program that prints the lines, and the environment that finds it."""
    path = folder / name
    path.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n", encoding="utf-8")
    path.chmod(0o755)
    return {"PATH": f"{folder}:/bin:/usr/bin"}


@pytest.mark.parametrize(
    ("gpus", "request_", "command"),
    [
        (0, {}, ALONE),
        (1, {}, ALONE),
        (1, {"gpus": 0}, [*ALONE, "--cpu", "--distributed-world-size", "1"]),
        (8, {"gpus": 1}, [*ALONE, "--distributed-world-size", "1"]),  # or fairseq takes all 8
        (8, {"gpus": 0}, [*ALONE, "--cpu", "--distributed-world-size", "1"]),
        (
            4,
            {},
            [
                *torchrun("--standalone", "--nproc-per-node", "4", *ALONE[1:]),
                *("--distributed-world-size", "4"),
            ],
        ),
        # Also where torch may see a GPU that nvidia-smi does not.
        (0, {"gpus": 0}, [*ALONE, "--cpu", "--distributed-world-size", "1"]),
        (
            1,  # one GPU each: without the flag fairseq would train twice, each alone
            {"nodes": 2, "node_rank": 1, "master": "gpu07"},
            [
                *torchrun("--nnodes", "2", "--node-rank", "1", "--master-addr", "gpu07"),
                *("--master-port", "29500", "--nproc-per-node", "1", *ALONE[1:]),
                *("--distributed-world-size", "2"),
            ],
        ),
    ],
)
def test_one_process(gpus: int, request_: dict[str, Any], command: list[str]) -> None:
    assert planned(gpus, **request_).commands == [command]


def test_two_workers_on_the_cpu() -> None:
    first, second = planned(0, workers=2).commands
    cpu = ["--cpu", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    own = ["--distributed-no-spawn", "--distributed-world-size", "2", "--distributed-rank"]
    assert first[: len(ALONE)] == ALONE and "torch.distributed.run" not in first
    assert first[len(ALONE) : -3] == [*cpu, *own] and first[-3] == "0"
    assert second[len(ALONE) : -3] == [*cpu, *own] and second[-3] == "1"
    assert first[-1] == second[-1] and first[-1].startswith("tcp://127.0.0.1:")


def test_what_stands_behind_the_dashes_is_not_overridden() -> None:
    own = ["--ddp-backend", "pytorch_ddp"]
    first, _ = planned(0, training=own, gpus=0, workers=2).commands
    assert first.count("--ddp-backend") == 1 and value_of("--ddp-backend", first) == "pytorch_ddp"
    assert value_of("--distributed-backend", first) == "gloo"


def test_srun_with_a_task_for_each_gpu(tmp_path: Path) -> None:
    """No torchrun; the worker's number is SLURM's, and so is the port: 20000 + 70123 % 20000."""
    environ = SRUN | program(tmp_path, "scontrol", "gpu07", "gpu09")
    launch = planned(2, environ)
    assert launch.commands == [
        [
            *(*ALONE, "--distributed-no-spawn", "--distributed-world-size", "4"),
            *("--distributed-rank", "3", "--distributed-init-method", "tcp://gpu07:30123"),
            *("--device-id", "1"),
        ]
    ]
    assert launch.log == "train.task-3.log"
    (command,) = planned(1, environ).commands  # SLURM shows each task its own GPU only
    assert command[-2:] == ["--device-id", "0"]
    assert planned(2, environ | {"SLURM_PROCID": "0"}).log == "train.log"


def test_srun_with_a_task_for_each_machine(tmp_path: Path) -> None:
    environ = SRUN | ONE_TASK_A_NODE | program(tmp_path, "scontrol", "gpu07", "gpu09")
    launch = planned(8, environ)
    assert launch.commands == [
        [
            *torchrun("--nnodes", "2", "--node-rank", "1", "--master-addr", "gpu07"),
            *("--master-port", "30123", "--nproc-per-node", "8", *ALONE[1:]),
            *("--distributed-world-size", "16"),
        ]
    ]
    assert launch.log == "train.node-1.log"
    (command,) = planned(8, SRUN | ONE_TASK_A_NODE, master="10.0.0.7:7000").commands
    assert command[command.index("--master-addr") :][:4] == [
        *("--master-addr", "10.0.0.7", "--master-port", "7000")
    ]


def test_one_task_in_a_step_is_one_machine() -> None:
    single = SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}
    assert planned(1, single).commands == [ALONE]
    assert planned(1, {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}).commands == [ALONE]


def test_a_job_of_several_machines_needs_srun() -> None:
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2"}
    with pytest.raises(UserError, match=r"2 machines.* write 'srun labo train ...'"):
        planned(4, job)
    (command,) = planned(4, job, nodes=1).commands
    assert "--standalone" in command


@pytest.mark.parametrize(
    ("gpus", "environ", "request_", "match"),
    [
        (0, {}, {"nodes": 2, "node_rank": 0, "master": "a"}, "expected a GPU on each"),
        (0, SRUN, {"master": "a"}, "expected a GPU on each"),
        (1, {}, {"nodes": 2}, "--nodes 2 needs --node-rank, .* found --node-rank None"),
        (1, {}, {"nodes": 2, "node_rank": 2, "master": "a"}, "from 0 to 1"),
        (1, {}, {"nodes": 2, "node_rank": 0, "master": "a:b"}, "HOST or HOST:PORT, .* found 'a:b'"),
        (1, {}, {"nodes": 2, "node_rank": 0, "master": "fe80::1"}, "IPv4 address, found 'fe80::1'"),
        (1, {}, {"master": "a"}, "go with --nodes of 2 or more"),
        (1, {}, {"workers": 2}, "pass --gpus 0 with it"),
        (0, {}, {"gpus": 2}, "--gpus: expected at most 0, .* found 2; .* --gpus 0 the CPU"),
        (2, {}, {"gpus": 3}, "--gpus: expected at most 2"),
        (1, {"SLURM_JOB_NUM_NODES": "x"}, {}, r"\$SLURM_JOB_NUM_NODES: expected a number, .* 'x'"),
        (1, {"SLURM_STEP_NUM_TASKS": "2"}, {}, r"\$SLURM_PROCID: expected a number, .* 'none'"),
        (1, SRUN | {"PATH": "/nowhere"}, {}, "expected scontrol.* pass --master"),
    ],
)
def test_refused(gpus: int, environ: dict[str, str], request_: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        planned(gpus, environ, **request_)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        *[(None, 2), ("0,1", 2), ("1", 1), ("", 0), ("-1", 0), ("MIG-4f", 1), ("GPU-1,GPU-2", 2)],
        *[("0,1,2,3", 2), ("2,0", 0), ("0,-1,1", 1)],  # what is not there hides those behind it
    ],
)
def test_visible_gpus(chosen: str | None, expected: int, tmp_path: Path) -> None:
    environ = program(tmp_path, "nvidia-smi", "GPU 0: NVIDIA H100", "GPU 1: NVIDIA H100")
    if chosen is not None:
        environ["CUDA_VISIBLE_DEVICES"] = chosen
    assert visible_gpus(environ) == expected


def test_no_driver_no_gpu(tmp_path: Path) -> None:
    assert visible_gpus({"PATH": "/nowhere"}) == 0
    environ = program(tmp_path, "nvidia-smi", "NVIDIA-SMI has failed")
    assert visible_gpus(environ | {"CUDA_VISIBLE_DEVICES": "0"}) == 0


@pytest.mark.parametrize(
    ("gpus", "request_", "environ", "expected"),
    [
        (0, {}, {}, ("4096", "8")),
        (1, {}, {}, ("4096", "8")),
        (8, {}, {}, ("4096", "1")),
        (8, {"gpus": 2}, {}, ("4096", "4")),
        (8, {"nodes": 2, "node_rank": 0, "master": "a"}, {}, ("2048", "1")),
        (0, {"workers": 2}, {}, ("4096", "4")),
        (8, {"master": "a"}, SRUN, ("4096", "2")),  # four tasks, a worker each
        (8, {"master": "a"}, SRUN | ONE_TASK_A_NODE, ("2048", "1")),  # 16 workers
    ],
)
def test_a_batch_is_shared_whatever_the_number_of_workers(
    gpus: int, request_: dict[str, Any], environ: Mapping[str, str], expected: tuple[str, str]
) -> None:
    training = [*TRAINING, "--max-tokens", "1000", "--max-tokens", "4096"]  # the last one counts
    launch = planned(gpus, environ, training, batch_tokens=32768, **request_)
    command = launch.commands[0]
    after = command[len(command) - command[::-1].index("--max-tokens") :]
    assert (after[0], after[1:3]) == (expected[0], ["--update-freq", expected[1]])


@pytest.mark.parametrize(
    ("limit", "workers", "expected"),
    [("4096", 1, ("4096", "8")), ("4096", 3, ("3640", "3")), ("2000", 1, ("1927", "17"))],
)
def test_the_usual_batch_is_shared_as_nearly_as_it_can_be(
    limit: str, workers: int, expected: tuple[str, str]
) -> None:
    """Nobody has asked for exactly that number of tokens."""
    training = [*TRAINING, "--max-tokens", limit]
    launch = plan(options_of(gpus=0, workers=workers), training, environ={}, usual_tokens=32768)
    command = launch.commands[0]
    assert (value_of("--max-tokens", command), value_of("--update-freq", command)) == expected


def test_the_usual_batch_can_always_be_shared() -> None:
    for workers in (1, 2, 3, 5, 8, 64):
        for limit in (64, 1000, 1365, 1638, 3276, 11_999, 99_999):
            training = ["--max-tokens", str(limit)]
            tokens = usual_batch(training, batch_tokens=32768, workers=workers)
            words = batch_flags(training, batch_tokens=tokens, workers=workers)
            parts = int(words[1]), int(words[3])
            assert parts[0] <= limit and parts[0] * parts[1] * workers == tokens
            assert 32768 - tokens < workers * max(2, parts[1])  # as nearly as it can be


def test_another_user_dir_is_imported_beside_ours() -> None:
    """fairseq imports one."""
    ours = ["--user-dir", str(USER_DIR)]
    for more, module in (([], "fairseq_cli.train"), (["--user-dir", "plugin"], WITH_PLUGIN[1])):
        for request in ({"gpus": 0}, {"gpus": 0, "workers": 2}):
            launch = plan(options_of(**request), [*TRAINING, *ours, *more], environ={})
            assert all(module in command for command in launch.commands)


@pytest.mark.parametrize(
    ("training", "batch_tokens", "workers", "found"),
    [
        ([], 4096, 1, "no --max-tokens"),
        (["--max-tokens", "4096", "--update-freq", "2"], 4096, 1, "both"),
        (["--max-tokens", "4096", "--update-freq=2"], 4096, 1, "both"),
        (["--max-tokens", "0"], 4096, 1, "--max-tokens: expected a whole number of at least 1"),
        (["--max-tokens=many"], 4096, 1, "found 'many'"),
        (["--max-tokens", "4096"], 4096, 3, "found 4096"),
        (["--max-tokens", "1000"], 1001, 1, "found 1001"),
        (["--max-tokens", "1000"], 1, 2, "found 1"),
        (["--max-tokens", "1000"], 0, 1, "found 0"),
    ],
)
def test_a_batch_that_cannot_be_shared(
    training: list[str], batch_tokens: int, workers: int, found: str
) -> None:
    with pytest.raises(UserError, match=found):
        batch_flags(training, batch_tokens=batch_tokens, workers=workers)


def test_place_in_an_srun_step() -> None:
    assert place_of(options_of(), SRUN) == Place(
        rank=3, local_rank=1, node_rank=1, num_tasks=4, num_nodes=2
    )
    assert place_of(options_of(nodes=1), SRUN) is None  # the user knows better
    assert place_of(options_of(), {}) is None
    assert place_of(options_of(), SRUN | {"SLURM_STEP_NUM_TASKS": "1"}) is None


def test_a_job_of_several_machines_has_no_place_without_srun() -> None:
    with pytest.raises(UserError, match=r"3 machines, but labo train was .* 'srun labo train ...'"):
        place_of(options_of(), {"SLURM_JOB_NUM_NODES": "3"})


def test_first_host(tmp_path: Path) -> None:
    environ = SRUN | program(tmp_path, "scontrol", "gpu07", "gpu09")
    assert master_address(None, environ) == ("gpu07", "30123")
    with pytest.raises(UserError, match=r"expected scontrol, .* of 'gpu\[07,09\]', found none"):
        master_address(None, SRUN | {"PATH": "/nowhere"})
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho no such job >&2\nexit 1\n", "utf-8")
    with pytest.raises(UserError, match="failed: no such job; pass --master"):
        master_address(None, environ)


def test_a_port_of_the_jobs_own() -> None:
    job = {"SLURM_JOB_ID": "70123"}
    assert master_address("a", job) == ("a", str(20000 + 70123 % 20000))
    assert master_address("a:7000", job) == ("a", "7000")
    assert master_address("a", {}) == ("a", "29500")
