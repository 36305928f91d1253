"""Rows are taken chunk by chunk; how many at a time, and which, changes nothing."""

import math

import pytest
import torch

from fairseq_labo.ops import chunked_rows, token_losses
from tests.ops.cases import losses_and_gradient, random_case
from tests.ops.test_loss import teacher_case

IMPLEMENTATIONS = ["reference", "torch"]


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target, upstream = random_case(50, 300, torch.float32)
    options = {"alpha": 0.1, "beta": 2.0, "impl": "torch"}
    expected = losses_and_gradient(logits, target, upstream, **options)
    for num_rows in (1, 7, 49):
        monkeypatch.setattr(chunked_rows, "CPU_CHUNK_BYTES", num_rows * 300 * 4)
        assert chunked_rows.Scratch(logits).chunks(logits, None)[0] == slice(0, num_rows)
        torch.testing.assert_close(
            losses_and_gradient(logits, target, upstream, **options), expected, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("beta", [1.25, 2.0, 3.0, 4.0, math.inf])
@pytest.mark.parametrize("with_teacher", [False, True])
def test_padding_is_left_out_of_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch, beta: float, with_teacher: bool
) -> None:
    """The rows that count are gathered, chunk by chunk; the result is that of each alone."""
    logits, teacher, target = teacher_case()
    target[[0, 4, 5]] = -100
    monkeypatch.setattr(chunked_rows, "CPU_CHUNK_BYTES", 2 * 23 * 8)
    results = []
    for impl in IMPLEMENTATIONS:
        leaf = logits.clone().requires_grad_()
        found = token_losses(
            leaf,
            target,
            label_smoothing=0.2,
            beta=beta,
            teacher_logits=teacher if with_teacher else None,
            statistics=True,
            argmax=True,
            impl=impl,
        )
        found.loss.dot(torch.arange(9.0, dtype=torch.float64)).backward()
        results.append([*found, leaf.grad])
    torch.testing.assert_close(results[1], results[0])
    counted = target.ne(-100).nonzero().squeeze(1)
    seen = [rows.tolist() for rows in chunked_rows.Scratch(logits).chunks(logits, counted)]
    assert seen == [[1, 2], [3, 6], [7, 8]]
