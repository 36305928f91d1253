"""``--criterion tsla_cross_entropy``: label smoothing at first, one-hot targets afterwards.

Two-stage label smoothing of Xu et al. (arXiv 2006.11653), with ε in the convention of
fairseq's ``label_smoothed_cross_entropy``: ε/(V−1) on every type but the reference. In terms
of the project's formula that is P = u with weight α = ε V/(V−1). With ``--teacher-path`` P is
a frozen teacher's distribution (TSLA-pre in the paper), with weight α = ε.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from fairseq.criterions import register_criterion

from fairseq_labo.criterions.regularized_cross_entropy import (
    RegularizedCrossEntropyConfig,
    RegularizedCrossEntropyCriterion,
)
from fairseq_labo.criterions.teacher import Teacher
from fairseq_labo.ops.arguments import check_label_smoothing


@dataclass
class TslaCrossEntropyConfig(RegularizedCrossEntropyConfig):
    """Flags of ``tsla_cross_entropy``; exactly one of the two stage flags is needed."""

    label_smoothing: float = field(
        default=0.1,
        metadata={
            "help": "epsilon of the first stage, as in label_smoothed_cross_entropy; with a "
            "teacher, the weight of its distribution"
        },
    )
    teacher_temperature: float = field(
        default=1.0,
        metadata={"help": "temperature of the teacher's distribution softmax(logits / T)"},
    )


@register_criterion("tsla_cross_entropy", dataclass=TslaCrossEntropyConfig)
class TslaCrossEntropyCriterion(RegularizedCrossEntropyCriterion):
    """Label smoothing (fairseq's, or towards a teacher) in stage 1, cross entropy in stage 2."""

    stage_is_required = True

    def __init__(self, cfg: TslaCrossEntropyConfig, task: Any) -> None:
        self.epsilon = check_label_smoothing(cfg.label_smoothing)
        self.beta = smoothing_temperature(cfg)
        teacher = None if cfg.teacher_path is None else Teacher(cfg.teacher_path, task=task)
        super().__init__(cfg, task, teacher=teacher)
        dictionary = getattr(task, "target_dictionary", None)
        if dictionary is not None:
            self.regularizer_weight(len(dictionary))

    def regularizer_weight(self, vocab_size: int) -> float:
        """α = ε V/(V−1) for the uniform distribution; ε itself for a teacher's.

        fairseq's ε leaves the reference out of the uniform distribution. A teacher's says
        something about the reference, too, so it is mixed in as it is, with weight ε.

        Raises:
            ValueError: ε is so large that the reference would be the least likely type.
        """
        if self.teacher is not None:
            return self.epsilon
        alpha = self.epsilon * vocab_size / (vocab_size - 1)
        if alpha >= 1.0:
            raise ValueError(
                f"--label-smoothing must be below (V-1)/V = {(vocab_size - 1) / vocab_size:g} "
                f"for a vocabulary of {vocab_size} types, found {self.epsilon}"
            )
        return alpha


def smoothing_temperature(cfg: TslaCrossEntropyConfig) -> float:
    """β of `ops`: inf, the uniform distribution, or the temperature of the teacher's.

    Raises:
        ValueError: the temperature is not a number above 0, or is given without a teacher.
    """
    temperature = cfg.teacher_temperature
    if cfg.teacher_path is None:
        if temperature != 1.0:
            raise ValueError(
                f"--teacher-temperature {temperature:g} needs a teacher, found no --teacher-path"
            )
        return math.inf
    if not 0.0 < temperature < math.inf:
        raise ValueError(
            f"--teacher-temperature must be above 0 and finite, found {temperature:g}; for the "
            f"uniform distribution leave out --teacher-path"
        )
    return temperature
