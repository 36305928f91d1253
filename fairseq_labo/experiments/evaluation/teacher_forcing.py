"""A checkpoint's logits for the reference, token by token: what validation sees; calibration.

With p the distribution of a target token, ŷ = argmax p, confidence c = p_ŷ, and M equal bins
B_m = ((m−1)/M, m/M] of the confidence (Guo et al. 2017, "On Calibration of Modern Neural
Networks", arXiv 1706.04599)::

    ECE   = Σ_m |B_m|/N · |acc(B_m) − conf(B_m)|        MCE = max_m |acc(B_m) − conf(B_m)|
    Brier = mean of Σ_k (p_k − [k = y])²  (between 0 and 2)
    H     = mean of −Σ_k p_k log2 p_k,      NLL = mean of −log2 p_y      (bits per token)

The bins are our own and not torchmetrics' (the tests' oracle): that library keeps every
confidence until the end, gives c = 1 a bin of its own, and does not return the bins.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_labo.experiments.errors import UserError

NUM_BINS = 15


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, and the task (dictionaries, data) that it was trained for."""

    model: Any
    task: Any
    device: torch.device


@dataclass(frozen=True)
class Sentence:
    """One sentence: its number in the subset, target [T] (ends in EOS), logits [T, V]."""

    number: int
    target: Tensor
    logits: Tensor


def load_model(
    checkpoint: Path, *, bin_dir: Path, cpu: bool = False, limits: Mapping[str, int] | None = None
) -> LoadedModel:
    """Load a translation checkpoint, on the GPU if there is one, unless `cpu`.

    `limits`: values of max_source_positions and max_target_positions, if other than its own.
    Raises UserError if it does not fit the dictionaries of `bin_dir`, or cannot be built.
    """
    from fairseq import checkpoint_utils

    try:
        models, _, task = checkpoint_utils.load_model_ensemble_and_task(
            [str(checkpoint)], arg_overrides={**(limits or {}), "data": str(bin_dir)}
        )
    except Exception as error:
        raise UserError(
            f"{checkpoint}: expected a model that fairseq builds for the data in {bin_dir}, found "
            f"{type(error).__name__}: {error}; evaluate it on the data that it was trained on"
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
    return LoadedModel(models[0].to(device).eval(), task, device)


def subset_sentences(
    loaded: LoadedModel, *, subset: str, max_tokens: int, skip_long: bool = False
) -> Iterator[Sentence]:
    """Every sentence of a subset, in batches' order (of similar lengths), not the subset's.

    Without those too long for the model, if `skip_long`.
    """
    from fairseq.utils import resolve_max_positions

    task = loaded.task
    task.load_dataset(subset)
    iterator = task.get_batch_iterator(
        dataset=task.dataset(subset),
        max_tokens=max_tokens,
        max_positions=resolve_max_positions(task.max_positions(), loaded.model.max_positions()),
        ignore_invalid_inputs=skip_long,
        required_batch_size_multiple=1,  # or fairseq drops the end of the subset
        disable_iterator_cache=True,
    ).next_epoch_itr(shuffle=False)
    yield from sentences_of(loaded, iterator)


@torch.no_grad()
def sentences_of(loaded: LoadedModel, samples: Any) -> Iterator[Sentence]:
    """The sentences of fairseq's batches, padding left out."""
    from fairseq import utils

    from fairseq_labo.criterions.logits import model_logits

    padding = loaded.task.target_dictionary.pad()
    for batch in samples:
        sample = utils.move_to_cuda(batch) if loaded.device.type == "cuda" else batch
        net_output = loaded.model(**sample["net_input"])
        logits = model_logits(loaded.model, net_output)  # [B, T, V]
        target = loaded.model.get_targets(sample, net_output)  # [B, T]
        for row, number in enumerate(sample["id"].tolist()):
            kept = target[row].ne(padding)
            yield Sentence(number, target[row][kept], logits[row][kept])


@dataclass(frozen=True)
class ReliabilityBin:
    """The tokens whose confidence lies in (lower, upper]; 0 accuracy and confidence if none."""

    lower: float
    upper: float
    tokens: int
    accuracy: float
    confidence: float


@dataclass(frozen=True)
class Calibration:
    """What `TokenCalibration` measured; see the module for the formulas."""

    tokens: int
    nll_bits: float
    accuracy: float
    confidence: float
    ece: float
    mce: float
    brier: float
    entropy_bits: float
    bins: tuple[ReliabilityBin, ...]

    def as_json(self) -> dict[str, Any]:
        """The values, rounded to six digits after the point."""
        return json.loads(json.dumps(asdict(self)), parse_float=lambda text: round(float(text), 6))


class TokenCalibration:
    """Sums over tokens: constant memory, whatever the size of the test set."""

    def __init__(self, *, num_bins: int = NUM_BINS) -> None:
        if num_bins < 1:
            raise ValueError(f"expected at least 1 bin, found {num_bins}")
        self.num_bins = num_bins
        # Per bin: tokens, correct predictions, summed confidence.
        self._bins = torch.zeros(3, num_bins, dtype=torch.float64)
        # NLL and entropy in nats, Brier.
        self._sums = torch.zeros(3, dtype=torch.float64)

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add tokens.  logits: [N, V]; target: int64 [N], no padding."""
        log_p = torch.log_softmax(logits.detach().float(), dim=-1)  # [N, V]
        p = log_p.exp()
        confidence, predicted = p.max(-1)  # [N], [N]
        edges = torch.linspace(0, 1, self.num_bins + 1, dtype=torch.float64)[1:-1]
        index = torch.bucketize(confidence.double().cpu(), edges)  # bin m: edge below < c <= edge
        ones = torch.ones_like(confidence)
        values = torch.stack([ones, predicted.eq(target).float(), confidence])
        self._bins.index_add_(1, index, values.double().cpu())
        of_target = log_p.gather(1, target.unsqueeze(1)).squeeze(1)  # [N]
        brier = p.square().sum(-1) - 2 * of_target.exp() + 1
        values = torch.stack([-of_target, torch.special.entr(p).sum(-1), brier])  # [3, N]
        self._sums += values.double().sum(1).cpu()

    def summary(self) -> Calibration:
        """The measures of all tokens so far; ValueError if there were none."""
        counts, correct, confidence = self._bins
        total = counts.sum()
        if total == 0:
            raise ValueError("calibration expected at least one token, found none")
        filled = counts.clamp(min=1)
        gaps = (correct - confidence).abs() / filled  # 0 for empty bins
        nll, entropy, brier = (self._sums / total).tolist()
        rows = torch.stack([counts, correct / filled, confidence / filled], dim=1).tolist()
        edges = [number / self.num_bins for number in range(self.num_bins + 1)]
        bins = tuple(
            ReliabilityBin(lower, upper, int(tokens), accuracy, mean)
            for lower, upper, (tokens, accuracy, mean) in zip(edges, edges[1:], rows, strict=False)
        )
        return Calibration(
            tokens=int(total),
            nll_bits=nll / math.log(2),
            accuracy=float(correct.sum() / total),
            confidence=float(confidence.sum() / total),
            ece=float((gaps * counts).sum() / total),
            mce=float(gaps.max()),
            brier=brier,
            entropy_bits=entropy / math.log(2),
            bins=bins,
        )


def measure_subset(
    loaded: LoadedModel, *, subset: str, max_tokens: int, skip_long: bool = False
) -> Calibration:
    """Calibration over a subset of the data that the model was loaded with.

    Raises UserError for lines that are too long for the model, unless they are to be skipped.
    """
    calibration = TokenCalibration()
    for sentence in subset_sentences(
        loaded, subset=subset, max_tokens=max_tokens, skip_long=skip_long
    ):
        calibration.update(sentence.logits, sentence.target)
    return calibration.summary()
