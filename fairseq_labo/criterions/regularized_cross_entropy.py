"""What `labo_cross_entropy` and `tsla_cross_entropy` share: model call, stage and metrics."""

import logging
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from fairseq.benchmark.dummy_mt import DummyMTTask
from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq.tasks.translation import TranslationTask
from omegaconf import II
from torch import Tensor

from fairseq_labo.criterions.logits import check_autoregressive, model_logits
from fairseq_labo.criterions.metrics import reduce_metrics
from fairseq_labo.criterions.projection import decoder_features
from fairseq_labo.criterions.stages import SmoothingStage, TrainingProgress
from fairseq_labo.criterions.target_counts import target_counts
from fairseq_labo.defaults import DEFAULT_ALPHA, PRIORS
from fairseq_labo.ops import TokenLosses, linear_token_losses, token_losses
from fairseq_labo.ops.arguments import check_label_smoothing
from fairseq_labo.ops.priors import prior_from_counts

logger = logging.getLogger(__name__)

# Tasks in whose batches `ntokens` is the number of targets; the last is fairseq's for benchmarks.
WHOLE_TARGETS = (TranslationTask, LanguageModelingTask, DummyMTTask)


@dataclass
class RegularizedCrossEntropyConfig(FairseqDataclass):
    """Flags of both; label_smoothing, report_accuracy, ignore_prefix_size are as in fairseq."""

    label_smoothing: float = field(
        default=DEFAULT_ALPHA, metadata={"help": "weight alpha of the regularizer, in [0, 1)"}
    )
    label_prior: str = field(
        default="uniform",
        metadata={
            "help": "distribution that the regularizer starts from: uniform, unigram (the types' "
            "frequencies on the target side of the training data) or target (uniform over the "
            "types that occur there)"
        },
    )
    report_accuracy: bool = field(default=False, metadata={"help": "report token accuracy"})
    ignore_prefix_size: int = field(
        default=0, metadata={"help": "ignore the first N target tokens of each sentence"}
    )
    divide_by_counted: bool = field(
        default=False,
        metadata={
            "help": "with --ignore-prefix-size, divide the gradient by the target tokens that are "
            "counted, not as fairseq by all of them"
        },
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
    sentence_avg: bool = II("optimization.sentence_avg")
    train_subset: str = II("dataset.train_subset")


class RegularizedCrossEntropyCriterion(FairseqCriterion):
    """Cross entropy, in stage 1 of training regularized towards a smoothing distribution.

    Subclasses say which, by its `temperature` (inf: the prior itself) and
    `label_smoothing_of_stage_1`.

    In validation the loss is plain NLL, so that it means the same across stages and methods;
    the regularizer and the entropy of its distribution are logged all the same.
    """

    temperature: float
    stage_is_required = False

    def __init__(self, cfg: RegularizedCrossEntropyConfig, task: Any) -> None:
        check_autoregressive(task)
        super().__init__(task)
        if cfg.label_prior not in PRIORS:
            raise ValueError(
                f"--label-prior must be one of {', '.join(PRIORS)}, found {cfg.label_prior!r}"
            )
        if cfg.ignore_prefix_size < 0:
            raise ValueError(
                f"--ignore-prefix-size must be 0 or more tokens, found {cfg.ignore_prefix_size}"
            )
        if cfg.sentence_avg and cfg.divide_by_counted:
            raise ValueError(
                "expected one of --sentence-avg and --divide-by-counted, which divide the gradient "
                "by sentences and by tokens, found both: leave one out"
            )
        self.stage = SmoothingStage.from_flags(
            epochs=cfg.smoothing_epochs,
            updates=cfg.smoothing_updates,
            required=self.stage_is_required,
            schedule=cfg.smoothing_schedule,
        )
        self.label_smoothing = check_label_smoothing(cfg.label_smoothing)
        self.prior: Tensor | None = None  # [V]
        if cfg.label_prior != "uniform":
            self.prior = prior_from_counts(cfg.label_prior, target_counts(task, cfg))
        self.sentence_avg = cfg.sentence_avg
        self.ignore_prefix_size = cfg.ignore_prefix_size
        # Of a prefix, or where the task masks tokens (masked_lm). Counting takes launches on a GPU.
        self.some_do_not_count = cfg.ignore_prefix_size > 0 or not isinstance(task, WHOLE_TARGETS)
        self.divide_by_counted = cfg.divide_by_counted
        self.report_accuracy = cfg.report_accuracy
        self.fused_projection = cfg.fused_projection
        self.progress = TrainingProgress()
        self.progress.follow(task)
        self._stage_of_last_batch: int | None = None  # None before the first

    def label_smoothing_of_stage_1(self, vocab_size: int) -> float:
        """The weight of R in stage 1, for a vocabulary of so many entries: here as given."""
        return self.label_smoothing

    def label_smoothing_of_batch(self, vocab_size: int) -> float:
        """The weight for the batch at hand: 0 in validation and in stage 2."""
        if not self.training:
            return 0.0
        factor = self.stage.factor(self.progress)
        stage = 1 if factor > 0.0 else 2
        if stage == 2 and self._stage_of_last_batch != 2:
            self.begin_stage_2(after_stage_1=self._stage_of_last_batch == 1)
        self._stage_of_last_batch = stage
        return factor * self.label_smoothing_of_stage_1(vocab_size)

    def begin_stage_2(self, *, after_stage_1: bool) -> None:
        """Called at the first batch of stage 2: say so in the log."""
        message = (
            "stage 2 begins: one-hot targets from epoch %s, after %s updates"
            if after_stage_1
            else "this run starts in stage 2: one-hot targets, epoch %s, %s updates done"
        )
        logger.info(message, self.progress.epoch, self.progress.num_updates)

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int | Tensor, dict[str, Any]]:
        """Return the loss, its denominator, and what is logged.

        The loss is in nats, summed over the target tokens (per token, [B * T], if not
        `reduce`); the denominator is the number of sentences under ``--sentence-avg``, else
        of target tokens.
        """
        check_autoregressive(model)
        if self.fused_projection:
            results = self.losses_of_features(model, sample, summed=reduce)
        else:
            results = self.losses_of_output(model, model(**sample["net_input"]), sample)
        losses, target, label_smoothing = results
        num_sentences, num_tokens = sample["target"].size(0), sample["ntokens"]
        num_counted = num_tokens
        if self.some_do_not_count:
            num_counted = target.ne(self.padding_idx).sum()
        divisor = num_counted if self.divide_by_counted else num_tokens
        sample_size = num_sentences if self.sentence_avg else divisor
        loss = losses.loss.sum() if losses.loss.dim() else losses.loss
        logging_output = {
            "loss": loss.detach(),
            **self.summed(losses, num_counted=num_counted, label_smoothing=label_smoothing),
            "loss_size": num_sentences if self.sentence_avg else num_counted,
            "ntokens": num_tokens,
            "nsentences": num_sentences,
            "sample_size": sample_size,
        }
        if losses.argmax is not None:
            correct = losses.argmax.eq(target).sum()  # never at ignored tokens
            total = target.ne(self.padding_idx).sum()
            logging_output |= {"n_correct": correct, "total": total}
        return (loss if reduce else losses.loss), sample_size, logging_output

    def compute_loss(
        self, model: Any, net_output: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Loss and NLL in nats of a model's output, for tasks that call the model themselves.

        The contract of ``label_smoothed_cross_entropy``: sums over the target tokens, or if not
        `reduce` values per token, [B * T], 0 at padding.
        """
        losses, _, _ = self.losses_of_output(model, net_output, sample)
        return (losses.loss.sum(), losses.nll.sum()) if reduce else (losses.loss, losses.nll)

    def losses_of_output(
        self, model: Any, net_output: Any, sample: dict[str, Any]
    ) -> tuple[TokenLosses, Tensor, float]:
        """The losses per token, the target [B * T], and the weight of the regularizer."""
        logits = model_logits(model, net_output)  # [B, T, V]
        logits = logits.reshape(-1, logits.size(-1))  # [B * T, V]
        target = self.counted_target(model.get_targets(sample, net_output))
        label_smoothing = self.label_smoothing_of_batch(logits.size(1))
        options = self.loss_options(model, sample, label_smoothing=label_smoothing)
        return token_losses(logits, target, **options), target, label_smoothing

    def losses_of_features(
        self, model: Any, sample: dict[str, Any], *, summed: bool
    ) -> tuple[TokenLosses, Tensor, float]:
        """The same from the features and the output layer; their `loss` is the sum if `summed`."""
        hidden, weight, bias = decoder_features(model, sample["net_input"])
        target = self.counted_target(model.get_targets(sample, None))
        label_smoothing = self.label_smoothing_of_batch(weight.size(0))
        options = self.loss_options(model, sample, label_smoothing=label_smoothing)
        losses = linear_token_losses(hidden, weight, target, bias=bias, summed=summed, **options)
        return losses, target, label_smoothing

    def loss_options(
        self, model: Any, sample: dict[str, Any], *, label_smoothing: float
    ) -> dict[str, Any]:
        """Options of `ops.token_losses` for the batch; R is measured in stage 1 and validation."""
        if self.prior is not None:
            self.prior = self.prior.to(sample["target"].device)
        return {
            "label_smoothing": label_smoothing,
            "beta": self.temperature,
            "ignore_index": self.padding_idx,
            "prior": self.prior,
            "statistics": label_smoothing > 0.0 or not self.training,
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
    def summed(losses: TokenLosses, *, num_counted: Any, label_smoothing: float) -> dict[str, Any]:
        """Sums over the batch, in nats: the same keys for every batch, stage and worker."""
        parts = {"nll_loss": losses.nll, "reg_loss": losses.reg, "label_entropy": losses.entropy}
        found = {name: part for name, part in parts.items() if part is not None}
        sums = torch.stack(list(found.values())).sum(1)  # one launch for all, on a GPU
        return {
            **dict.fromkeys(parts, 0.0),
            **dict(zip(found, sums, strict=True)),
            "num_counted": num_counted,
            "reg_ntokens": num_counted if losses.reg is not None else 0,
            "smoothing": label_smoothing * num_counted,
        }

    reduce_metrics = staticmethod(reduce_metrics)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """They can: every logged value is a sum."""
        return True
