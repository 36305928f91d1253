"""The distribution π over the vocabulary from which the smoothing distribution must not stray.

In the inner problem ``min_P H(P, p) + β KL(P || π)`` label smoothing and LABO take the uniform
one. Two others are made of how often each type occurs on the target side of the training data:
``unigram``, π ∝ counts (Pereyra et al. 2017, arXiv 1701.06548), and ``target``, uniform over the
types that occur at all (the masked label smoothing of Chen et al. 2022, arXiv 2203.02889).
"""

import math

import torch
from torch import Tensor

from fairseq_labo.defaults import PRIORS

SUM_TOLERANCE = 1e-5  # β times it is the error of R


def prior_from_counts(name: str, counts: Tensor) -> Tensor | None:
    """π [V], float32, or None for the uniform one, which needs no vector.

    counts: how often each type occurs, int64 [V]. Types that do not occur get 0, so padding does,
    and ``<s>``; ``</s>`` is counted once for each sentence, ``<unk>`` as often as it stands there.

    Raises:
        ValueError: there is no such prior, or a count is negative, or all are 0.
        TypeError: the counts are no numbers.
    """
    if name not in PRIORS:
        raise ValueError(f"the prior must be one of {', '.join(PRIORS)}, found {name!r}")
    if name == "uniform":
        return None
    expected = "expected how often each type occurs [vocab_size], a dense tensor of numbers, found"
    try:
        counts = torch.as_tensor(counts)
        if counts.layout != torch.strided or counts.is_complex() or counts.is_meta:
            raise TypeError(f"{counts.dtype}, {counts.layout}, on {counts.device}")
        counts = counts.double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{expected} {type(counts).__name__}: {error}") from error
    total = counts.sum(dtype=torch.float64)
    if counts.dim() != 1 or bool((counts < 0).any()) or not 0 < total < math.inf:
        raise ValueError(
            f"expected how often each type occurs [vocab_size], some above 0 and none below, found "
            f"{list(counts.shape)} numbers with the sum {float(total):g}"
        )
    weights = counts if name == "unigram" else counts.gt(0).double()
    return (weights / weights.sum()).float()
