"""What every entrance shares, torch or not: criterions, nn, commands."""

from pathlib import Path

USER_DIR = Path(__file__).parent  # what fairseq's --user-dir names
DEFAULT_ALPHA = 0.1  # α: weight of the regularizer, --label-smoothing
DEFAULT_BETA = 4.0  # β: temperature of LABO's smoothing distribution, --labo-beta
# The first is the default; what they are: `fairseq_labo.ops.priors`.
PRIORS = ("uniform", "unigram", "target")
