"""What `labo_cross_entropy` and `tsla_cross_entropy` share: model call, stage and metrics."""

import logging
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import FairseqDataclass
from omegaconf import II
from torch import Tensor

from fairseq_labo.criterions.logits import check_autoregressive, model_logits
from fairseq_labo.criterions.metrics import reduce_metrics
from fairseq_labo.criterions.projection import decoder_features
from fairseq_labo.criterions.stages import SmoothingStage, TrainingProgress
from fairseq_labo.criterions.teacher import Teacher
from fairseq_labo.ops import TokenLosses, linear_token_losses, token_losses

logger = logging.getLogger(__name__)


@dataclass
class RegularizedCrossEntropyConfig(FairseqDataclass):
    """Flags of both criterions; the first three are those of label_smoothed_cross_entropy."""

    label_smoothing: float = field(default=0.1, metadata={"help": "weight of the regularizer"})
    report_accuracy: bool = field(default=False, metadata={"help": "report token accuracy"})
    ignore_prefix_size: int = field(
        default=0, metadata={"help": "ignore the first N target tokens of each sentence"}
    )
    fused_projection: bool = field(
        default=False,
        metadata={"help": "compute the loss from the decoder's features: never hold the logits"},
    )
    # Optional, not `int | None`: fairseq makes command-line flags of the annotations.
    smoothing_epochs: Optional[int] = field(  # noqa: UP045
        default=None,
        metadata={"help": "regularize in the first N epochs only, then train on one-hot targets"},
    )
    smoothing_updates: Optional[int] = field(  # noqa: UP045
        default=None,
        metadata={"help": "regularize in the first N updates only, then train on one-hot targets"},
    )
    smoothing_schedule: str = field(
        default="step",
        metadata={
            "help": "how the weight of the regularizer falls to 0 in those epochs or updates: "
            "step (constant, then 0), linear or cosine"
        },
    )
    teacher_path: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "tsla_cross_entropy only: checkpoint of a frozen model whose distribution "
            "takes the place of the uniform one in the first stage"
        },
    )
    sentence_avg: bool = II("optimization.sentence_avg")


class RegularizedCrossEntropyCriterion(FairseqCriterion):
    """Cross entropy, in stage 1 of training regularized towards a smoothing distribution.

    Subclasses say which one: `beta` (inf: uniform; a teacher's temperature) and
    `regularizer_weight`.

    In validation the loss is plain NLL, so that it means the same across stages and methods;
    the regularizer and the entropy of its distribution are logged all the same.
    """

    beta: float
    stage_is_required = False

    def __init__(
        self, cfg: RegularizedCrossEntropyConfig, task: Any, *, teacher: Teacher | None = None
    ) -> None:
        check_autoregressive(task)
        super().__init__(task)
        if cfg.ignore_prefix_size < 0:
            raise ValueError(
                f"--ignore-prefix-size must be 0 or more tokens, found {cfg.ignore_prefix_size}"
            )
        self.stage = SmoothingStage.from_flags(
            epochs=cfg.smoothing_epochs,
            updates=cfg.smoothing_updates,
            required=self.stage_is_required,
            schedule=cfg.smoothing_schedule,
        )
        self.sentence_avg = cfg.sentence_avg
        self.ignore_prefix_size = cfg.ignore_prefix_size
        self.report_accuracy = cfg.report_accuracy
        self.fused_projection = cfg.fused_projection
        self.teacher = teacher
        self.progress = TrainingProgress()
        self.progress.follow(task)
        self._was_in_force: bool | None = None

    def regularizer_weight(self, vocab_size: int) -> float:
        """α of stage 1, for a vocabulary of so many types."""
        raise NotImplementedError

    def weight_in_force(self, vocab_size: int) -> float:
        """α for the batch at hand: 0 in validation and in stage 2."""
        if not self.training:
            return 0.0
        share = self.stage.share(self.progress)
        self._notice_stage(in_force=share > 0.0)
        return share * self.regularizer_weight(vocab_size)

    def _notice_stage(self, *, in_force: bool) -> None:
        """At the first batch of stage 2: say so in the log, once, and drop the teacher."""
        if not in_force and self._was_in_force is not False:
            message = (
                "stage 2 begins: one-hot targets from epoch %s, after %s updates"
                if self._was_in_force
                else "this run starts in stage 2: one-hot targets, epoch %s, %s updates done"
            )
            logger.info(message, self.progress.epoch, self.progress.num_updates)
            if self.teacher is not None:
                self.teacher.release()
        self._was_in_force = in_force

    def teacher_logits(self, model: Any, sample: dict[str, Any], *, weight: float) -> Tensor | None:
        """The teacher's logits [B * T, V], where there is one and it counts.

        In validation it is asked if it is in memory (so in stage 1), to measure R.
        """
        if self.teacher is None or not (weight > 0.0 if self.training else self.teacher.loaded):
            return None
        logits = self.teacher.logits(sample, student=model)
        return logits.reshape(-1, logits.size(-1))

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the loss, its denominator, and what is logged.

        The loss is in nats, summed over the target tokens (per token, [B * T], if not
        `reduce`); the denominator is the number of sentences under ``--sentence-avg``, else
        of target tokens.
        """
        check_autoregressive(model)
        compute = self.losses_of_features if self.fused_projection else self.losses_of_logits
        losses, target, weight = compute(model, sample, reduce=reduce)
        num_sentences = sample["target"].size(0)
        sample_size = num_sentences if self.sentence_avg else sample["ntokens"]
        logging_output = {
            **self.summed(losses, ntokens=sample["ntokens"], weight=weight),
            "ntokens": sample["ntokens"],
            "nsentences": num_sentences,
            "sample_size": sample_size,
        }
        if losses.argmax is not None:
            correct = losses.argmax.eq(target).sum()  # never at ignored tokens
            total = target.ne(self.padding_idx).sum()
            logging_output |= {"n_correct": correct, "total": total}
        return (losses.loss.sum() if reduce else losses.loss), sample_size, logging_output

    def losses_of_logits(
        self, model: Any, sample: dict[str, Any], *, reduce: bool
    ) -> tuple[TokenLosses, Tensor, float]:
        """The losses (per token, whether or not `reduce`), the target [B * T], and α."""
        net_output = model(**sample["net_input"])
        logits = model_logits(model, net_output)  # [B, T, V]
        logits = logits.reshape(-1, logits.size(-1))  # [B * T, V]
        target = self.counted_target(model.get_targets(sample, net_output))
        weight = self.weight_in_force(logits.size(1))
        losses = token_losses(logits, target, **self.loss_options(weight, model, sample))
        return losses, target, weight

    def losses_of_features(
        self, model: Any, sample: dict[str, Any], *, reduce: bool
    ) -> tuple[TokenLosses, Tensor, float]:
        """The same from the features and the output layer; the loss is summed if `reduce`."""
        hidden, layer_weight, bias = decoder_features(model, sample["net_input"])
        target = self.counted_target(model.get_targets(sample, None))
        weight = self.weight_in_force(layer_weight.size(0))
        options = self.loss_options(weight, model, sample)
        losses = linear_token_losses(
            hidden, layer_weight, target, bias=bias, summed=reduce, **options
        )
        return losses, target, weight

    def loss_options(self, weight: float, model: Any, sample: dict[str, Any]) -> dict[str, Any]:
        """Options of `ops.token_losses` for the batch at hand, with α = `weight`.

        R is measured in stage 1, and in validation where P is at hand: a teacher's is in
        stage 1 only.
        """
        teacher_logits = self.teacher_logits(model, sample, weight=weight)
        measured = weight > 0.0 or not self.training
        return {
            "label_smoothing": weight,
            "beta": self.beta,
            "ignore_index": self.padding_idx,
            "teacher_logits": teacher_logits,
            "statistics": measured and (self.teacher is None or teacher_logits is not None),
            "argmax": self.report_accuracy,
        }

    def counted_target(self, target: Tensor) -> Tensor:
        """Target [B, T], flat [B * T], with the prefix that is to be ignored marked as padding.

        Marking spares the copy of the logits that cutting the prefix off would cost.
        """
        if self.ignore_prefix_size > 0:
            target = target.clone()
            target[:, : self.ignore_prefix_size] = self.padding_idx
        return target.reshape(-1)

    @staticmethod
    def summed(losses: TokenLosses, *, ntokens: int, weight: float) -> dict[str, Any]:
        """Sums over the batch, in nats: the same keys for every batch, stage and worker."""
        measured = losses.reg is not None
        return {
            "loss": losses.loss.detach().sum(),
            "nll_loss": losses.nll.sum(),
            "reg_loss": losses.reg.sum() if losses.reg is not None else 0.0,
            "label_entropy": losses.entropy.sum() if losses.entropy is not None else 0.0,
            "reg_ntokens": ntokens if measured else 0,
            "smoothing": weight * ntokens,
        }

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Log the averages over workers and batches; see `criterions.metrics`."""
        reduce_metrics(logging_outputs)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """They can: every logged value is a sum."""
        return True
