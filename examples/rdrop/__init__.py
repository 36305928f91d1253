"""LABO, or label smoothing, within R-Drop: two dropout masks for each batch, and their p alike.

    fairseq-train DATA --user-dir examples/rdrop --criterion labo_cross_entropy_with_rdrop \\
        --labo-beta inf --label-smoothing 0.1 --rdrop-alpha 5 ...

The loss is the sum of the two passes' losses and of rdrop_alpha ½ (KL(p || q) + KL(q || p)), with p
and q the model's distributions in the two (Liang et al. 2021). With β = inf and α = ε V / (V - 1)
that is fairseq's label_smoothed_cross_entropy_with_rdrop of ε. Validation is that of LABO.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import register_criterion
from torch import Tensor
from torch.autograd.function import once_differentiable

import fairseq_labo  # noqa: F401  (so that its criterions are registered, too)
from fairseq_labo.criterions.labo_cross_entropy import (
    LaboCrossEntropyConfig,
    LaboCrossEntropyCriterion,
)
from fairseq_labo.criterions.logits import model_logits


class SymmetricDivergence(torch.autograd.Function):
    """½ (KL(p || q) + KL(q || p)) in nats, [N], of logits [2, N, V]; the gradient comes with it."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        # Rows that stay in the processor's cache, or all.
        size = 64 if logits.is_cpu else max(1, logits.size(1))
        dtype = torch.promote_types(logits.dtype, torch.float32)
        divergences = logits.new_empty(logits.size(1), dtype=dtype)
        gradient = torch.empty_like(logits)
        for start in range(0, logits.size(1), size):
            piece = slice(start, start + size)
            log_p = torch.log_softmax(logits[:, piece], dim=-1, dtype=dtype)
            p = log_p.exp()
            log_ratio, difference = log_p - log_p.flip(0), p - p.flip(0)  # of each and the other
            one_way = (p * log_ratio).sum(-1, keepdim=True)  # KL(p || q), KL(q || p)
            divergences[piece] = one_way.mean(0).squeeze(-1)
            gradient[:, piece] = (p * (log_ratio - one_way) + difference) / 2
        ctx.save_for_backward(gradient)
        return divergences

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> Tensor:
        (gradient,) = ctx.saved_tensors
        return gradient * outer.to(gradient.dtype).unsqueeze(-1)


@dataclass
class LaboWithRDropConfig(LaboCrossEntropyConfig):
    rdrop_alpha: float = field(default=5.0, metadata={"help": "weight of the divergence, > 0"})


@register_criterion("labo_cross_entropy_with_rdrop", dataclass=LaboWithRDropConfig)
class LaboWithRDropCriterion(LaboCrossEntropyCriterion):
    def __init__(self, cfg: LaboWithRDropConfig, task: Any) -> None:
        super().__init__(cfg, task)
        if cfg.fused_projection or cfg.divide_by_counted:
            raise ValueError("R-Drop: leave --fused-projection and --divide-by-counted out")
        if not cfg.rdrop_alpha > 0:
            raise ValueError(
                f"--rdrop-alpha must be above 0, found {cfg.rdrop_alpha}; without R-Drop take "
                "labo_cross_entropy"
            )
        self.rdrop_alpha = cfg.rdrop_alpha
        self.some_do_not_count = True  # ntokens stays that of one pass, the sums are of both

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> Any:
        if not self.training:
            return super().forward(model, sample, reduce)
        num_sentences = sample["target"].size(0)
        size = num_sentences if self.sentence_avg else sample["ntokens"]
        inputs = {name: twice(value) for name, value in sample["net_input"].items()}
        both = {**sample, "net_input": inputs, "target": twice(sample["target"]), "passes": 2}
        loss, _, log = super().forward(model, both, reduce)
        return loss, size, log | {"nsentences": num_sentences, "sample_size": size}

    def losses_of_output(self, model: Any, net_output: Any, sample: dict[str, Any]) -> Any:
        losses, target, label_smoothing = super().losses_of_output(model, net_output, sample)
        if sample.get("passes") == 2:
            logits = model_logits(model, net_output)  # [2 B, T, V]
            divergences = SymmetricDivergence.apply(logits.view(2, -1, logits.size(-1))).repeat(2)
            divergences = divergences.masked_fill(target.eq(self.padding_idx), 0.0)
            # Half of it in each pass, so that their sum has it once.
            losses = losses._replace(loss=losses.loss + self.rdrop_alpha / 2 * divergences)
        return losses, target, label_smoothing


def twice(value: Any) -> Any:
    return torch.cat([value, value]) if isinstance(value, Tensor) else value
