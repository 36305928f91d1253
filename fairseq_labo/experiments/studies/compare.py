"""Run a study and report it: what scripts/compare.sh runs."""

import fnmatch
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fairseq_labo.experiments.command import Parser
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import paper_task
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.files import locked
from fairseq_labo.experiments.studies import report, search
from fairseq_labo.experiments.studies.results import gather, mean_with_deviation
from fairseq_labo.experiments.studies.run import Run, final_runs, search_runs
from fairseq_labo.experiments.studies.runner import Runner, is_done, show
from fairseq_labo.experiments.studies.study import VALIDATION_SUBSET, Study
from fairseq_labo.experiments.studies.study_file import REPOSITORY, read_study


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


def scores_so_far(study: Study, root: Path) -> list[str]:
    """A line for each setting searched, on the validation set, then for each method and test set.

    Each holds score and NLL of the seeds that are done; without any there is no line.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in search_runs(study, root):
        name = run.name.rpartition("/")[0]
        groups.setdefault((name, VALIDATION_SUBSET), []).append(run)
    for run in final_runs(study, root, choices=search.choose(study, root)):
        for test in study.tests:
            groups.setdefault((run.method.name, test), []).append(run)
    lines = (_scores_of(name, subset, runs) for (name, subset), runs in groups.items())
    return [line for line in lines if line]


def _scores_of(name: str, subset: str, runs: Sequence[Run]) -> str:
    done = {run.seed: found for run in runs if (found := run.scores(subset))}
    if not done:
        return ""
    key = runs[0].study.score
    first = next(iter(done.values()))[key]
    score, nll = (
        mean_with_deviation([float(each[of]["score"]) for each in done.values()], digits)
        for of, digits in ((key, 2), ("nll", 3))
    )
    return (
        f"{name}, {subset}: {score}, NLL {nll} bits (seeds {', '.join(map(str, done))}; "
        f"{first['label']}, {first['signature']})"
    )


def prepare_corpus(study: Study, *, archives: Sequence[str]) -> None:
    """Run the study's preparation if its corpus is not there yet.

    archives: flags for it, --source-dir and --archive with their values.

    Raises UserError if there is nothing to run, or if it fails.
    """
    if (study.corpus / "manifest.json").is_file():
        return
    if not study.prepare:
        raise UserError(
            f"expected a prepared corpus in {study.corpus}, found none, and the study does not "
            "say how it is prepared (prepare:): run a data-prep/ script"
        )
    folder = Path(os.path.normpath(study.corpus))
    command = [*study.prepare, "--destdir", str(folder), *archives]
    # The script uses the virtual environment that this process runs in.
    environment = {"VENV": sys.prefix, **os.environ}
    script = REPOSITORY / command[0]
    status = subprocess.run([script, *command[1:]], env=environment, stdout=sys.stderr).returncode
    if status != 0:
        raise UserError(
            f"preparing {folder} failed with status {status} (see above); with files that you "
            "have: --source-dir DIR or --archive FILE"
        )


def make_parser() -> Parser:
    """The flags of scripts/compare.sh."""
    parser = Parser("scripts/compare.sh")
    parser.add_argument("study", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--source-dir", type=Path)
    parser.add_argument("--archive", type=Path, action="append", default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--note", default="")
    parser.add_argument("--report-only", action="store_true")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run a study as the flags say, then write its report."""
    options = make_parser().parse_args(list(arguments))
    if options.jobs < 1:
        raise UserError(f"--jobs: expected a number of at least 1, found {options.jobs}")
    study = read_study(options.study, corpus=options.data)
    archives = [f"--archive={path.absolute()}" for path in options.archive]
    if options.source_dir:
        archives.append(f"--source-dir={options.source_dir.absolute()}")
    if not options.data:
        prepare_corpus(study, archives=archives)
    corpus = Corpus.read(study.corpus)
    if study.paper:
        source, target = corpus.languages
        paper_task(study.paper, corpus=corpus.name, source_lang=source, target_lang=target)
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    threads = int(os.environ.get("OMP_NUM_THREADS", threads))
    with locked(options.output) as lock:
        runner = Runner(corpus, options.jobs, threads, lock)
        with _stopped_when_terminated(runner):
            done = options.report_only or run_study(
                study, options.output, runner, only=options.only
            )
        if not done:
            print("\n".join(scores_so_far(study, options.output)))
            show("not all runs of the study are done yet: no report")
            return
        results = gather(study, options.output, corpus)
        written = report.write(results, options.output / "report", note=options.note)
    print(report.summary(results))
    print(f"written: {', '.join(map(str, written))}")


@contextmanager
def _stopped_when_terminated(runner: Runner) -> Iterator[None]:
    """SIGTERM ends the runs under way too, not only this process."""

    def terminate(number: int, frame: FrameType | None) -> None:
        runner.stop()
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
