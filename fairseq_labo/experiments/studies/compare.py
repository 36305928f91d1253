"""The command ``labo compare``: run a study (methods x seeds on one corpus) and report it."""

import argparse
from pathlib import Path

from fairseq_labo.experiments.data.prepared import add_corpus_options, given_by
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training.flags import JOBS

DESCRIPTION = """
Train and evaluate what is missing of a study, then write its report: Markdown, HTML in a single
file, all numbers as JSON, figures as PNG and SVG. Where the corpus is not there yet, it is prepared
first, if the study says how. Stopped or killed at any point it goes on where it was when started
again. The form of a study file is described in fairseq_labo/experiments/studies/study.py; studies/
and recipes/ hold some.
"""

OF_CORPUS = ("data", "source_dir", "archive", "subwords", "tokenizer", "references")
# Beside a flag those that would have no effect.
IDLE = {
    "report_only": ("train_again",),
    "from_results": (*OF_CORPUS, "only", "records", "train_again"),
    "data": ("source_dir", "archive"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    add = parser.add_argument
    add("study", metavar="STUDY", help="a study's YAML file, or a study that is embedded: "
        "microworld")  # fmt: skip
    add("--output", type=Path, required=True, metavar="DIR", help="runs/ (one folder a run: "
        "config, logs, environment, checkpoints, scores) and report/ (report.md, report.html, "
        "results.json, figures/)")  # fmt: skip
    add("--data", type=Path, metavar="DIR", help="the prepared corpus, instead of the folder that "
        "the study names")  # fmt: skip
    add("--source-dir", type=Path, metavar="DIR", help="for the preparation: the folder of the "
        "release's files (else they are downloaded)")  # fmt: skip
    add("--archive", type=Path, action="append", default=[], metavar="FILE", help="for the "
        "preparation: a file of the release; may be repeated")  # fmt: skip
    add("--jobs", type=JOBS, default=1, metavar="N", help="runs at a time (default: 1), each with "
        "its share of the CPU's cores ($OMP_NUM_THREADS, if set and not more than that, is each "
        "run's number of threads)")  # fmt: skip
    add("--only", action="append", default=[], metavar="PATTERN", help="only runs of such names "
        "(labo/*, */seed-1); may be repeated. Their scores are printed; the report comes when all "
        "runs are done, and before of a part, with --report-only")  # fmt: skip
    add("--note", default="", metavar="TEXT", help="a paragraph for the report, e.g. what else ran "
        "on the machine")  # fmt: skip
    add("--report-only", action="store_true", help="train and score nothing; write the report "
        "of a study that is done, or of the runs that --only says")  # fmt: skip
    add("--records", type=Path, metavar="DIR", help="records of finished runs (settings, scores, "
        "translations; no checkpoints): those in DIR are taken over instead of being run, and each "
        "run that ends adds its own")  # fmt: skip
    add("--train-again", action="store_true", help="also the runs of which something is missing, "
        "and whose checkpoints, which that needs, are gone")  # fmt: skip
    add("--from-results", type=Path, metavar="FILE", help="run nothing; write the report again "
        "from the results.json of an earlier one, into DIR/report")  # fmt: skip
    add_corpus_options(parser)


def check_together(options: argparse.Namespace) -> None:
    """Raise UserError for flags of which one would be without effect."""
    for given, others in IDLE.items():
        idle = [f"--{each.replace('_', '-')}" for each in others if getattr(options, each)]
        if getattr(options, given) and idle:
            raise UserError(
                f"--{given.replace('_', '-')}: expected without {', '.join(idle)}, which would "
                "have no effect beside it"
            )


def run(options: argparse.Namespace) -> None:
    """Run a study as the flags say, then write its report."""
    from fairseq_labo.experiments.studies import workflow
    from fairseq_labo.experiments.studies.study_file import find_study, read_heading, read_study

    check_together(options)
    file = find_study(options.study)
    if options.from_results:
        again = workflow.results_again(read_heading(file), options.from_results, options.output)
        return workflow.show_report(again, options.output, note=options.note)
    study = read_study(file)
    given = given_by(options)
    references = {**study.references, **given.references}
    changes = {"corpus": options.data, "subwords": given.subwords, "tokenizer": given.tokenizer}
    changes = {key: value for key, value in changes.items() if value}
    study = study.model_copy(update={**changes, "references": references})
    if not options.data:
        archives = [f"--archive={path.absolute()}" for path in options.archive]
        if options.source_dir:
            archives.append(f"--source-dir={options.source_dir.absolute()}")
        workflow.prepare_corpus(study, archives=archives)
    completed = workflow.complete(
        study,
        options.output,
        jobs=options.jobs,
        only=options.only,
        report_only=options.report_only,
        records=options.records,
        train_again=options.train_again,
    )
    if completed:
        workflow.show_report(completed, options.output, note=options.note)
