"""A process's place in a SLURM job, from the variables that srun sets."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from fairseq_labo.experiments.errors import UserError

JOB_PORTS = range(20000, 40000)


@dataclass(frozen=True)
class Task:
    """This process's place in an srun step of several tasks."""

    rank: int
    local_rank: int
    node_rank: int
    num_tasks: int
    num_nodes: int


def srun_task(environ: Mapping[str, str], *, nodes: int | None) -> Task | None:
    """The place in an srun step, or None outside one of several tasks.

    Raises UserError in a job of several machines that was not started by srun: the others
    would be waited for in vain. An explicit number of `nodes` overrides SLURM's.
    """
    if nodes is not None:
        return None
    if "SLURM_STEP_NUM_TASKS" not in environ:
        job_nodes = int(environ.get("SLURM_JOB_NUM_NODES", "1"))
        if job_nodes > 1:
            raise UserError(
                f"this SLURM job has {job_nodes} machines, but labo train was started on one of "
                f"them only: write 'srun labo train ...' in the job, or pass --nodes 1"
            )
        return None
    task = Task(
        rank=int(environ["SLURM_PROCID"]),
        local_rank=int(environ["SLURM_LOCALID"]),
        node_rank=int(environ["SLURM_NODEID"]),
        num_tasks=int(environ["SLURM_STEP_NUM_TASKS"]),
        num_nodes=int(environ["SLURM_STEP_NUM_NODES"]),
    )
    return task if task.num_tasks > 1 else None


def first_host(environ: Mapping[str, str]) -> str:
    """Name of the first machine of the srun step."""
    nodes = environ.get("SLURM_STEP_NODELIST", "")
    program = shutil.which("scontrol", path=environ.get("PATH"))
    if program is None:
        raise UserError(
            f"expected scontrol, which names the machines of {nodes!r}, found none on the PATH: "
            f"pass --master HOST[:PORT] with the first of them"
        )
    done = subprocess.run([program, "show", "hostnames", nodes], capture_output=True, text=True)
    if done.returncode != 0 or not done.stdout.split():
        raise UserError(
            f"'scontrol show hostnames {nodes}' failed: {done.stderr.strip() or 'no names'}; "
            f"pass --master HOST[:PORT] with the first of them"
        )
    return done.stdout.split()[0]


def job_port(environ: Mapping[str, str]) -> int | None:
    """A port of the job's own, since two jobs may share a machine; None outside a job."""
    job = environ.get("SLURM_JOB_ID", "")
    return JOB_PORTS[int(job) % len(JOB_PORTS)] if job.isdigit() else None
