"""The defaults of the two numbers that every entrance shares: criterions, nn, commands."""

DEFAULT_ALPHA = 0.1  # α: weight of the regularizer, --label-smoothing
DEFAULT_BETA = 4.0  # β: temperature of LABO's smoothing distribution, --labo-beta
