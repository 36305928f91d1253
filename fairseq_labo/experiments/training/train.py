"""``labo train``: one model on a prepared corpus, with fairseq-train."""

import argparse
import importlib.util
import os
import shlex
from pathlib import Path

from fairseq_labo.experiments.data.prepared import PreparedCorpus, add_corpus_options, given_by
from fairseq_labo.experiments.training import presets
from fairseq_labo.experiments.training.flags import add_flags, value_of
from fairseq_labo.experiments.training.launch import check_folder, train_in
from fairseq_labo.experiments.training.launch_plan import plan

DESCRIPTION = """
Train one translation model with fairseq-train, from a folder that labo prepare (or
fairseq-preprocess) has made. Progress is printed, the whole log goes to SAVE_DIR/train.log (JSON
lines), seconds and memory to SAVE_DIR/resources.json. Started again, it resumes from
SAVE_DIR/checkpoint_last.pt, or says that the run is finished. All GPUs of the machine are used,
under SLURM those of all tasks that srun started.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of `presets`, in groups."""
    for name, what in (("--data", "prepared corpus"), ("--save-dir", "checkpoints and log")):
        parser.add_argument(name, type=Path, required=True, metavar="DIR", help=what)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be run, and run nothing"
    )
    parser.add_argument(
        "--resume",
        choices=["auto", "last"],
        default="auto",
        help="where checkpoint_last.pt is damaged: go on from the newest good one, or say so and "
        "end (default: auto)",
    )
    add_flags(parser, "training", {**presets.TRAINING_FLAGS, **presets.SEED})
    # None where not given: a criterion's default is its own.
    add_flags(parser, "flags of the criterion", presets.CRITERION_FLAGS, defaults=False)
    add_flags(parser, "processes", presets.PROCESS_FLAGS)
    add_corpus_options(parser, with_references=False)


def run(options: argparse.Namespace) -> int:
    """Train, or print what would be run; the exit status of the training."""
    check_folder(options.save_dir)
    corpus = PreparedCorpus.read(options.data, given_by(options))
    training = presets.fairseq_arguments(options, corpus)
    usual = presets.SIZES[options.size].get("batch_tokens")
    if value_of("--update-freq", options.passed_on) is not None:
        usual = None
    launch = plan(options, training, environ=os.environ, usual_tokens=usual)
    if options.dry_run:
        print("\n".join(shlex.join(command) for command in launch.commands))
        return 0
    if importlib.util.find_spec("fairseq_cli") is None:
        raise ModuleNotFoundError("fairseq-train is not installed", name="fairseq")
    mending = options.resume == "auto"
    return train_in(options.save_dir, launch, training, mending=mending, corpus=corpus)
