"""Run a study and report it: what scripts/compare.sh runs."""

import fnmatch
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from labo_data.text import DataError

from fairseq_labo.evaluation import report, search
from fairseq_labo.evaluation.cli import Parser
from fairseq_labo.evaluation.plan import Run, final_runs, search_runs
from fairseq_labo.evaluation.results import gather
from fairseq_labo.evaluation.runner import Runner, is_done, locked, show
from fairseq_labo.evaluation.scoring import Corpus
from fairseq_labo.evaluation.study import VALIDATION_SUBSET, Study
from fairseq_labo.evaluation.study_file import read_study


def run_study(study: Study, root: Path, runner: Runner, *, only: Sequence[str]) -> bool:
    """Run what is missing; the grids' searches first. Whether the whole study is done.

    `only`: patterns of runs' names (``labo/*``); empty means all.
    """

    def wanted(runs: Sequence[Run]) -> list[Run]:
        return [
            run
            for run in runs
            if not only or any(fnmatch.fnmatch(run.name, pattern) for pattern in only)
        ]

    searched = search_runs(study, root)
    for test in study.tests:
        runner.corpus.release_name(test)
    first = wanted(searched)
    if first:
        show(f"search: {len(first)} runs, compared on {VALIDATION_SUBSET} alone")
        runner.complete(first, subsets=[VALIDATION_SUBSET])
    choices = search.choose(study, root)
    for name, setting in choices.items():
        show(f"search: {name} is run with {setting}")
    final = final_runs(study, root, choices=choices)
    runner.complete(wanted(final), subsets=study.tests)
    complete = all(not method.grid or method.name in choices for method in study.methods)
    return complete and all(is_done(run, study.tests) for run in final)


def make_parser() -> Parser:
    """The flags of scripts/compare.sh."""
    parser = Parser("scripts/compare.sh")
    parser.add_argument("study", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--report-only", action="store_true")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run a study as the flags say, then write its report."""
    options = make_parser().parse_args(list(arguments))
    if options.jobs < 1:
        raise DataError(f"--jobs: expected a number of at least 1, found {options.jobs}")
    study = read_study(options.study, corpus=options.data)
    corpus = Corpus.read(study.corpus)
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    threads = int(os.environ.get("OMP_NUM_THREADS", threads))
    with locked(options.output) as lock:
        runner = Runner(corpus, options.jobs, threads, lock)
        _stop_when_terminated(runner)
        if not options.report_only and not run_study(
            study, options.output, runner, only=options.only
        ):
            show("not all runs of the study are done yet: no report")
            return
        results = gather(study, options.output, corpus)
        written = report.write(results, options.output / "report")
    print(report.summary(results))
    print(f"written: {', '.join(map(str, written))}")


def _stop_when_terminated(runner: Runner) -> None:
    def terminate(number: int, frame: FrameType | None) -> None:
        runner.stop()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
