"""Runs: interrupted ones are taken up, failures are told, nothing runs twice at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fairseq_labo.experiments import provenance
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, read_json, write_json
from fairseq_labo.experiments.studies.method import Method, Training
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.runner import Runner
from tests.experiments.studies.conftest import CORPUS, make_study, scores_of

SCORES = scores_of()
DONE = """\
2026-01-01 00:00:00 | INFO | train_inner | {"epoch": 1, "loss": "9", "num_updates": "5"}
2026-01-01 00:00:00 | INFO | valid | {"epoch": 1, "valid_loss": "5.5", "valid_nll_loss": "5", \
"valid_num_updates": "10"}
2026-01-01 00:00:00 | INFO | train | {"epoch": 1, "train_wps": "1000"}
2026-01-01 00:00:00 | INFO | fairseq_labo | stage 2 begins: one-hot targets from epoch 2, after 10 \
updates
2026-01-01 00:00:00 | INFO | valid | {"epoch": 2, "valid_loss": "4.5", "valid_nll_loss": "4", \
"valid_num_updates": "20"}
2026-01-01 00:00:00 | INFO | train | {"epoch": 2, "train_wps": "3000"}
2026-01-01 00:00:00 | INFO | fairseq_cli.train | done training in 7.5 seconds
"""


@dataclass(frozen=True)
class ShellRun(Run):
    """A run whose commands are shell scripts."""

    train: str = ""

    def train_command(self) -> list[str]:
        return ["bash", "-c", self.train, "bash", str(self.folder)]

    def evaluate_command(self, subset: str) -> list[str]:
        scores = self.scores_folder(subset)
        made = self.root / f"made-{self.seed}.json"  # jobs run at the same time
        write_json(made, SCORES)
        return ["bash", "-c", f"mkdir -p {scores} && cp {made} {scores}/scores.json"]


def shell_run(root: Path, train: str, *, seed: int = 1) -> ShellRun:
    study = make_study()
    return ShellRun(study, "smooth", {}, seed, root, train)


RESOURCES = '{"seconds": 7, "peak_memory_mib": 77}'  # less than this process has
FINISH = (
    f"touch $1/checkpoint_best.pt; echo '{RESOURCES}' > $1/resources.json\n"
    f"cat > $1/train.log <<'END'\n{DONE}END\n"
)


def test_done_steps_are_not_done_again(tmp_path: Path) -> None:
    run = shell_run(tmp_path, FINISH + "echo trained >> $1/count")
    for _ in range(2):
        Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=["test"])
    assert (run.folder / "count").read_text(encoding="utf-8") == "trained\n"
    assert read_json(run.folder / "train.json")["peak_memory_mib"] == 77
    # Only what is missing: the scores, without another training.
    (run.scores_folder("test") / "scores.json").unlink()
    Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=["test", "test1"])
    assert run.scores("test") == run.scores("test1") == SCORES
    assert (run.folder / "count").read_text(encoding="utf-8") == "trained\n"


def test_a_training_that_outlived_its_study_keeps_its_time(tmp_path: Path) -> None:
    """labo compare was killed, its training was not, and ended; then `labo train` does nothing."""
    run = shell_run(tmp_path, FINISH)
    Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=[])
    environment = read_json(run.folder / "environment.json")
    (run.folder / "train.json").unlink()
    write_json(run.folder / "environment.json", {**environment, "processor": "another"})
    Runner(CORPUS, jobs=1, threads=1).complete([replace(run, train="true")], evaluations=[])
    assert read_json(run.folder / "train.json")["seconds"] == 7
    assert read_json(run.folder / "environment.json") == {**environment, "processor": "another"}


def test_resources_that_are_not_known_are_none(tmp_path: Path) -> None:
    """Of a training whose `labo train` was killed at its end, or which something else finished."""
    run = shell_run(tmp_path, FINISH + "rm $1/resources.json")
    Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=[])
    found = read_json(run.folder / "train.json")
    assert found["peak_memory_mib"] is None and found["seconds"] is None


def test_where_a_resumed_training_was_begun_is_kept(tmp_path: Path) -> None:
    run = shell_run(tmp_path, "touch $1/checkpoint_last.pt; exit 3")
    with pytest.raises(UserError):
        Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=[])
    path = run.folder / "environment.json"
    begun = {**read_json(path), "processor": "another"}
    write_json(path, begun)
    for _ in range(2):  # the second time the machine is the same
        with pytest.raises(UserError):
            Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=[])
        found = read_json(path)
        assert found.pop("begun") == begun and {**found, "processor": "another"} == begun


def test_a_checkpoint_to_begin_with_makes_no_resumed_training(tmp_path: Path) -> None:
    """fairseq's log is alike; `labo train` knows what was in the folder before."""
    finish = FINISH.replace('"seconds": 7', '"seconds": 7, "resumed": false')
    run = shell_run(tmp_path, finish + "echo 'Loaded checkpoint a.pt' >> $1/train.log")
    Runner(CORPUS, jobs=1, threads=1).complete([run], evaluations=[])
    assert read_json(run.folder / "train.json")["resumed"] is False


@pytest.mark.parametrize("flags", [{"gpus": "0"}, {"extra": "--cpu"}])
def test_a_training_on_the_cpu_beside_a_gpu_says_so(
    flags: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(provenance, "describe_machine", lambda *, cpu: asked.append(cpu) or {})
    run = shell_run(tmp_path, FINISH)
    study = run.study.model_copy(update={"train": Training.model_validate(flags)})
    runs = [run, replace(run, study=study, seed=2)]
    Runner(CORPUS, jobs=1, threads=1).complete(runs, evaluations=[])
    assert asked == [False, True]


def test_a_failure_is_told_and_the_others_are_completed(tmp_path: Path) -> None:
    bad = shell_run(tmp_path, "echo something broke; exit 3", seed=1)
    good = shell_run(tmp_path, FINISH, seed=2)
    with pytest.raises(UserError, match=r"(?s)smooth/seed-1: .* status 3.*something broke"):
        Runner(CORPUS, jobs=1, threads=1).complete([bad, good], evaluations=["test"])
    assert good.scores("test") == SCORES and bad.scores("test") is None
    assert not (bad.folder / "train.json").exists()


def test_jobs_run_at_the_same_time(tmp_path: Path) -> None:
    """Each of the two waits for the other to begin."""
    there = f"[[ -e {tmp_path}/seed-1 && -e {tmp_path}/seed-2 ]]"
    wait = (
        f"touch {tmp_path}/$(basename $1)\n"
        f"for i in $(seq 100); do {there} && break; sleep 0.05; done"
    )
    runs = [shell_run(tmp_path, f"set -e; {wait}; {there}\n{FINISH}", seed=seed) for seed in (1, 2)]
    Runner(CORPUS, jobs=2, threads=1).complete(runs, evaluations=["test"])


def taught_run(teacher: ShellRun, train: str) -> ShellRun:
    study = make_study()
    pre = Method.model_validate({"criterion": "tsla_cross_entropy"})
    study = study.model_copy(update={"methods": {**study.methods, "pre": pre}})
    return replace(teacher, study=study, method="pre", train=train, teacher=teacher)


def test_a_teacher_is_trained_before(tmp_path: Path) -> None:
    """Though it stands behind, and is not asked for: then it is not scored."""
    teacher = shell_run(tmp_path, "sleep 0.3\n" + FINISH)
    run = taught_run(teacher, f"set -e; [[ -e {teacher.folder}/train.log ]]\n{FINISH}")
    last = replace(run, setting={"label_smoothing": "0.5"}, teacher=run)
    other = shell_run(tmp_path, FINISH, seed=2)
    Runner(CORPUS, jobs=2, threads=1).complete([last, run, other], evaluations=["test"])
    assert last.scores("test") == run.scores("test") == SCORES
    assert (teacher.folder / "train.json").exists() and teacher.scores("test") is None
    Runner(CORPUS, jobs=2, threads=1).complete([last, teacher], evaluations=["test"])
    assert teacher.scores("test") == SCORES


def test_a_teacher_that_fails_stops_its_students(tmp_path: Path) -> None:
    teacher = shell_run(tmp_path, "echo something broke; exit 3")
    run = taught_run(teacher, FINISH)
    last = replace(run, setting={"label_smoothing": "0.5"}, teacher=run)
    other = shell_run(tmp_path, FINISH, seed=2)
    with pytest.raises(UserError, match="something broke") as raised:
        Runner(CORPUS, jobs=2, threads=1).complete(
            [last, run, other, teacher], evaluations=["test"]
        )
    for name, of_name in (("pre", "smooth"), ("pre/label_smoothing=0.5", "pre")):
        said = f"{name}/seed-1: expected its teacher {of_name}/seed-1 to be trained, found that"
        assert said in str(raised.value)
    assert other.scores("test") == SCORES
    assert not (run.folder / "run.log").exists() and not (last.folder / "run.log").exists()


def test_stop_ends_the_processes(tmp_path: Path) -> None:
    run = shell_run(tmp_path, "echo $$ > $1/pid; sleep 60 & wait")
    runner = Runner(CORPUS, jobs=2, threads=1)
    runs = [run, taught_run(run, FINISH)]  # which waits
    thread = threading.Thread(
        target=runner.complete, args=(runs,), kwargs={"evaluations": ["test"]}
    )
    thread.start()
    wait_for(run.folder / "pid")
    started = time.monotonic()
    runner.stop()
    thread.join(timeout=20)
    assert not thread.is_alive() and time.monotonic() - started < 20
    assert not any((each.folder / "train.json").exists() for each in runs)


def wait_for(path: Path, seconds: float = 60) -> str:
    """The content of a file that another process will write."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and path.read_text(encoding="utf-8").endswith("\n"):
            return path.read_text(encoding="utf-8").strip()
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


@pytest.mark.slow
def test_a_run_that_outlives_its_parent_keeps_the_lock(tmp_path: Path) -> None:
    """kill -9 of labo compare leaves its trainings: two must not write into one folder."""
    program = (
        "import sys, pathlib\n"
        "from fairseq_labo.experiments.files import locked, read_json, write_json\n"
        "from fairseq_labo.experiments.studies import run as runs\n"
        "from fairseq_labo.experiments.studies.runner import Runner\n"
        "from tests.experiments.studies.test_runner import CORPUS, shell_run\n"
        "runs.corpus_record = lambda corpus: {'dictionaries': {}}\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "with locked(root) as lock:\n"
        "    run = shell_run(root, 'echo $$ > $1/pid; sleep 60')\n"
        "    Runner(CORPUS, jobs=1, threads=1, lock=lock).complete([run], evaluations=[])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, tmp_path])
    child = int(wait_for(tmp_path / "runs" / "smooth" / "seed-1" / "pid"))
    parent.kill()
    parent.wait()
    try:
        left_behind = "found another process at work"
        with pytest.raises(UserError, match=left_behind), locked(tmp_path):
            pass
    finally:
        os.killpg(child, signal.SIGKILL)
    for _ in range(100):
        try:
            with locked(tmp_path):
                return
        except UserError:
            time.sleep(0.05)
    raise AssertionError("the lock was not released")
