"""Run a command line of fairseq_labo.evaluation: evaluate, compare or inspect_labels.

Usage: python evaluation.py COMMAND [option ...]; the shell scripts of those names call it.
"""

import importlib
import logging
import sys
import warnings

COMMANDS = {
    "evaluate": "evaluation.evaluate",
    "compare": "studies.compare",
    "inspect_labels": "evaluation.inspect",
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"error: expected one of {', '.join(COMMANDS)}, found {sys.argv[1:2]}")
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
    warnings.filterwarnings("ignore", ".*pin_memory. argument is set as true", UserWarning)
    # Fonts are reported by the hundred where fairseq sets the root logger to DEBUG.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    # fairseq reports the optional packages that it misses, while it is imported.
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    module = importlib.import_module(f"fairseq_labo.experiments.{COMMANDS[sys.argv.pop(1)]}")
    importlib.import_module("fairseq_labo.experiments.command").run_main(module.main)
