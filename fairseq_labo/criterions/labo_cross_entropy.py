"""``--criterion labo_cross_entropy``: the smoothing distribution is computed for each token.

``P* ∝ π exp(z/β)`` solves ``min_P H(P, p) + β KL(P || π)``; π is uniform, or what
``--label-prior`` says. See `fairseq_labo.ops`.
"""

import argparse
import logging
from dataclasses import dataclass, field
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.dataclass.utils import gen_parser_from_dataclass

from fairseq_labo.criterions.regularized_cross_entropy import (
    RegularizedCrossEntropyConfig,
    RegularizedCrossEntropyCriterion,
)
from fairseq_labo.defaults import DEFAULT_BETA
from fairseq_labo.ops.arguments import check_beta, doubt_of_beta

logger = logging.getLogger(__name__)


@dataclass
class LaboCrossEntropyConfig(RegularizedCrossEntropyConfig):
    """Flags of ``labo_cross_entropy``."""

    labo_beta: float = field(
        default=DEFAULT_BETA,
        metadata={
            "help": "temperature beta > 0 of the smoothing distribution softmax(logits / beta); "
            "inf: label smoothing towards the prior"
        },
    )


@dataclass
class _ConfigWithOldKeys(LaboCrossEntropyConfig):
    """The key without a flag is in the checkpoints of version 0.1, which fairseq-validate reads."""

    teacher_path: Any = None


@register_criterion("labo_cross_entropy", dataclass=_ConfigWithOldKeys)
class LaboCrossEntropyCriterion(RegularizedCrossEntropyCriterion):
    """``(1 − α) NLL + α R`` with LABO's R; optionally in a first stage only."""

    def __init__(self, cfg: LaboCrossEntropyConfig, task: Any) -> None:
        teacher = getattr(cfg, "teacher_path", None)
        if teacher is not None:
            raise ValueError(
                f"labo_cross_entropy computes its smoothing distribution itself, found "
                f"teacher_path {teacher}: leave it out, or take tsla_cross_entropy"
            )
        self.temperature = check_beta(cfg.labo_beta)
        if doubt := doubt_of_beta(self.temperature, uniform=cfg.label_prior == "uniform"):
            logger.warning("--labo-beta: %s", doubt)
        super().__init__(cfg, task)

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        """Offer the flags only, not the old keys; a subclass's own flags, too."""
        if getattr(cls, "__dataclass", None) in (None, _ConfigWithOldKeys):
            gen_parser_from_dataclass(parser, LaboCrossEntropyConfig())
        else:
            super().add_args(parser)
