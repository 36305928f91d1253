"""From a study to its report: prepare the corpus, run what is missing, gather, write."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import provenance
from fairseq_labo.experiments.commands import parser_of
from fairseq_labo.experiments.console import printable, show_command
from fairseq_labo.experiments.data.prepare import corpus_of
from fairseq_labo.experiments.data.prepared import MANIFEST, PreparedCorpus, check_no_corpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import check_tokenizer
from fairseq_labo.experiments.evaluation.published import paper_task
from fairseq_labo.experiments.files import check_plain, locked, write_json
from fairseq_labo.experiments.studies import report, search
from fairseq_labo.experiments.studies.gather import gather
from fairseq_labo.experiments.studies.records import Records
from fairseq_labo.experiments.studies.results import Results, mean_with_deviation, read_results
from fairseq_labo.experiments.studies.run import (
    Choices,
    Run,
    check_patterns,
    final_runs,
    labo,
    named,
    possible_names,
    search_runs,
)
from fairseq_labo.experiments.studies.runner import Runner, is_done, show
from fairseq_labo.experiments.studies.schema import VALIDATION_SUBSET, read_entries
from fairseq_labo.experiments.studies.significance import check_seed
from fairseq_labo.experiments.studies.study import Heading, Study

THREADS = "OMP_NUM_THREADS"
OF_SUBWORDS = ("subwords", "bpe_size", "joined_dictionary", "lowercase", "tokenizer")
OWNER = "study.json"  # which study an output folder is of


def prepare_corpus(study: Study, *, archives: Sequence[str]) -> None:
    """Run the study's preparation, if it says one and its corpus is not there yet.

    archives: flags for it, --source-dir and --archive with their values.

    Raises UserError if it fails, and for a corpus that was prepared in another way.
    """
    if not study.prepare:
        return
    if (study.corpus / MANIFEST).is_file():
        return check_preparation(study)
    folder = Path(os.path.normpath(study.corpus))
    command = labo("prepare", *study.prepare, "--destdir", folder, *archives)
    show_command(command)
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        raise UserError(
            f"preparing {folder} failed with status {status} (see above); with files that you "
            "have: --source-dir DIR or --archive FILE"
        )


def check_preparation(study: Study) -> None:
    """Raise UserError if the corpus has other subwords than the study's preparation makes."""
    words = [*study.prepare, "--destdir", str(study.corpus)]
    try:
        recipe = corpus_of(parser_of("prepare").parse_args(words)).recipe
    except UserError:  # somebody's own text, which is gone
        return
    found = PreparedCorpus.read(study.corpus).manifest.get("settings", {})
    wanted = {key: getattr(recipe, key) for key in OF_SUBWORDS}
    different = {key: found[key] for key in wanted if key in found and found[key] != wanted[key]}
    if different:
        said = f"labo prepare {shlex.join(study.prepare)}"
        raise UserError(
            f"{study.corpus}: expected what `{said}` makes, found "
            + ", ".join(f"{key} {different[key]} for {wanted[key]}" for key in different)
            + "; prepare it again with --force, or give another corpus by --data"
        )


def complete(
    study: Study,
    root: Path,
    *,
    jobs: int,
    only: Sequence[str] = (),
    report_only: bool = False,
    records: Path | None = None,
    train_again: bool = False,
) -> Results | None:
    """Run what is missing of a study on its prepared corpus; its results, if all is done.

    `jobs`: runs at a time. `only`: patterns of runs' names (``labo/*``); empty means all. Writes
    into root/runs. `report_only`: run nothing; with `only` the results of that part. `records`: a
    folder of records of finished runs, which are taken over and added to. `train_again`: runs whose
    checkpoints are needed and gone. Raises UserError if a run fails, or if the corpus is not the
    study's.
    """
    check_seed()  # now, and not when all runs are done
    if records and records.exists() and not records.is_dir():
        raise UserError(f"--records: expected a folder, found a file: {records}; choose another")
    # realpath, unlike Path.resolve, takes links in a circle.
    among = Path(os.path.realpath(root / "runs"))
    if records and Path(os.path.realpath(records)).is_relative_to(among):
        raise UserError(
            f"--records: expected a folder beside the runs, found one among them: {records}; "
            "choose another"
        )
    corpus = PreparedCorpus.read(study.corpus, study.given)
    check_corpus(study, corpus)
    claim_output(root, study.name)
    with locked(root) as lock:
        kept = Records(records, corpus) if records else None
        if kept:
            kept.share_choices(study, root)
        runner = Runner(corpus, jobs, threads_of_each(jobs), lock, kept, train_again)
        if report_only:
            choices = take_over_searches(study, root, runner)
            runner.take_over(final_runs(study, root, choices=choices))
        elif not run_study(study, root, runner, only=only):
            print(printable("\n".join(scores_so_far(study, root, corpus))))
            show("not all runs of the study are done yet: no report")
            return None
        return gather(study, root, corpus, only=only if report_only else ())


def claim_output(root: Path, study: str) -> None:
    """Make `root` that study's output folder; UserError for another study's, and for a file."""
    check_plain(root)
    check_no_corpus(root)
    if root.exists() and not root.is_dir():
        raise UserError(f"{root}: expected a folder, found a file; choose another --output")
    for path in (root / OWNER, root / "report" / "results.json"):
        found = (read_entries(path, dict[str, Any]) or {}).get("study", study)
        if found != study:
            raise UserError(
                f"{path}: expected the output of study {study}, found that of {found}; choose "
                "another --output"
            )
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / OWNER, {"study": study})


def check_corpus(study: Study, corpus: PreparedCorpus) -> None:
    """Raise UserError now for what would otherwise be found when the first training is done."""
    if study.paper:
        paper_task(study.paper, corpus=corpus.name, languages=corpus.languages)
    check_tokenizer(corpus.languages[1])
    for subset in [*study.tests, *([VALIDATION_SUBSET] if study.searched else [])]:
        corpus.raw(subset, corpus.languages[1])
    if not corpus.manifest:
        _ = corpus.subwords, corpus.tokenizer


def threads_of_each(jobs: int) -> int:
    """Threads of each of `jobs` runs: $OMP_NUM_THREADS, or less where the cores do not suffice.

    Raises UserError if the variable is no number.
    """
    cores = provenance.available_cores()
    share = max(1, cores // jobs)
    asked = os.environ.get(THREADS, str(share))
    if not asked.isdecimal() or int(asked) < 1:
        raise UserError(f"${THREADS}: expected a number of at least 1, found {asked!r}")
    if int(asked) > share:
        show(f"{THREADS} is {asked}: with {jobs} runs at a time and {cores} cores, each run gets "
             f"{share}")  # fmt: skip
    return min(int(asked), share)


def run_study(study: Study, root: Path, runner: Runner, *, only: Sequence[str]) -> bool:
    """Run what is missing; the grids' searches first. Whether the whole study is done.

    Raises UserError if a run fails, or, when the others are done, for a pattern of no run.
    """
    names = list[str]()

    def wanted(runs: Sequence[Run]) -> list[Run]:
        names.extend(run.name for run in runs)
        return named(runs, only) if only else list(runs)

    choices, begun = take_over_searches(study, root, runner), set[str]()
    # A choice lets the searches begin of those that it teaches.
    while first := [
        run for run in wanted(search_runs(study, root, choices=choices)) if run.name not in begun
    ]:
        show(f"search: {len(first)} runs, compared on {VALIDATION_SUBSET} alone")
        runner.complete(first, evaluations=[VALIDATION_SUBSET])
        begun |= {run.name for run in first}
        choices = take_over_searches(study, root, runner)
    for name in study.searched:
        if name not in choices:
            show(f"search: that of {name} is not complete; its runs at the end wait for it")
    for name, setting in choices.items():
        show(f"search: {name} is run with {setting}")
    final = final_runs(study, root, choices=choices)
    runner.complete(wanted(final), evaluations=[*study.evaluations])
    for run in final:  # also what was not wanted: its scores are shown
        run.check(runner.corpus)
    waiting = study.methods.keys() - {run.method for run in final}  # for their choice, or a teacher
    check_patterns(only, names, waiting=possible_names(study, waiting))
    return choices.keys() == study.searched.keys() and all(
        is_done(run, [*study.evaluations]) for run in final
    )


def take_over_searches(study: Study, root: Path, runner: Runner) -> Choices:
    """What is chosen by all that is recorded, also where --only does not ask for it.

    Else no search that several processes share would end. A choice lets the searches be found that
    it teaches.
    """
    before, choices = None, search.choose(study, root, runner.corpus)
    while choices != before:
        runner.take_over(search_runs(study, root, choices=choices))
        before, choices = choices, search.choose(study, root, runner.corpus)
    return choices


def scores_so_far(study: Study, root: Path, corpus: PreparedCorpus) -> list[str]:
    """A line for each setting searched, on the validation set, then for each method and test set.

    Each holds score and NLL of the seeds that are done; without any there is no line.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    choices = search.choose(study, root, corpus)
    for run in search_runs(study, root, choices=choices):
        name = run.name.rpartition("/")[0]
        groups.setdefault((name, VALIDATION_SUBSET), []).append(run)
    for run in final_runs(study, root, choices=choices):
        for test in study.tests:
            groups.setdefault((run.method, test), []).append(run)
    lines = []
    for (name, subset), runs in groups.items():
        done = {run.seed: scores for run in runs if (scores := run.scores(subset))}
        if done:
            score, nll = (
                mean_with_deviation([float(each[of]["score"]) for each in done.values()], digits)
                for of, digits in ((study.score, 2), ("nll", 3))
            )
            first = next(iter(done.values()))[study.score]
            lines.append(
                f"{name}, {subset}: {score}, NLL {nll} bits (seeds {', '.join(map(str, done))}; "
                f"{first['label']}, {first['signature']})"
            )
    return lines


def results_again(study: Heading, file: Path, root: Path) -> Results:
    """What an earlier results.json holds, to be reported again into `root`.

    Raises UserError if the file is not one, or of another study.
    """
    read = read_results(file)
    if read.study != study.name:
        raise UserError(f"{file}: expected results of study {study.name}, found {read.study}")
    claim_output(root, study.name)
    return read.model_copy(update={"paper": read.paper or study.paper})  # older files say none


def show_report(found: Results, root: Path, *, note: str = "") -> None:
    """Write the report into root/report, and print its headline."""
    results = found.model_copy(update={"note": note or found.note})
    written = report.write(results, root / "report")
    print(report.summary(results))
    print(f"written: {', '.join(map(str, written))}")
