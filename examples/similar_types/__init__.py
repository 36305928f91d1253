"""A criterion with a smoothing distribution P of its own: types that resemble the reference.

    fairseq-train DATA --user-dir examples/similar_types --criterion similar_types_cross_entropy ...

P_k ∝ exp(cos(e_y, e_k) / T), with e the decoder's embeddings and y the reference. All else (the
stages, --fused-projection, the logs, the kernels) is that of fairseq_labo's own criterions.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from fairseq.criterions import register_criterion

import fairseq_labo  # noqa: F401  (so that its criterions are registered, too)
from fairseq_labo.criterions.regularized_cross_entropy import (
    RegularizedCrossEntropyConfig,
    RegularizedCrossEntropyCriterion,
)


@dataclass
class SimilarTypesConfig(RegularizedCrossEntropyConfig):
    similarity_temperature: float = field(default=0.2, metadata={"help": "T > 0"})


@register_criterion("similar_types_cross_entropy", dataclass=SimilarTypesConfig)
class SimilarTypesCriterion(RegularizedCrossEntropyCriterion):
    temperature = 1.0  # P = softmax(teacher_logits / 1)

    def __init__(self, cfg: SimilarTypesConfig, task: Any) -> None:
        super().__init__(cfg, task)
        self.similarity_temperature = cfg.similarity_temperature

    @torch.no_grad()
    def loss_options(self, model: Any, sample: dict[str, Any], **given: Any) -> dict[str, Any]:
        embeddings = F.normalize(model.decoder.embed_tokens.weight.float(), dim=-1)  # [V, D]
        cosines = embeddings[sample["target"].flatten()] @ embeddings.T  # [B * T, V]
        options = super().loss_options(model, sample, **given)
        return options | {"teacher_logits": cosines / self.similarity_temperature}
