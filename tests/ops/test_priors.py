"""A prior in the place of the uniform distribution: each method against its own definition."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import labo_linear_loss, labo_loss, labo_targets, token_losses
from fairseq_labo.ops.priors import prior_from_counts
from fairseq_labo.ops.reference import regularizer
from tests.ops.test_reference import BETAS, IMPLEMENTATIONS, random_case, value_and_gradient

COUNTS = torch.tensor([0, 0, 7, 3, 1, 0, 9, 2, 0, 5, 1])


@pytest.fixture
def prior() -> Tensor:
    """Of 11 types, 4 of which have no mass; float64."""
    return COUNTS.double() / COUNTS.sum()


def small_case() -> tuple[Tensor, Tensor]:
    """logits [4, 11], float64, and targets, one of them a type without mass."""
    logits, target = random_case(num_tokens=4, vocab_size=11)
    target[0] = 5
    return logits, target


def test_counts_as_priors() -> None:
    assert prior_from_counts("uniform", COUNTS) is None
    unigram, target = (prior_from_counts(name, COUNTS) for name in ("unigram", "target"))
    assert unigram is not None and target is not None
    torch.testing.assert_close(unigram, COUNTS / 28)
    torch.testing.assert_close(target, COUNTS.gt(0) / 7)
    # Counts of a large corpus: the sum of float32 probabilities must still be 1.
    many = torch.randint(0, 2**33, (50_000,), generator=torch.Generator().manual_seed(0))
    large = prior_from_counts("unigram", many)
    assert large is not None and large.dtype == torch.float32
    assert abs(large.double().sum().item() - 1) < 1e-6


@pytest.mark.parametrize("counts", [torch.zeros(3).long(), torch.tensor([1, -1]), COUNTS[None]])
def test_counts_that_are_none(counts: Tensor) -> None:
    with pytest.raises(ValueError, match="expected how often each type occurs"):
        prior_from_counts("unigram", counts)
    with pytest.raises(ValueError, match="one of uniform, unigram, target, found 'bigram'"):
        prior_from_counts("bigram", COUNTS)


@pytest.mark.parametrize("beta", BETAS)
def test_the_inner_problem_is_solved(prior: Tensor, beta: float) -> None:
    """P* scores R, and no other of 1,000 distributions on the same types scores lower."""
    logits, _ = small_case()
    log_p = torch.log_softmax(logits, dim=-1)
    support = prior > 0

    def inner_objective(distribution: Tensor) -> Tensor:  # [..., V] -> [...]
        cross_entropy = -(distribution * log_p).sum(-1)
        if math.isinf(beta):
            return cross_entropy
        kl = torch.special.xlogy(distribution, distribution / prior.where(support, 1.0)).sum(-1)
        return cross_entropy + beta * kl

    best = labo_targets(logits, beta=beta, prior=prior)
    assert not best[:, ~support].any()
    torch.testing.assert_close(best.sum(-1), torch.ones(4, dtype=torch.float64))
    value = inner_objective(best)
    torch.testing.assert_close(value, regularizer(logits, beta, prior))
    if math.isinf(beta):
        assert torch.equal(best, prior.expand(4, 11))
        return
    simplex = torch.distributions.Dirichlet(torch.full((7,), 0.5, dtype=torch.float64))
    torch.manual_seed(1)
    drawn = torch.zeros(1000, 4, 11, dtype=torch.float64)
    drawn[..., support] = simplex.sample((1000, 4))
    weight = torch.cat([torch.ones(500), torch.logspace(-6, 0, 500)]).double().view(-1, 1, 1)
    others = inner_objective((1 - weight) * best + weight * drawn)
    assert (others >= value - 1e-12).all()
    assert (others > value).double().mean() > 0.9


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", BETAS)
def test_the_gradient_is_p_minus_q(prior: Tensor, impl: str, beta: float) -> None:
    logits, target = small_case()
    _, found = value_and_gradient(
        lambda z: labo_loss(
            z, target, label_smoothing=0.3, beta=beta, prior=prior, reduction="sum", impl=impl
        ),
        logits,
    )
    weighted = prior * torch.exp(logits / beta)
    q = 0.3 * weighted / weighted.sum(-1, keepdim=True)
    q[torch.arange(4), target] += 0.7
    torch.testing.assert_close(found, torch.softmax(logits, -1) - q)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", BETAS)
def test_a_uniform_prior_changes_nothing(impl: str, beta: float) -> None:
    logits, target = small_case()
    uniform = torch.full((11,), 1 / 11, dtype=torch.float64)
    options: dict[str, Any] = {"label_smoothing": 0.3, "beta": beta, "statistics": True}
    found, expected = (
        token_losses(logits, target, impl=impl, prior=prior, **options) for prior in (uniform, None)
    )
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", ["unigram", "target"])
def test_beta_inf_is_cross_entropy_with_smoothed_targets(impl: str, name: str) -> None:
    """Unigram and masked label smoothing, as torch computes them from targets [N, V]."""
    logits, target = small_case()
    prior = prior_from_counts(name, COUNTS)
    assert prior is not None
    smoothed = 0.1 * prior.double() + 0.9 * F.one_hot(target, 11)
    expected = value_and_gradient(lambda z: F.cross_entropy(z, smoothed), logits)
    found = value_and_gradient(
        lambda z: labo_loss(z, target, label_smoothing=0.1, beta=math.inf, prior=prior, impl=impl),
        logits,
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_confidence_penalty_is_a_limit(impl: str) -> None:
    """NLL − w H(p) up to a factor and a constant, with β = 1 + δ and α = w/(w + δ)."""
    logits, target = small_case()
    weight, delta = 0.1, 1e-5

    def penalized(z: Tensor) -> Tensor:
        entropy = torch.special.entr(torch.softmax(z, -1)).sum(-1)
        return (F.cross_entropy(z, target, reduction="none") - weight * entropy).sum()

    alpha = weight / (weight + delta)
    _, expected = value_and_gradient(penalized, logits)
    _, found = value_and_gradient(
        lambda z: labo_loss(
            z, target, label_smoothing=alpha, beta=1 + delta, reduction="sum", impl=impl
        ),
        logits,
    )
    torch.testing.assert_close(found / (1 - alpha), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", [0.5, 2.0, 4.0, 10.0, 1e4, math.inf])
def test_gradcheck(prior: Tensor, impl: str, beta: float) -> None:
    logits, target = small_case()
    logits[1, 2] = -math.inf if math.isfinite(beta) else 0.0
    keep = logits.isfinite()

    def loss_of(values: Tensor) -> Tensor:
        z = logits.masked_scatter(keep, values)
        return labo_loss(
            z, target, label_smoothing=0.3, beta=beta, prior=prior, reduction="none", impl=impl
        )

    assert torch.autograd.gradcheck(loss_of, logits[keep].clone().requires_grad_())


@pytest.mark.parametrize("impl", ["reference", "torch", "triton"])
@pytest.mark.parametrize("beta", [0.5, 2.0, 10.0, math.inf])
def test_every_type_that_has_mass_is_masked(
    device: str, prior: Tensor, impl: str, beta: float
) -> None:
    """No P can score a finite H(P, p) there: R is infinite, and nothing is pulled anywhere."""
    logits = torch.randn(2, 11, generator=torch.Generator().manual_seed(3)).to(device)
    weights = prior.float().to(device)
    logits[0, weights > 0] = -math.inf
    leaf = logits.clone().requires_grad_()
    found = token_losses(
        leaf, torch.tensor([5, 5], device=device), label_smoothing=0.25, beta=beta, prior=weights,
        statistics=True, impl=impl,
    )  # fmt: skip
    assert found.reg is not None and found.entropy is not None
    assert found.reg[0] == found.loss[0] == math.inf and found.reg[1].isfinite()
    assert found.entropy.isfinite().all() and found.nll.isfinite().all()
    (gradient,) = torch.autograd.grad(found.loss, leaf, torch.ones(2, device=device))
    expected = torch.softmax(logits[0], -1)
    expected[5] -= 0.75
    if math.isinf(beta):
        expected -= 0.25 * weights
    torch.testing.assert_close(gradient[0], expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_the_projection_takes_a_prior_too(prior: Tensor, impl: str) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(11, 3, generator=generator, dtype=torch.float64)
    target = torch.tensor([0, 2, 5, 9, 10, 4])
    options: dict[str, Any] = {"label_smoothing": 0.3, "beta": 2.5, "prior": prior}
    for reduction in ("none", "sum", "mean"):
        results = []
        for fused in (True, False):
            leaves = [x.clone().requires_grad_() for x in (hidden, weight)]
            loss = (
                labo_linear_loss(*leaves, target, reduction=reduction, impl=impl, **options)
                if fused
                else labo_loss(F.linear(*leaves), target, reduction=reduction, **options)
            )
            results.append([loss, *torch.autograd.grad(loss.sum(), leaves)])
        torch.testing.assert_close(*results)


def loss_with(prior: Any, **options: Any) -> Tensor:
    logits, target = small_case()
    return labo_loss(logits.float(), target, label_smoothing=0.1, beta=2.0, prior=prior, **options)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (torch.ones(10) / 10, ValueError, r"prior must be \[vocab_size\] = \[11\] on cpu, found"),
        (torch.ones(1, 11) / 11, ValueError, r"prior must be \[vocab_size\] = \[11\]"),
        (torch.ones(11), ValueError, "found values from 1 to 1 with the sum 11; divide counts"),
        (torch.ones(11) * math.nan, ValueError, "with the sum nan"),
        (torch.tensor([-1.0, 2.0, *[0.0] * 9]), ValueError, "0 or more, with the sum 1, found"),
        (torch.ones(11).half() / 11, TypeError, "float32 or float64, found torch.float16"),
        (COUNTS, TypeError, "float32 or float64, found torch.int64"),
    ],
)
def test_what_is_no_prior(wrong: Tensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        loss_with(wrong)
    with pytest.raises(kind, match=message):
        labo_targets(torch.zeros(1, 11), beta=2.0, prior=wrong)


def test_a_prior_is_looked_at_again_when_it_was_written_to(prior: Tensor) -> None:
    assert torch.equal(loss_with(prior), loss_with(prior))
    prior[3] += 1.0
    with pytest.raises(ValueError, match="with the sum 2"):
        loss_with(prior)


def test_a_teacher_needs_no_prior(prior: Tensor) -> None:
    with pytest.raises(ValueError, match="from a prior or from a teacher, found both"):
        loss_with(prior, teacher_logits=torch.zeros(4, 11))


@pytest.mark.filterwarnings("error:Converting a tensor with requires_grad")
def test_no_gradient_goes_to_the_prior(prior: Tensor) -> None:
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        for impl in IMPLEMENTATIONS:
            leaf = prior.clone().requires_grad_()
            assert not loss_with(leaf, impl=impl).requires_grad
    finally:
        torch.set_warn_always(always)


def test_a_prior_made_in_inference_mode(prior: Tensor) -> None:
    """It has no version that could tell whether it was written to."""
    with torch.inference_mode():
        made = prior.clone()
    assert torch.equal(loss_with(made), loss_with(prior))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [([0.5, 0.5], "a tensor .*found list"), (torch.eye(11)[0].to_sparse(), "dense tensor, found")],
)
def test_what_is_no_dense_tensor(wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        loss_with(wrong)


def test_counts_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="with the sum nan"):
        prior_from_counts("unigram", torch.tensor([1.0, math.nan]))
    # A list is no tensor, but it will do.
    assert prior_from_counts("target", [1, 0]) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [None, {}, torch.eye(3)[0].to_sparse(), torch.ones(3, device="meta"), [1j, 2.0], ["a"]]
)
def test_counts_that_are_no_numbers(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a dense tensor of numbers, found"):
        prior_from_counts("unigram", wrong)


def test_counts_of_any_kind_of_number() -> None:
    expected = prior_from_counts("unigram", torch.tensor([3, 0, 1]))
    for dtype in (torch.uint8, torch.uint16, torch.uint64, torch.float16, torch.float8_e5m2):
        counts = torch.tensor([3, 0, 1], dtype=torch.float32).to(dtype)
        assert torch.equal(prior_from_counts("unigram", counts), expected)
    with pytest.raises(TypeError, match=r"found ndarray: .*negative"):  # torch's own remedy
        prior_from_counts("unigram", np.arange(3)[::-1])


@pytest.mark.parametrize("beta", [20.0, 1e4, math.inf])
def test_r_keeps_its_digits_with_a_prior(beta: float) -> None:
    """Over many types, where a sum in order, as a matrix product takes it, loses ten times more."""
    generator = torch.Generator().manual_seed(0)
    vocab_size = 32_000
    logits = 2 * torch.randn(16, vocab_size, generator=generator)
    target = torch.randint(0, vocab_size, (16,), generator=generator)
    zipf = 1 / torch.arange(1.0, vocab_size + 1)
    peaked = torch.full((vocab_size,), 0.1)
    peaked[7] = 0.9 * vocab_size
    for weights in (zipf, peaked):
        options: dict[str, Any] = {"label_smoothing": 0.1, "beta": beta}
        options["prior"] = weights / weights.sum()
        exact = token_losses(logits.double(), target, impl="reference", **options).reg
        found = token_losses(logits, target, impl="torch", **options).reg
        assert ((found - exact) / exact).abs().max() < 6e-7


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize(("beta", "limit"), [(1e300, math.inf), (1e-300, 1e-30)])
def test_a_temperature_beyond_float32_is_its_limit(impl: str, beta: float, limit: float) -> None:
    logits, target = small_case()
    found, expected = (
        labo_loss(logits.float(), target, label_smoothing=0.3, beta=each, impl=impl)
        for each in (beta, limit)
    )
    assert torch.equal(found, expected) and found.isfinite()
