"""Properties that the mathematics promises: of the oracle, and of what follows it."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fairseq_labo.ops import labo_loss, labo_targets, token_losses
from fairseq_labo.ops.reference import regularizer

IMPLEMENTATIONS = ["reference", "torch"]
BETAS = [0.5, 1.25, 2.0, 3.0, 4.0, 10.0, 1e4, math.inf]


def random_case(
    *, num_tokens: int = 13, vocab_size: int = 37, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_tokens, vocab_size, generator=generator, dtype=torch.float64) * 3
    return logits, torch.randint(0, vocab_size, (num_tokens,), generator=generator)


def value_and_gradient(loss_of: object, logits: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    loss = loss_of(leaf)  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


@pytest.mark.parametrize("beta", BETAS)
def test_smoothing_distribution_solves_the_inner_problem(beta: float) -> None:
    """P* scores R, and no other of 1,000 distributions on the simplex scores lower."""
    logits, _ = random_case(num_tokens=4, vocab_size=11)
    log_p = torch.log_softmax(logits, dim=-1)

    def inner_objective(distribution: Tensor) -> Tensor:  # [..., V] -> [...]
        cross_entropy = -(distribution * log_p).sum(-1)
        if math.isinf(beta):
            return cross_entropy
        kl = math.log(11) - torch.special.entr(distribution).sum(-1)
        return cross_entropy + beta * kl

    best = labo_targets(logits, beta=beta)
    value = inner_objective(best)  # [4]
    torch.testing.assert_close(value, regularizer(logits, beta))
    if math.isinf(beta):
        torch.testing.assert_close(best, torch.full_like(best, 1 / 11))
        return
    simplex = torch.distributions.Dirichlet(torch.full((11,), 0.5, dtype=torch.float64))
    torch.manual_seed(1)
    far = simplex.sample((500, 4))
    weight = torch.logspace(-6, 0, 500, dtype=torch.float64).view(500, 1, 1)
    near = (1 - weight) * best + weight * simplex.sample((500, 4))
    others = inner_objective(torch.cat([far, near]))  # [1000, 4]
    assert others.shape == (1000, 4)
    assert (others >= value - 1e-12).all()
    assert (others > value).double().mean() > 0.9


def test_second_derivatives_of_the_reference() -> None:
    logits, target = random_case(num_tokens=2, vocab_size=4)
    logits.requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda z: labo_loss(z, target, label_smoothing=0.3, beta=2.0, impl="reference"), (logits,)
    )


def test_backpropagating_through_the_solution_alone_would_be_wrong() -> None:
    """H(P*(z), p) without the KL term has another gradient: the trap that R avoids."""
    logits, _ = random_case(num_tokens=1, vocab_size=6)

    def cross_entropy_only(z: Tensor) -> Tensor:
        return -(torch.softmax(z / 1.1, -1) * torch.log_softmax(z, -1)).sum()

    _, wrong = value_and_gradient(cross_entropy_only, logits)
    _, right = value_and_gradient(lambda z: regularizer(z, 1.1).sum(), logits)
    assert F.cosine_similarity(wrong, right).item() < 0


logit_rows = st.lists(st.floats(-50, 50, allow_nan=False, width=32), min_size=2, max_size=12).map(
    lambda row: torch.tensor([row], dtype=torch.float64)
)


@settings(max_examples=150, deadline=None)
@given(row=logit_rows, beta=st.floats(0.05, 1e6), shift=st.floats(-1e3, 1e3))
def test_bounds_monotony_and_invariance(row: Tensor, beta: float, shift: float) -> None:
    """0 <= R(β) <= R(2β) <= H(u, p), and a shift of the logits changes nothing."""
    target = torch.zeros(1, dtype=torch.long)

    def measured(logits: Tensor, at: float, impl: str) -> float:
        found = token_losses(
            logits, target, label_smoothing=0.5, beta=at, impl=impl, statistics=True
        )
        assert found.reg is not None
        return found.reg.item()

    for impl in IMPLEMENTATIONS:
        reg = measured(row, beta, impl)
        slack = 1e-9 * (1 + abs(reg))
        assert -slack <= reg <= measured(row, 2 * beta, impl) + slack
        assert reg <= measured(row, math.inf, impl) + slack
        assert measured(row + shift, beta, impl) == pytest.approx(reg, rel=1e-7, abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(row=logit_rows)
def test_regularizer_is_a_renyi_confidence_penalty(row: Tensor) -> None:
    """R = β log V − (β−1) H_{1/β}(p), with the Rényi entropy H_s = log Σ p^s / (1−s)."""
    beta = 2.5
    s = 1 / beta
    renyi = torch.logsumexp(s * torch.log_softmax(row, -1), -1) / (1 - s)
    expected = beta * math.log(row.size(1)) - (beta - 1) * renyi
    torch.testing.assert_close(regularizer(row, beta), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_beta_1_is_the_constant_log_v(impl: str) -> None:
    logits, target = random_case()
    found = token_losses(logits, target, label_smoothing=0.5, beta=1.0, impl=impl)
    assert found.reg is not None
    torch.testing.assert_close(found.reg, torch.full_like(found.reg, math.log(logits.size(1))))


def test_small_beta_approaches_the_one_hot_of_the_argmax() -> None:
    logits, _ = random_case()
    expected = F.one_hot(logits.argmax(1), logits.size(1)).double()
    torch.testing.assert_close(labo_targets(logits, beta=1e-4), expected)
