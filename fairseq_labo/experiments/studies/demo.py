"""The command ``labo demo``: the study microworld with one seed and every loss at its defaults."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_labo.experiments.console import format_table, say
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import default_folder
from fairseq_labo.experiments.training.flags import JOBS

if TYPE_CHECKING:
    from fairseq_labo.experiments.studies.results import Results
    from fairseq_labo.experiments.studies.study import Study

DESCRIPTION = """
From nothing to a table: prepare a corpus, train a small transformer with each criterion, translate
the test set, and print BLEU, NLL, words/s and seconds of each, and some translations side by side.
Without options: the embedded German-English corpus, about 5 minutes on 2 CPU cores. It is the study
microworld with one seed and every criterion's defaults; what is done is not done again, and
DIR/report holds the whole report.
"""
CRITERIONS = "cross_entropy label_smoothed_cross_entropy tsla_cross_entropy labo_cross_entropy"
BASELINE = "label_smoothing"
TEST = "test"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    add = parser.add_argument
    add("--corpus", choices=["microworld", "multi30k"], default="microworld", help="the embedded "
        "one (default), or real image captions")  # fmt: skip
    add("--source-dir", type=Path, metavar="DIR", help="multi30k: take its files from DIR instead "
        "of downloading them")  # fmt: skip
    add("--data", type=Path, metavar="DIR", help="an already prepared corpus instead of --corpus")
    add("--epochs", type=int, metavar="N", help="default: 2 for microworld, 10 for others")
    add("--criterions", default=CRITERIONS, metavar="LIST", help='default: "%(default)s"')
    add("--seed", type=int, default=1, metavar="N", help="default: 1")
    add("--jobs", type=JOBS, metavar="N", help="models trained at a time (default: one for each "
        "CPU core, or 1 with a GPU), each with its share of the cores")  # fmt: skip
    add("--output", type=Path, metavar="DIR", help="trained models and report (default: "
        "runs/demo-CORPUS-EPOCHS-SEED)")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the demo as the flags say, and print its table."""
    import torch

    from fairseq_labo.experiments import provenance
    from fairseq_labo.experiments.studies import report, workflow

    study = study_of(options)
    epochs, seed = study.train.flags["epochs"], study.seeds[0]
    root = options.output or default_folder("runs", f"{study.name}-{epochs}-{seed}")
    if not options.data:
        archives = [f"--source-dir={options.source_dir.absolute()}"] if options.source_dir else []
        workflow.prepare_corpus(study, archives=archives)
    at_once = 1 if torch.cuda.is_available() else provenance.available_cores()
    most = min(at_once, len(study.methods))
    jobs = most if options.jobs is None else options.jobs
    results = workflow.complete(study, root, jobs=jobs)
    assert results is not None  # nothing is left out without `only`
    report.write(results, root / "report")
    print(table(results))
    for each in results.translations[TEST]:
        print()
        print(format_table([[f"sentence {each.sentence}", ""], *each.rows()], left_columns=2))
    say(f"models: {root / 'runs'}; signatures, significance, figures: {root}/report/report.md")


def study_of(options: argparse.Namespace) -> "Study":
    """The study that the flags ask for.

    Raises UserError for flags that do not fit together, and for an unknown criterion.
    """
    from fairseq_labo.experiments.studies.study_file import EMBEDDED, make_study, read_yaml

    if options.source_dir and (options.data or options.corpus != "multi30k"):
        raise UserError("--source-dir: expected with --corpus multi30k, found without it")
    corpus = options.data.resolve().name if options.data else options.corpus
    # The embedded corpus is learned in 2 epochs; real text needs more, and then more dropout.
    epochs, dropout = (2, 0.1) if corpus == "microworld" else (10, 0.2)
    file = EMBEDDED / "microworld.yaml"
    content = read_yaml(file)
    names = {entry["criterion"]: name for name, entry in content["methods"].items()}
    methods = {
        names.get(criterion, criterion): {"criterion": criterion}
        for criterion in options.criterions.split()
    }
    content |= {
        "name": f"demo-{corpus}",
        "prepare": options.corpus,
        "corpus": str(options.data.absolute() if options.data else Path("data", corpus)),
        "seeds": [options.seed],
        "baseline": BASELINE if BASELINE in methods else next(iter(methods), BASELINE),
        "methods": methods,
        "train": {
            **content["train"],
            "epochs": epochs if options.epochs is None else options.epochs,
            "extra": f"--dropout {dropout}",
        },
    }
    return make_study(content, file, called="labo demo")


def table(results: "Results") -> str:
    """A line for each method: scores on the test set, speed and time of the training."""
    rows = [["method", "BLEU", "NLL (bits)", "words/s", "train seconds"]]
    for run in results.runs:
        bleu, nll = (run.scores[TEST][key]["score"] for key in ("bleu", "nll"))
        speed, seconds = run.words_per_second, run.trained["seconds"]
        time = "–" if seconds is None else f"{seconds:.0f}"
        rows.append([run.method, f"{bleu:.2f}", f"{nll:.3f}", f"{speed:.0f}", time])
    return format_table(rows, left_columns=1)
