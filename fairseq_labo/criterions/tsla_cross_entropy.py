"""``--criterion tsla_cross_entropy``: label smoothing at first, one-hot targets afterwards.

Two-stage label smoothing of Xu et al. (arXiv 2006.11653), with ε in the convention of
fairseq's ``label_smoothed_cross_entropy``: ε/(V−1) on every type but the reference. In terms
of the project's formula that is P = u with weight α = ε V/(V−1).
"""

import math
from dataclasses import dataclass, field
from typing import Any

from fairseq.criterions import register_criterion

from fairseq_labo.criterions.regularized_cross_entropy import (
    RegularizedCrossEntropyConfig,
    RegularizedCrossEntropyCriterion,
)
from fairseq_labo.criterions.stages import SmoothingStage
from fairseq_labo.ops.arguments import check_label_smoothing


@dataclass
class TslaCrossEntropyConfig(RegularizedCrossEntropyConfig):
    """Flags of ``tsla_cross_entropy``; exactly one of the two stage flags is needed."""

    label_smoothing: float = field(
        default=0.1,
        metadata={"help": "epsilon of the first stage, as in label_smoothed_cross_entropy"},
    )


@register_criterion("tsla_cross_entropy", dataclass=TslaCrossEntropyConfig)
class TslaCrossEntropyCriterion(RegularizedCrossEntropyCriterion):
    """fairseq's label smoothing in stage 1, cross entropy in stage 2."""

    beta = math.inf

    def __init__(
        self,
        task: Any,
        sentence_avg: bool,
        label_smoothing: float,
        smoothing_epochs: int | None = None,
        smoothing_updates: int | None = None,
        ignore_prefix_size: int = 0,
        report_accuracy: bool = False,
        fused_projection: bool = False,
    ) -> None:
        self.epsilon = check_label_smoothing(label_smoothing)
        dictionary = getattr(task, "target_dictionary", None)
        if dictionary is not None:
            self.regularizer_weight(len(dictionary))
        super().__init__(
            task,
            stage=SmoothingStage.from_flags(
                epochs=smoothing_epochs, updates=smoothing_updates, required=True
            ),
            sentence_avg=sentence_avg,
            ignore_prefix_size=ignore_prefix_size,
            report_accuracy=report_accuracy,
            fused_projection=fused_projection,
        )

    def regularizer_weight(self, vocab_size: int) -> float:
        """α = ε V/(V−1).

        Raises:
            ValueError: ε is so large that the reference would be the least likely type.
        """
        alpha = self.epsilon * vocab_size / (vocab_size - 1)
        if alpha >= 1.0:
            raise ValueError(
                f"--label-smoothing must be below (V-1)/V = {(vocab_size - 1) / vocab_size:g} "
                f"for a vocabulary of {vocab_size} types, found {self.epsilon}"
            )
        return alpha
