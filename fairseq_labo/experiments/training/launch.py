"""Start fairseq-train: look at what was trained before, choose the processes, run them.

Usage: python launch.py --save-dir DIR [--gpus N] [--nodes N --node-rank R --master HOST[:PORT]]
           [--workers N] [--batch-tokens N] [--dry-run] -- DATA fairseq-train options

scripts/train.sh calls this; `launch_plan` says what is started where. The commands are shown on
standard error, progress on standard output, and the whole output of the first process goes to
DIR/train.log, that of others to logs beside it. With --dry-run the commands are printed on
standard output, and nothing is run.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import progress as show_progress
from fairseq_labo.experiments.training.launch_plan import Launch, Request, plan

ENDING_SECONDS = 20  # for a process to end before it is killed


def say(message: str) -> None:
    """To standard error, after what was printed so far."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)


def is_finished(training: list[str], *, save_dir: Path) -> bool:
    """Whether nothing is left to train; says so, or what a resume does."""
    if not (save_dir / "checkpoint_last.pt").exists() and "--restore-file" not in training:
        return False
    script = Path(__file__).with_name("run_state.py")
    log = save_dir / "train.log"
    done = subprocess.run(
        [sys.executable, script, "--log", log, "--", *training], capture_output=True, text=True
    )
    if done.returncode != 0:
        # Arguments or a checkpoint that fairseq-train will refuse, too, with its own words.
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        say(f"could not read how far this run is: {said[-1]}")
        return False
    state = json.loads(done.stdout.splitlines()[-1])
    if state["finished"]:
        say(
            f"finished: {state['finished']} ({state['checkpoint']}). Nothing is trained. To train "
            f"on, raise the limit; to train afresh, take another --save-dir"
        )
        return True
    if state["rebuilds_batches"]:
        say(
            f"warning: resuming in epoch {state['epoch']}: fairseq, with any criterion, forms "
            f"other batches than without the interruption, so the result will differ a little. "
            f"With '-- --update-epoch-batch-itr True' from the start it forms them anew in every "
            f"epoch, and a restart changes nothing"
        )
    return False


def run(launch: Launch, *, save_dir: Path) -> int:
    """Run the commands at the same time; the exit status, that of the first that failed."""
    save_dir.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[str]] = []
    failed: list[int] = []
    ending = threading.Event()

    def watch(process: subprocess.Popen[str], log: Path) -> None:
        """When a worker fails, end the first, which would wait for it."""
        if (status := process.wait()) != 0 and not ending.is_set():
            failed.append(status)
            say(f"error: a worker failed with status {status}; its output: {log}")
            processes[0].terminate()

    try:
        processes.append(_start(launch.commands[0], subprocess.PIPE))
        for rank, command in enumerate(launch.commands[1:], start=1):
            log = save_dir / f"train.worker-{rank}.log"
            with log.open("a", encoding="utf-8") as output:
                processes.append(_start(command, output))
            threading.Thread(target=watch, args=(processes[-1], log), daemon=True).start()
        show_progress.follow(processes[0].stdout or [], save_dir / launch.log)
        if (status := processes[0].wait()) != 0:
            failed.append(status)
        else:  # the others end with it
            failed += [status for process in processes[1:] if (status := process.wait()) != 0]
    finally:
        ending.set()
        _end(processes)
    if not failed:
        return 0
    return failed[0] if failed[0] > 0 else 128 - failed[0]


def _start(command: list[str], output: Any) -> subprocess.Popen[str]:
    say("+ " + shlex.join(command))
    return subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )


def _end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _interrupted(number: int, _: Any) -> NoReturn:
    raise SystemExit(128 + number)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Options; those after -- are fairseq-train's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save-dir", type=Path, required=True)
    for name in ("--gpus", "--nodes", "--node-rank", "--batch-tokens"):
        parser.add_argument(name, type=int)
    parser.add_argument("--master")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("training", nargs="+", help="arguments of fairseq-train, after --")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    options = parse_arguments(arguments)
    request = Request(
        gpus=options.gpus,
        nodes=options.nodes,
        node_rank=options.node_rank,
        master=options.master,
        workers=options.workers,
        batch_tokens=options.batch_tokens,
    )
    try:
        launch = plan(request, options.training, python=sys.executable, environ=os.environ)
    except UserError as error:
        say(f"error: {error}")
        return 1
    if options.dry_run:
        print("\n".join(shlex.join(command) for command in launch.commands))
        return 0
    if is_finished(options.training, save_dir=options.save_dir):
        return 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupted)
    return run(launch, save_dir=options.save_dir)


if __name__ == "__main__":
    sys.exit(main())
