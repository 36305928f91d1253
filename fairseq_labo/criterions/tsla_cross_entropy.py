"""``--criterion tsla_cross_entropy``: label smoothing at first, one-hot targets afterwards.

Two-stage label smoothing of Xu et al. (arXiv 2006.11653), with ε in the convention of
fairseq's ``label_smoothed_cross_entropy``: ε/(V−1) on every entry but the reference. In terms
of the project's formula that is P = u with weight α = ε V/(V−1). With ``--teacher-path`` P is
a frozen teacher's distribution (TSLA-pre in the paper), with weight α = ε.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.criterions import register_criterion

from fairseq_labo.criterions.regularized_cross_entropy import (
    RegularizedCrossEntropyConfig,
    RegularizedCrossEntropyCriterion,
)
from fairseq_labo.criterions.teacher import Teacher
from fairseq_labo.defaults import DEFAULT_ALPHA


@dataclass
class TslaCrossEntropyConfig(RegularizedCrossEntropyConfig):
    """Flags of ``tsla_cross_entropy``; without a teacher one of the stage flags is needed."""

    label_smoothing: float = field(
        default=DEFAULT_ALPHA,
        metadata={
            "help": "epsilon of the first stage, as in label_smoothed_cross_entropy; with a "
            "teacher, the weight of its distribution"
        },
    )
    teacher_path: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "checkpoint of a frozen model whose distribution takes the place of the "
            "uniform one in the first stage"
        },
    )
    teacher_temperature: float = field(
        default=1.0,
        metadata={"help": "temperature of the teacher's distribution softmax(logits / T)"},
    )


@register_criterion("tsla_cross_entropy", dataclass=TslaCrossEntropyConfig)
class TslaCrossEntropyCriterion(RegularizedCrossEntropyCriterion):
    """Label smoothing (fairseq's, or towards a teacher) in stage 1, cross entropy in stage 2.

    With a teacher the first stage may last to the end: word-level knowledge distillation.
    """

    def __init__(self, cfg: TslaCrossEntropyConfig, task: Any) -> None:
        check_teacher(cfg)
        self.stage_is_required = cfg.teacher_path is None
        super().__init__(cfg, task)
        self.teacher = None if cfg.teacher_path is None else Teacher(cfg.teacher_path, task=task)
        self.temperature = math.inf if self.teacher is None else cfg.teacher_temperature
        dictionary = getattr(task, "target_dictionary", None)
        if dictionary is not None:
            self.label_smoothing_of_stage_1(len(dictionary))

    def label_smoothing_of_stage_1(self, vocab_size: int) -> float:
        """α = ε V/(V−1) for the uniform distribution; ε itself for a teacher's, or another prior.

        fairseq's ε leaves the reference out of the uniform distribution. A teacher's says
        something about the reference, too, so it is mixed in as it is, with weight ε; so are the
        priors of unigram and masked label smoothing in their papers.

        Raises:
            ValueError: ε is so large that the reference would be the least likely token.
        """
        epsilon = self.label_smoothing
        if self.teacher is not None or self.prior is not None:
            return epsilon
        alpha = epsilon * vocab_size / (vocab_size - 1)
        if alpha >= 1.0:
            raise ValueError(
                f"--label-smoothing must be below (V-1)/V = {(vocab_size - 1) / vocab_size:g} "
                f"for a vocabulary of {vocab_size} entries, found {epsilon}"
            )
        return alpha

    def begin_stage_2(self, *, after_stage_1: bool) -> None:
        """Say so in the log, and drop the teacher."""
        super().begin_stage_2(after_stage_1=after_stage_1)
        if self.teacher is not None:
            self.teacher.release()

    def loss_options(
        self, model: Any, sample: dict[str, Any], *, label_smoothing: float
    ) -> dict[str, Any]:
        """With a teacher, its logits [B * T, V] too: in stage 1, and in its validations for R.

        Otherwise P is not at hand and R is not measured: the teacher is in memory in stage 1 only.
        """
        options = super().loss_options(model, sample, label_smoothing=label_smoothing)
        if self.teacher is None:
            return options
        if label_smoothing == 0.0 and (self.training or not self.teacher.loaded):
            return options | {"statistics": False}
        logits = self.teacher.logits(sample, student=model)
        return options | {"teacher_logits": logits.reshape(-1, logits.size(-1))}


def check_teacher(cfg: TslaCrossEntropyConfig) -> None:
    """Raise ValueError unless the flags of the teacher fit each other."""
    if cfg.teacher_path is not None and cfg.label_prior != "uniform":
        raise ValueError(
            f"the smoothing distribution comes from --label-prior or from a teacher, found both "
            f"({cfg.label_prior}, {cfg.teacher_path}): leave one out"
        )
    temperature = cfg.teacher_temperature
    if cfg.teacher_path is None and temperature != 1.0:
        raise ValueError(
            f"--teacher-temperature {temperature:g} needs a teacher, found no --teacher-path"
        )
    if not 0.0 < temperature < math.inf:
        raise ValueError(
            f"--teacher-temperature must be above 0 and finite, found {temperature:g}; for the "
            f"uniform distribution leave out --teacher-path"
        )
