"""Trainings that are given what is none, or go on for long.

Longer: ``-k memory --soak 2000 -s`` makes so many updates and prints the figures.
"""

import contextlib
import json
import os
import pickle
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
import torch

from fairseq_labo.criterions.teacher import TeacherError
from fairseq_labo.experiments.cli import main
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_lines
from fairseq_labo.experiments.provenance import describe_machine
from fairseq_labo.experiments.training.mending import LAST_CHECKPOINT
from fairseq_labo.experiments.training.progress import state_of
from tests.conftest import REPOSITORY, TRAINING, preprocessing_in_process, reports
from tests.faults.trainings import (
    LABO,
    command,
    ended,
    in_process,
    labo,
    processes_of,
    wait_until,
)
from tests.training.runs import TSLA, fairseq_train


@pytest.mark.slow
def test_a_validation_line_that_is_too_long(tmp_path: Path) -> None:
    """fairseq ends with an Exception; it is shown, with what to do, and with that it works."""
    for split, lines in (("train", 20), ("valid", 3), ("test", 3)):
        for language in ("de", "en"):
            longest = ["house"] * (1200 if split == "valid" else 2)
            text = [*["the house"] * lines, " ".join(longest)]
            write_lines(tmp_path / f"{split}.{language}", text)
    words = ["prepare", "own", "--pair", "de-en", "--bpe-size", "9", "--destdir", "data"]
    words += [word for split in ("train", "valid", "test") for word in (f"--{split}", split)]
    with pytest.MonkeyPatch.context() as patch, preprocessing_in_process():
        patch.chdir(tmp_path)
        assert main(words) == 0
    train = command(tmp_path / "data", tmp_path / "run", updates=1)
    status, said = ended(train)
    assert status == 1 and "Exception: Size of sample #3 is invalid" in said
    assert "Take it in: -- --max-source-positions N --max-target-positions N" in said
    assert f"the whole log: {tmp_path / 'run' / 'train.log'}" in said
    more = ["--max-source-positions", "1300", "--max-target-positions", "1300"]
    more += ["--max-tokens-valid", "1300"]
    assert "done training" in in_process([*train, *more], tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The resident set of a training with the settings of --size small, on the embedded corpus."""
    updates = request.config.getoption("--soak")
    if not updates:
        pytest.skip("takes minutes: only with --soak")
    data, save_dir = tmp_path / "microworld", tmp_path / "run"
    assert main(["prepare", "microworld", "--destdir", str(data)]) == 0
    words = [*LABO, "train", "--gpus", "0"]
    words += ["--data", str(data), "--save-dir", str(save_dir), "--epochs", "1000", "--"]
    words += ["--max-update", str(updates), "--save-interval-updates", "200", "--log-interval", "1"]
    process = labo([*words, "--keep-interval-updates", "2"])
    Thread(target=process.communicate).start()  # or it would wait for room in the pipe
    samples = []  # updates done, resident set in MiB
    while process.poll() is None:
        time.sleep(1)
        for pid in [pid for pid, said in processes_of(save_dir).items() if "fairseq_cli" in said]:
            with contextlib.suppress(OSError, IndexError):
                status = Path(f"/proc/{pid}/status").read_text()
                resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
                log = (save_dir / "train.log").read_text(encoding="utf-8")
                samples.append((len(reports(log, "train_inner")), round(resident, 1)))
    assert process.returncode == 0
    quarters = [
        statistics.median(
            resident for done, resident in samples if 0 < 4 * done - n * updates <= updates
        )
        for n in range(4)
    ]
    results = {"date": time.strftime("%Y-%m-%d"), **describe_machine(cpu=True), "updates": updates}
    results |= {"median_resident_mib_of_quarters": quarters, "updates_and_resident_mib": samples}
    print(json.dumps(results))
    assert quarters[3] < 1.03 * quarters[1]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_that_would_run_something(
    zipped: bool, toy_corpus: Path, tmp_path: Path
) -> None:
    """As a teacher, to go on from, and as the last one of a folder: nothing of it runs."""
    bomb, path, ran = tmp_path / "bomb.pt", tmp_path / LAST_CHECKPOINT, tmp_path / "ran"
    content = {"model": {}, "args": Bomb(ran)}
    torch.save(content, bomb) if zipped else bomb.write_bytes(pickle.dumps(content))
    shutil.copyfile(bomb, path)
    arguments = [*TRAINING, "--save-dir", str(tmp_path)]
    with pytest.raises(UserError, match=r"bomb\.pt: expected a checkpoint of fairseq, found "):
        state_of(["data", *arguments, "--restore-file", str(bomb)], tmp_path, "train.log", True)
    finished, said = state_of(["data", *arguments], tmp_path, "train.log", True)
    assert not finished and "what was found is now checkpoint_last.pt.damaged-1" in said[0]
    with pytest.raises(TeacherError, match="--teacher-path: expected a checkpoint"):
        flags = [*TRAINING, *TSLA, "--smoothing-epochs", 1, "--teacher-path", bomb]
        fairseq_train(toy_corpus / "bin", tmp_path / "student", *flags, "--max-update", 1)
    assert not ran.exists()
    pickle.loads(pickle.dumps(content))  # it is one that would
    assert ran.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_interrupted_benchmark_leaves_nobody(toy_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "fairseq_cli").mkdir()
    (tmp_path / "fairseq_cli" / "__init__.py").touch()
    text = f"import pathlib, time; pathlib.Path({str(tmp_path / 'runs')!r}).touch(); time.sleep(60)"
    (tmp_path / "fairseq_cli" / "train.py").write_text(text)
    output = tmp_path / "output.json"
    process = subprocess.Popen(
        [*LABO, "benchmark", "--data", toy_corpus, "--output", output],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        stderr=subprocess.DEVNULL,
    )
    assert wait_until((tmp_path / "runs").exists)
    assert processes_of(toy_corpus / "bin")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM and not output.exists()
    assert wait_until(lambda: not processes_of(toy_corpus / "bin"), 20)
