"""What the criterions log, in bits like fairseq.

Each is an average over the target tokens that are counted. fairseq divides by all of them, also by
the prefix that ``--ignore-prefix-size`` leaves out of the sums.

==================  ===========================================================================
``loss``            the objective: (1 − smoothing) nll_loss + smoothing reg_loss; in validation
                    plain NLL (per sentence under ``--sentence-avg``)
``nll_loss``        −log2 p_y per target token
``ppl``             2 ^ nll_loss
``reg_loss``        the regularizer R per target token, where it was computed
``label_entropy``   entropy of the smoothing distribution P, where it was computed
``smoothing``       α of the batch: the weight of the regularizer
``accuracy``        % of target tokens predicted, with ``--report-accuracy``
==================  ===========================================================================
"""

import functools
import logging
import math
from typing import Any

from fairseq import utils
from fairseq.logging import metrics

logger = logging.getLogger(__name__)


def reduce_metrics(logging_outputs: list[dict[str, Any]]) -> None:
    """Log averages of the sums that the criterion's `forward` returned on all workers."""

    def total(key: str) -> Any:
        return sum(log.get(key, 0) for log in logging_outputs)

    def log_bits(key: str, denominator: Any) -> None:
        metrics.log_scalar(key, total(key) / denominator / math.log(2), denominator, round=3)

    if not any("num_counted" in log for log in logging_outputs):
        # A task that calls `compute_loss` and logs by itself: the loss is all that it passes on.
        log_bits("loss", total("sample_size"))
        return
    num_counted, reg_ntokens = total("num_counted"), total("reg_ntokens")
    if utils.item(num_counted) == 0:
        _warn_of_no_token()
    log_bits("loss", total("loss_size"))
    log_bits("nll_loss", num_counted)
    metrics.log_derived("ppl", lambda meters: utils.get_perplexity(meters["nll_loss"].avg))
    if reg_ntokens > 0:
        log_bits("reg_loss", reg_ntokens)
        log_bits("label_entropy", reg_ntokens)
    # Five digits: the weight that a schedule ends with would round to 0 at three.
    metrics.log_scalar("smoothing", total("smoothing") / num_counted, num_counted, round=5)

    counted = utils.item(total("total"))
    if counted > 0:
        metrics.log_scalar("total", counted)
        metrics.log_scalar("n_correct", utils.item(total("n_correct")))
        metrics.log_derived("accuracy", _accuracy)


@functools.cache
def _warn_of_no_token() -> None:
    logger.warning(
        "this batch has no target token that counts: it teaches nothing, and its loss is nan; "
        "is --ignore-prefix-size as long as the sentences?"
    )


def _accuracy(meters: Any) -> float:
    counted = meters["total"].sum
    return round(meters["n_correct"].sum * 100.0 / counted, 3) if counted > 0 else float("nan")
