"""Which processes train on this machine: how fairseq-train is started, by device and cluster.

====================================  ======================================================
what there is                         what is started
====================================  ======================================================
no GPU, or ``--gpus 0``               one fairseq-train on the CPU
no GPU, ``--workers N``               N of them, which find each other over gloo
one GPU                               one fairseq-train
several GPUs                          torchrun, a worker for each
several machines (``--nodes``)        torchrun on each, told its number and the first's address
srun, one task on each machine        the same, told by SLURM
srun, one task for each GPU           one fairseq-train as the worker of that task's number
====================================  ======================================================

fairseq under torchrun takes its device to be its number modulo the number of GPUs, so torchrun
is never used without one. The number of all workers is always passed on: fairseq's own guess is
the number of GPUs it sees, and with one GPU on each of several machines it would not join them.
What fairseq by itself reads of SLURM's variables does not do: it takes the numbers of the job, not
of the step, and a task's number on its machine as its GPU, though the task may see only one.
"""

import argparse
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from fairseq_labo.defaults import USER_DIR
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.flags import Flag, value_of
from fairseq_labo.experiments.training.log import MAIN_LOG

TRAIN = ["-m", "fairseq_cli.train"]
WITH_PLUGIN = ["-m", "fairseq_labo.experiments.training.with_plugin"]
DEFAULT_PORT = 29500
JOB_PORTS = range(20000, 40000)
# What srun says of a task, in the order of `Place`.
SRUN_VARIABLES = ("PROCID", "STEP_NUM_TASKS", "NODEID", "STEP_NUM_NODES", "LOCALID")


@dataclass(frozen=True)
class Launch:
    """Commands to run at the same time, and the name of the first one's log."""

    commands: list[list[str]]
    log: str = MAIN_LOG


@dataclass(frozen=True)
class Place:
    """One of several ``labo train`` of the same training: a task of srun, or a machine's only."""

    rank: int
    num_tasks: int
    node_rank: int
    num_nodes: int
    local_rank: int = 0

    @property
    def is_worker(self) -> bool:
        """Whether it is one worker, and not the torchrun of all workers of its machine."""
        return self.num_tasks != self.num_nodes


def place_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Place | None:
    """The place that the options or, without --nodes, srun give; None for the only one.

    Raises UserError in a job of several machines that was not started by srun: the others
    would be waited for in vain.
    """
    nodes, rank = options.nodes or 1, options.node_rank
    if nodes > 1:
        if rank is None or options.master is None or rank >= nodes:
            raise UserError(
                f"--nodes {nodes} needs --node-rank, the number of this machine from 0 to "
                f"{nodes - 1}, and --master HOST[:PORT], the address of number 0; found "
                f"--node-rank {rank} and --master {options.master}"
            )
        return Place(rank, nodes, rank, nodes)
    if options.nodes is None and "SLURM_STEP_NUM_TASKS" in environ:
        place = Place(*(_number_of(name, environ) for name in SRUN_VARIABLES))
        if place.num_tasks > 1:
            return place
    elif options.nodes is None and (
        "SLURM_JOB_NUM_NODES" in environ and (machines := _number_of("JOB_NUM_NODES", environ)) > 1
    ):
        raise UserError(
            f"this SLURM job has {machines} machines, but labo train was started on one of them "
            f"only: write 'srun labo train ...' in the job, or pass --nodes 1"
        )
    if rank is not None or options.master is not None:
        raise UserError("--node-rank and --master go with --nodes of 2 or more")
    return None


def _number_of(name: str, environ: Mapping[str, str]) -> int:
    found = environ.get(f"SLURM_{name}", "")
    if not found.isdecimal():
        raise UserError(
            f"$SLURM_{name}: expected a number, as srun sets it, found "
            f"{found or 'none'!r}; start by srun, or pass --nodes 1"
        )
    return int(found)


def visible_gpus(environ: Mapping[str, str]) -> int:
    """GPUs that a process started here sees: nvidia-smi's, as far as CUDA_VISIBLE_DEVICES lets."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        return 0
    done = subprocess.run([program, "-L"], capture_output=True, text=True)
    found = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if done.returncode != 0 or not found or chosen is None:
        return 0 if done.returncode else found
    known = {str(number) for number in range(found)}
    # By name (GPU-…, MIG-…) or number; as CUDA reads it, what is not there hides those behind it.
    devices = (device.strip() for device in chosen.split(","))
    return len([*takewhile(lambda each: each in known or each[:1].isalpha(), devices)])


def master_address(master: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """Host and port where the workers find each other: `master`, HOST or HOST:PORT, or SLURM's."""
    job = environ.get("SLURM_JOB_ID", "")
    # A port of the job's own, since two jobs may share a machine.
    port = JOB_PORTS[int(job) % len(JOB_PORTS)] if job.isdigit() else DEFAULT_PORT
    if master is None:
        return _first_host(environ), str(port)
    host, colon, given = master.rpartition(":")
    if not colon:
        return master, str(port)
    if not host or not given.isdigit() or ":" in host:
        raise UserError(
            f"expected --master HOST or HOST:PORT, HOST a name or an IPv4 address, found {master!r}"
        )
    return host, given


def _first_host(environ: Mapping[str, str]) -> str:
    """Name of the first machine of the srun step."""
    nodes = environ.get("SLURM_STEP_NODELIST", "")
    why = f"expected scontrol, which names the machines of {nodes!r}, found none on the PATH"
    if program := shutil.which("scontrol", path=environ.get("PATH")):
        done = subprocess.run([program, "show", "hostnames", nodes], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.split():
            return done.stdout.split()[0]
        why = f"'scontrol show hostnames {nodes}' failed: {done.stderr.strip() or 'no names'}"
    raise UserError(f"{why}; pass --master HOST[:PORT] with the first of them")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def batch_flags(training: list[str], *, batch_tokens: int, workers: int) -> list[str]:
    """Flags that share a batch of so many tokens among the workers, whatever their number.

    A worker takes at most the --max-tokens in `training` at a time, and as many times as needed
    (--update-freq).

    Raises UserError if the batch cannot be divided evenly, or if --max-tokens or --update-freq
    contradict it.
    """
    given = value_of("--max-tokens", training)
    if given is None or value_of("--update-freq", training) is not None:
        raise UserError(
            "--batch-tokens needs --max-tokens, and sets --update-freq itself: expected the one "
            "and not the other, found " + ("both" if given else "no --max-tokens")
        )
    limit = Flag(int, at_least=1).read("max_tokens", given)
    share, rest = divmod(batch_tokens, workers)
    frequency = -(-share // limit)
    if batch_tokens < 1 or rest or not share or share % frequency:
        raise UserError(
            f"expected --batch-tokens that {workers} workers can share evenly, in parts of at "
            f"most --max-tokens {limit}, found {batch_tokens}: choose another of the three"
        )
    return ["--max-tokens", str(share // frequency), "--update-freq", str(frequency)]


def usual_batch(training: list[str], *, batch_tokens: int, workers: int) -> int:
    """The next smaller batch that so many workers share in parts of at most --max-tokens."""
    limit = Flag(int, at_least=1).read("max_tokens", value_of("--max-tokens", training) or "")
    share = batch_tokens // workers
    while share and share % -(-share // limit):
        share -= 1
    return share * workers


def plan(
    options: argparse.Namespace,
    training: list[str],
    *,
    environ: Mapping[str, str],
    usual_tokens: int | None = None,
) -> Launch:
    """The processes to start for fairseq-train with the arguments `training`.

    `options` are those of ``labo train``; `usual_tokens`: of a batch, where they say none. Raises
    UserError if they contradict each other or the machine.
    """
    place = place_of(options, environ)
    found = visible_gpus(environ)
    gpus = found if options.gpus is None else options.gpus
    if gpus > max(found, 1):  # CUDA may find one that nvidia-smi does not
        raise UserError(
            f"--gpus: expected at most {found}, which is what nvidia-smi and CUDA_VISIBLE_DEVICES "
            f"show, found {gpus}; without the flag all of them are used, with --gpus 0 the CPU"
        )
    if options.workers > 1 and (gpus or place):
        raise UserError("--workers is for the CPU of one machine: pass --gpus 0 with it")
    if place and not gpus:
        raise UserError(
            "expected a GPU on each of several machines, found none here: fairseq cannot run "
            "under torchrun without one"
        )
    workers = max(1, gpus, options.workers)
    if place:
        workers = place.num_tasks * (1 if place.is_worker else gpus)
    tokens = options.batch_tokens
    if tokens is None and usual_tokens is not None:
        tokens = usual_batch(training, batch_tokens=usual_tokens, workers=workers)
    if tokens is not None:
        training = [*training, *batch_flags(training, batch_tokens=tokens, workers=workers)]
    if place:
        host, port = master_address(options.master, environ)
        kind, rank = ("task", place.rank) if place.is_worker else ("node", place.node_rank)
        if place.is_worker:
            # A task may see all GPUs of its machine, or only its own.
            device = ["--device-id", str(place.local_rank % gpus)]
            command = [*_worker(training, rank, workers, f"{host}:{port}"), *device]
        else:
            nodes = ["--nnodes", str(place.num_nodes), "--node-rank", str(rank)]
            address = ["--master-addr", host, "--master-port", port]
            command = _torchrun(training, gpus, workers, *nodes, *address)
        return Launch([command], f"train.{kind}-{rank}.log" if rank else MAIN_LOG)
    if options.gpus == 0 and workers == 1:  # also where CUDA finds one that nvidia-smi does not
        training = [*training, "--cpu", "--distributed-world-size", "1"]
        return Launch([[sys.executable, *fairseq_train(training), *training]])
    return _on_one_machine(training, found=found, gpus=gpus, workers=workers)


def fairseq_train(training: list[str]) -> list[str]:
    """The module of fairseq-train; where another --user-dir takes the place of ours, with both."""
    return TRAIN if value_of("--user-dir", training) in (None, str(USER_DIR)) else WITH_PLUGIN


def _on_one_machine(training: list[str], *, found: int, gpus: int, workers: int) -> Launch:
    """The processes where there is no other machine; `gpus` to use of those `found`."""
    if gpus > 1:
        return Launch([_torchrun(training, gpus, workers, "--standalone")])
    if workers > 1:
        cpu = ["--cpu"]
        for flag, value in (("--distributed-backend", "gloo"), ("--ddp-backend", "legacy_ddp")):
            cpu += [] if value_of(flag, training) else [flag, value]
        own = f"127.0.0.1:{free_port()}"
        ranks = range(workers)
        return Launch([_worker([*training, *cpu], rank, workers, own) for rank in ranks])
    # By itself fairseq takes every GPU that it sees.
    alone = ["--distributed-world-size", "1"] if found > 1 else []
    return Launch([[sys.executable, *fairseq_train(training), *training, *alone]])


def _worker(training: list[str], rank: int, workers: int, address: str) -> list[str]:
    """The command of a worker that is started by itself."""
    command = [sys.executable, *fairseq_train(training), *training, "--distributed-no-spawn"]
    command += ["--distributed-world-size", str(workers), "--distributed-rank", str(rank)]
    return [*command, "--distributed-init-method", f"tcp://{address}"]


def _torchrun(training: list[str], gpus: int, workers: int, *flags: str) -> list[str]:
    """The command of torchrun (by its module, so that it is the same Python's)."""
    agent = [sys.executable, "-m", "torch.distributed.run", *flags, "--nproc-per-node", str(gpus)]
    return [*agent, *fairseq_train(training), *training, "--distributed-world-size", str(workers)]
