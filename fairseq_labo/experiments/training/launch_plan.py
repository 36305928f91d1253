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
"""

import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.flags import value_of, whole
from fairseq_labo.experiments.training.slurm import Task, first_host, job_port, srun_task

DEFAULT_PORT = 29500


@dataclass(frozen=True)
class Request:
    """What the user asked for; None is: find out."""

    gpus: int | None = None
    nodes: int | None = None
    node_rank: int | None = None
    master: str | None = None  # HOST or HOST:PORT of the first machine
    workers: int = 1  # on the CPU
    batch_tokens: int | None = None  # of all workers together


@dataclass(frozen=True)
class Launch:
    """Commands to run at the same time, and the name of the first one's log."""

    commands: list[list[str]]
    log: str = "train.log"


def visible_gpus(environ: Mapping[str, str]) -> int:
    """GPUs that a process started here sees: nvidia-smi's, as far as CUDA_VISIBLE_DEVICES lets."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        return 0
    done = subprocess.run([program, "-L"], capture_output=True, text=True)
    found = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if done.returncode != 0 or not found:
        return 0
    if chosen is None:
        return found
    return sum(device.strip() not in ("", "-1") for device in chosen.split(","))


def master_address(request: Request, environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port where the workers find each other."""
    port = job_port(environ) or DEFAULT_PORT
    if request.master is None:
        return first_host(environ), port
    host, colon, given = request.master.rpartition(":")
    if not colon:
        return request.master, port
    if not host or not given.isdigit():
        raise UserError(f"expected --master HOST or HOST:PORT, found {request.master!r}")
    return host, int(given)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def worker_flags(*, rank: int, world_size: int, address: str) -> list[str]:
    """fairseq's flags for a worker that is started by itself."""
    flags = ["--distributed-no-spawn", "--distributed-world-size", str(world_size)]
    flags += ["--distributed-rank", str(rank)]
    return [*flags, "--distributed-init-method", f"tcp://{address}"]


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
    limit = whole("", 1).read("max_tokens", given)
    share, rest = divmod(batch_tokens, workers)
    frequency = -(-share // limit)
    if batch_tokens < 1 or rest or not share or share % frequency:
        raise UserError(
            f"expected --batch-tokens that {workers} workers can share evenly, in parts of at "
            f"most --max-tokens {limit}, found {batch_tokens}: choose another of the three"
        )
    return ["--max-tokens", str(share // frequency), "--update-freq", str(frequency)]


def plan(
    request: Request,
    training: list[str],
    *,
    python: str,
    environ: Mapping[str, str],
    count_gpus: Callable[[Mapping[str, str]], int] = visible_gpus,
) -> Launch:
    """The processes to start for fairseq-train with the arguments `training`.

    Raises UserError if the request contradicts itself or the machine.
    """
    task = srun_task(environ, nodes=request.nodes)
    found = count_gpus(environ)
    gpus = found if request.gpus is None else request.gpus
    if request.batch_tokens is not None:
        world_size = max(1, (request.nodes or 1) * gpus, request.workers)
        if task is not None:
            is_worker = task.num_tasks != task.num_nodes
            world_size = task.num_tasks * (1 if is_worker else max(1, gpus))
        share = batch_flags(training, batch_tokens=request.batch_tokens, workers=world_size)
        training = [*training, *share]
    train = [python, "-m", "fairseq_cli.train", *training]
    if request.workers > 1 and (gpus > 0 or task or (request.nodes or 1) > 1):
        raise UserError("--workers is for the CPU of one machine: pass --gpus 0 with it")
    if task is not None:
        return _of_srun(request, task, train, environ, gpus=gpus)
    if (request.nodes or 1) > 1:
        return _of_node(request, train, environ, gpus=gpus)
    if request.node_rank is not None or request.master is not None:
        raise UserError("--node-rank and --master go with --nodes of 2 or more")
    if gpus > 1:
        return Launch([torchrun(train, gpus, "--standalone", world_size=gpus)])
    if request.workers > 1:
        return _on_cpu(train, request.workers)
    # By itself fairseq takes every GPU that it sees.
    device = ["--cpu"] if found and not gpus else []
    alone = [*device, "--distributed-world-size", "1"] if found > 1 or device else []
    return Launch([[*train, *alone]])


def torchrun(train: list[str], gpus: int, *flags: str, world_size: int) -> list[str]:
    """The command of torchrun (by its module, so that it is the same Python's)."""
    python, *module_and_arguments = train
    agent = [python, "-m", "torch.distributed.run", *flags, "--nproc-per-node", str(gpus)]
    return [*agent, *module_and_arguments, "--distributed-world-size", str(world_size)]


def _of_node(
    request: Request, train: list[str], environ: Mapping[str, str], *, gpus: int
) -> Launch:
    nodes, rank = request.nodes or 1, request.node_rank
    if rank is None or request.master is None or not 0 <= rank < nodes:
        raise UserError(
            f"--nodes {nodes} needs --node-rank, the number of this machine from 0 to "
            f"{nodes - 1}, and --master HOST[:PORT], the address of number 0; found "
            f"--node-rank {rank} and --master {request.master}"
        )
    return _join(train, master_address(request, environ), gpus=gpus, nodes=nodes, rank=rank)


def _join(train: list[str], master: tuple[str, int], *, gpus: int, nodes: int, rank: int) -> Launch:
    _need_gpus(gpus)
    flags = ["--nnodes", str(nodes), "--node-rank", str(rank)]
    flags += ["--master-addr", master[0], "--master-port", str(master[1])]
    log = "train.log" if rank == 0 else f"train.node-{rank}.log"
    return Launch([torchrun(train, gpus, *flags, world_size=nodes * gpus)], log)


def _of_srun(
    request: Request, task: Task, train: list[str], environ: Mapping[str, str], *, gpus: int
) -> Launch:
    _need_gpus(gpus)
    master = master_address(request, environ)
    if task.num_tasks == task.num_nodes:
        return _join(train, master, gpus=gpus, nodes=task.num_nodes, rank=task.node_rank)
    flags = worker_flags(
        rank=task.rank, world_size=task.num_tasks, address=f"{master[0]}:{master[1]}"
    )
    # A task may see all GPUs of its machine, or only its own.
    device = ["--device-id", str(task.local_rank % gpus)]
    log = "train.log" if task.rank == 0 else f"train.task-{task.rank}.log"
    return Launch([[*train, *flags, *device]], log)


def _on_cpu(train: list[str], workers: int) -> Launch:
    address = f"127.0.0.1:{free_port()}"
    cpu = ["--cpu", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    return Launch(
        [
            [*train, *cpu, *worker_flags(rank=rank, world_size=workers, address=address)]
            for rank in range(workers)
        ]
    )


def _need_gpus(gpus: int) -> None:
    if gpus == 0:
        raise UserError(
            "expected a GPU on each of several machines, found none here: fairseq cannot run "
            "under torchrun without one"
        )
