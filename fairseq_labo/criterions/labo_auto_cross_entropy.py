"""``--criterion labo_auto_cross_entropy``: LABO whose weight α sets itself. An attempt, on trial.

α starts at --label-smoothing. Each validation measures, teacher-forced, the mean confidence (the
probability of the likeliest type) and the accuracy; the first batch of training after it moves α by
``GAIN (confidence − accuracy)``, within [0, `MAXIMUM`]. α, its history and what a validation has
summed are in the task's state, which is in the checkpoint.
"""

import logging
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.criterions import register_criterion
from torch import Tensor

from fairseq_labo.criterions.labo_cross_entropy import (
    LaboCrossEntropyConfig,
    LaboCrossEntropyCriterion,
    warn_of_beta,
)
from fairseq_labo.criterions.logits import model_logits
from fairseq_labo.criterions.regularized_cross_entropy import RegularizedCrossEntropyCriterion
from fairseq_labo.ops import TokenLosses
from fairseq_labo.ops.arguments import check_beta

logger = logging.getLogger(__name__)

GAIN = 0.5
MAXIMUM = 0.5


@dataclass
class LaboAutoCrossEntropyConfig(LaboCrossEntropyConfig):
    """Flags of ``labo_auto_cross_entropy``: those of ``labo_cross_entropy``."""


@register_criterion("labo_auto_cross_entropy", dataclass=LaboAutoCrossEntropyConfig)
class LaboAutoCrossEntropyCriterion(LaboCrossEntropyCriterion):
    """LABO with α moved after each validation until the model is as confident as it is right."""

    def __init__(self, cfg: Any, task: Any) -> None:
        self.temperature = check_beta(cfg.labo_beta)
        warn_of_beta(self.temperature, uniform=cfg.label_prior == "uniform")
        RegularizedCrossEntropyCriterion.__init__(self, cfg, task)
        if cfg.fused_projection:
            raise ValueError("this attempt needs the logits, found --fused-projection")
        first = self.label_smoothing
        task.state.add_factory("labo_auto", lambda: fresh_state(first))
        self.task_state = task.state

    @property
    def auto(self) -> dict[str, Any]:
        """α, its history, and the sums of a validation that it has not followed yet."""
        return self.task_state.labo_auto

    def losses_of_output(
        self, model: Any, net_output: Any, sample: dict[str, Any]
    ) -> tuple[TokenLosses, Tensor, float]:
        """As without; a batch of training moves α first, one of validation is measured."""
        auto = self.auto
        if self.training and auto["tokens"]:
            follow(auto)
        elif not self.training:
            with torch.no_grad():
                logits = model_logits(model, net_output)
                target = self.counted_target(model.get_targets(sample, net_output))
                measure(auto, logits.reshape(-1, logits.size(-1)), target, self.padding_idx)
        return super().losses_of_output(model, net_output, sample)

    def label_smoothing_of_stage_1(self, vocab_size: int) -> float:
        """α as it is now."""
        return self.auto["label_smoothing"]


def fresh_state(label_smoothing: float) -> dict[str, Any]:
    """The state before the first validation."""
    sums = {"confidence": 0.0, "correct": 0, "tokens": 0}
    return {"label_smoothing": label_smoothing, "history": [], **sums}


def measure(auto: dict[str, Any], logits: Tensor, target: Tensor, padding: int) -> None:
    """Add a batch.  logits: [N, V]; target: [N]."""
    kept = target.ne(padding)
    confidence, predicted = logits[kept].float().softmax(-1).max(-1)
    auto["confidence"] += float(confidence.double().sum())
    auto["correct"] += int(predicted.eq(target[kept]).sum())
    auto["tokens"] += int(kept.sum())


def follow(auto: dict[str, Any]) -> None:
    """Move α by what the validation has measured."""
    gap = (auto["confidence"] - auto["correct"]) / auto["tokens"]
    moved = min(max(auto["label_smoothing"] + GAIN * gap, 0.0), MAXIMUM)
    auto["history"].append([auto["label_smoothing"], gap])
    logger.info("label smoothing %.5f -> %.5f (gap %+.5f)", auto["label_smoothing"], moved, gap)
    auto.update(fresh_state(moved), history=auto["history"])
