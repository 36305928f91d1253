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
from fairseq_labo.criterions.stages import SmoothingStage
from fairseq_labo.ops.arguments import check_beta, check_label_smoothing

logger = logging.getLogger(__name__)


@dataclass
class LaboCrossEntropyConfig(RegularizedCrossEntropyConfig):
    """Flags of ``labo_cross_entropy``."""

    label_smoothing: float = field(
        default=0.1, metadata={"help": "weight alpha of the regularizer, in [0, 1)"}
    )
    labo_beta: float = field(
        default=2.0,
        metadata={
            "help": "temperature beta > 0 of the smoothing distribution softmax(logits / beta); "
            "inf: uniform label smoothing"
        },
    )


@register_criterion("labo_cross_entropy", dataclass=LaboCrossEntropyConfig)
class LaboCrossEntropyCriterion(RegularizedCrossEntropyCriterion):
    """``(1 − α) NLL + α R`` with LABO's R; optionally in a first stage only."""

    def __init__(
        self,
        task: Any,
        sentence_avg: bool,
        label_smoothing: float,
        labo_beta: float,
        smoothing_epochs: int | None = None,
        smoothing_updates: int | None = None,
        ignore_prefix_size: int = 0,
        report_accuracy: bool = False,
        fused_projection: bool = False,
    ) -> None:
        self.alpha = check_label_smoothing(label_smoothing)
        self.beta = check_beta(labo_beta)
        warn_of_beta(self.beta)
        super().__init__(
            task,
            stage=SmoothingStage.from_flags(
                epochs=smoothing_epochs, updates=smoothing_updates, required=False
            ),
            sentence_avg=sentence_avg,
            ignore_prefix_size=ignore_prefix_size,
            report_accuracy=report_accuracy,
            fused_projection=fused_projection,
        )

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
