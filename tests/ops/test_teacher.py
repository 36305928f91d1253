"""A given teacher's logits in place of LABO's P*, and the likeliest type of each token."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import chunked_rows, labo_loss, token_losses

IMPLEMENTATIONS = ["reference", "torch"]


def random_case() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits, teacher = torch.randn(2, 9, 23, generator=generator, dtype=torch.float64) * 3
    return logits, teacher, torch.randint(0, 23, (9,), generator=generator)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, math.inf])
def test_teacher_is_cross_entropy_with_soft_targets(impl: str, beta: float) -> None:
    logits, teacher, target = random_case()
    soft = torch.softmax(teacher / beta, -1)
    expected = 0.7 * F.cross_entropy(logits, target) + 0.3 * F.cross_entropy(logits, soft)
    leaf = logits.clone().requires_grad_()
    options = {"label_smoothing": 0.3, "beta": beta, "teacher_logits": teacher, "impl": impl}
    found = labo_loss(leaf, target, **options)
    torch.testing.assert_close(found.detach(), expected)
    found.backward()
    q = 0.7 * F.one_hot(target, 23).double() + 0.3 * soft
    torch.testing.assert_close(leaf.grad, (torch.softmax(logits, -1) - q) / 9)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_teacher_gets_no_gradient_and_its_entropy_is_reported(impl: str) -> None:
    logits, teacher, target = random_case()
    teacher.requires_grad_()
    leaf = logits.clone().requires_grad_()
    found = token_losses(
        leaf,
        target,
        label_smoothing=0.3,
        beta=1.0,
        teacher_logits=teacher,
        statistics=True,
        impl=impl,
    )
    found.loss.sum().backward()
    assert teacher.grad is None and found.entropy is not None
    expected = torch.distributions.Categorical(logits=teacher.detach()).entropy()
    torch.testing.assert_close(found.entropy, expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_types_that_both_mask_add_nothing(impl: str) -> None:
    logits, teacher, target = random_case()
    logits[:, 5:9] = teacher[:, 5:9] = -math.inf
    target = target % 5
    leaf = logits.clone().requires_grad_()
    options = {"label_smoothing": 0.3, "beta": 1.0, "teacher_logits": teacher, "impl": impl}
    found = labo_loss(leaf, target, **options)
    found.backward()
    assert torch.isfinite(found) and leaf.grad is not None
    assert bool(torch.isfinite(leaf.grad).all()) and not leaf.grad[:, 5:9].any()


def test_teacher_of_another_vocabulary_is_refused() -> None:
    logits, teacher, target = random_case()
    with pytest.raises(ValueError, match=r"must be \[9, 23\].*found \[9, 20\]"):
        labo_loss(logits, target, label_smoothing=0.1, beta=1.0, teacher_logits=teacher[:, :20])


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_argmax(impl: str, alpha: float) -> None:
    logits, _, target = random_case()
    target[3] = -100
    found = token_losses(
        logits, target, label_smoothing=alpha, beta=2.0, argmax=True, impl=impl
    ).argmax
    expected = logits.argmax(1)
    expected[3] = -1
    assert found is not None and torch.equal(found, expected)


@pytest.mark.parametrize("beta", [1.25, 2.0, 3.0, 4.0, math.inf])
@pytest.mark.parametrize("with_teacher", [False, True])
def test_padding_is_left_out_of_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch, beta: float, with_teacher: bool
) -> None:
    """The rows that count are gathered, chunk by chunk; the result is that of each alone."""
    logits, teacher, target = random_case()
    target[[0, 4, 5]] = -100
    monkeypatch.setattr(chunked_rows, "CHUNK_BYTES", 2 * 23 * 8)
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
