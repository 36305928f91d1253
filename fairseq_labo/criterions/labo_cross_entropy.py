"""``--criterion labo_cross_entropy``: the smoothing distribution is computed for each token.

``P* = softmax(z / β)`` solves ``min_P H(P, p) + β KL(P || u)``; see `fairseq_labo.ops`.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

from fairseq.criterions import register_criterion

from fairseq_labo.criterions.regularized_cross_entropy import (
    RegularizedCrossEntropyConfig,
    RegularizedCrossEntropyCriterion,
)
from fairseq_labo.ops.arguments import check_beta, check_label_smoothing

logger = logging.getLogger(__name__)


@dataclass
class LaboCrossEntropyConfig(RegularizedCrossEntropyConfig):
    """Flags of ``labo_cross_entropy``."""

    label_smoothing: float = field(
        default=0.1, metadata={"help": "weight alpha of the regularizer, in [0, 1)"}
    )
    labo_beta: float = field(
        default=4.0,
        metadata={
            "help": "temperature beta > 0 of the smoothing distribution softmax(logits / beta); "
            "inf: uniform label smoothing"
        },
    )


@register_criterion("labo_cross_entropy", dataclass=LaboCrossEntropyConfig)
class LaboCrossEntropyCriterion(RegularizedCrossEntropyCriterion):
    """``(1 − α) NLL + α R`` with LABO's R; optionally in a first stage only."""

    def __init__(self, cfg: LaboCrossEntropyConfig, task: Any) -> None:
        if cfg.teacher_path is not None:
            raise ValueError(
                f"labo_cross_entropy computes its smoothing distribution itself, found "
                f"--teacher-path {cfg.teacher_path}: leave it out, or take "
                f"--criterion tsla_cross_entropy"
            )
        self.alpha = check_label_smoothing(cfg.label_smoothing)
        self.beta = check_beta(cfg.labo_beta)
        warn_of_beta(self.beta)
        super().__init__(cfg, task)

    def regularizer_weight(self, vocab_size: int) -> float:
        """α as given: here it is the weight of R itself."""
        return self.alpha


def warn_of_beta(beta: float) -> None:
    """Say in the log what β = 1 and β < 1 do; both are legal, neither regularizes."""
    if beta == 1.0:
        logger.warning(
            "--labo-beta 1: the smoothing distribution is the model's own, the regularizer is "
            "the constant log V and has no effect but to scale the loss; use beta > 1"
        )
    elif beta < 1.0:
        logger.warning(
            "--labo-beta %g < 1: the smoothing distribution is sharper than the model's own, so "
            "the regularizer rewards confidence instead of restraining it; use beta > 1",
            beta,
        )
