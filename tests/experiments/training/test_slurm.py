"""A process's place in a SLURM job."""

from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.slurm import Task, first_host, job_port, srun_task
from tests.experiments.training.test_launch_plan import SRUN, program


def test_place_in_an_srun_step() -> None:
    assert srun_task(SRUN, nodes=None) == Task(
        rank=3, local_rank=1, node_rank=1, num_tasks=4, num_nodes=2
    )
    assert srun_task(SRUN, nodes=1) is None  # the user knows better
    assert srun_task({}, nodes=None) is None
    assert srun_task(SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, nodes=None) is None


def test_a_job_of_several_machines_needs_srun() -> None:
    with pytest.raises(UserError, match=r"3 machines, but labo train was .* 'srun labo train ...'"):
        srun_task({"SLURM_JOB_NUM_NODES": "3"}, nodes=None)


def test_first_host(tmp_path: Path) -> None:
    environ = SRUN | program(tmp_path, "scontrol", "gpu07", "gpu09")
    assert first_host(environ) == "gpu07"
    with pytest.raises(UserError, match=r"expected scontrol, .* of 'gpu\[07,09\]', found none"):
        first_host(SRUN | {"PATH": "/nowhere"})
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho no such job >&2\nexit 1\n", "utf-8")
    with pytest.raises(UserError, match="failed: no such job; pass --master"):
        first_host(environ)


def test_a_port_of_the_jobs_own() -> None:
    assert job_port({"SLURM_JOB_ID": "70123"}) == 20000 + 70123 % 20000
    assert job_port({}) is None
