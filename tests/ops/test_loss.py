"""The public functions: five words by hand, what equals what, a teacher, and the call."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import labo_linear_loss, labo_loss, labo_targets, token_losses
from tests.ops.test_arguments import loss
from tests.ops.test_reference import BETAS, value_and_gradient
from tests.ops.test_reference import random_case as float64_case

IMPLEMENTATIONS = ["reference", "torch"]


# p = (16, 4, 4, 1, 0) / 25: logits are log-odds, the last word is masked.
LOGITS = torch.tensor(
    [[math.log(16.0), math.log(4.0), math.log(4.0), 0.0, -math.inf]], dtype=torch.float64
)
TARGET = torch.tensor([1])


def test_smoothing_distribution_at_beta_2_is_the_normalized_square_root() -> None:
    # sqrt(16, 4, 4, 1, 0) = (4, 2, 2, 1, 0), which sums to 9.
    expected = torch.tensor([[4.0, 2.0, 2.0, 1.0, 0.0]], dtype=torch.float64) / 9.0
    torch.testing.assert_close(labo_targets(LOGITS, beta=2.0), expected)


def test_smoothing_distribution_at_beta_inf_is_uniform() -> None:
    expected = torch.full((1, 5), 0.2, dtype=torch.float64)
    torch.testing.assert_close(labo_targets(LOGITS, beta=math.inf), expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_loss_at_beta_2(impl: str) -> None:
    # NLL = -log(4/25).  R = log 25 - 2 log(9/5) = log(25 * 25/81) = log(625/81).
    expected = 0.7 * math.log(25 / 4) + 0.3 * math.log(625 / 81)
    found = labo_loss(LOGITS, TARGET, label_smoothing=0.3, beta=2.0, impl=impl)
    assert found.item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_gradient_at_beta_2(impl: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    labo_loss(logits, TARGET, label_smoothing=0.3, beta=2.0, impl=impl).backward()
    p = [16 / 25, 4 / 25, 4 / 25, 1 / 25, 0.0]
    target = [0.3 * 4 / 9, 0.7 + 0.3 * 2 / 9, 0.3 * 2 / 9, 0.3 * 1 / 9, 0.0]
    expected = torch.tensor([[a - b for a, b in zip(p, target, strict=True)]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_statistics(impl: str) -> None:
    found = token_losses(LOGITS, TARGET, label_smoothing=0.3, beta=2.0, impl=impl, statistics=True)
    assert found.nll.item() == pytest.approx(math.log(25 / 4), rel=1e-14)
    assert found.reg is not None and found.entropy is not None
    assert found.reg.item() == pytest.approx(math.log(625 / 81), rel=1e-14)
    # H = log 9 - (4 log 4 + 2 log 2 + 2 log 2) / 9
    entropy = math.log(9) - (4 * math.log(4) + 4 * math.log(2)) / 9
    assert found.entropy.item() == pytest.approx(entropy, rel=1e-14)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_smoothed_table_of_label_smoothing(impl: str) -> None:
    """β = inf on four words: the gradient is p minus (0.025 everywhere, 0.9 more on y)."""
    logits = LOGITS[:, :4].clone().requires_grad_()
    labo_loss(logits, TARGET, label_smoothing=0.1, beta=math.inf, impl=impl).backward()
    p = torch.tensor([[16.0, 4.0, 4.0, 1.0]], dtype=torch.float64) / 25
    smoothed = torch.tensor([[0.025, 0.925, 0.025, 0.025]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, p - smoothed)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_alpha_0_is_cross_entropy(impl: str, reduction: str) -> None:
    logits, target = float64_case()
    target[3] = -100
    ours = value_and_gradient(
        lambda z: labo_loss(
            z, target, label_smoothing=0.0, beta=2.0, reduction=reduction, impl=impl
        ),
        logits,
    )
    torchs = value_and_gradient(lambda z: F.cross_entropy(z, target, reduction=reduction), logits)
    torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_beta_inf_is_torch_label_smoothing(impl: str) -> None:
    logits, target = float64_case()
    ours = value_and_gradient(
        lambda z: labo_loss(z, target, label_smoothing=0.1, beta=math.inf, impl=impl), logits
    )
    torchs = value_and_gradient(lambda z: F.cross_entropy(z, target, label_smoothing=0.1), logits)
    torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_beta_inf_is_fairseq_label_smoothing(impl: str, epsilon: float) -> None:
    module = pytest.importorskip("fairseq.criterions.label_smoothed_cross_entropy")
    logits, target = float64_case()
    target[2] = 1  # fairseq's padding index
    vocab_size = logits.size(1)

    def fairseqs(z: Tensor) -> Tensor:
        lprobs = torch.log_softmax(z, dim=-1)
        return module.label_smoothed_nll_loss(lprobs, target, epsilon, ignore_index=1)[0]

    ours = value_and_gradient(
        lambda z: labo_loss(
            z,
            target,
            label_smoothing=epsilon * vocab_size / (vocab_size - 1),
            beta=math.inf,
            ignore_index=1,
            reduction="sum",
            impl=impl,
        ),
        logits,
    )
    torch.testing.assert_close(ours, value_and_gradient(fairseqs, logits))


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", BETAS)
def test_gradient_is_p_minus_q(impl: str, beta: float) -> None:
    logits, target = float64_case()
    upstream = torch.linspace(-2, 3, logits.size(0), dtype=torch.float64)
    _, gradient = value_and_gradient(
        lambda z: labo_loss(
            z, target, label_smoothing=0.3, beta=beta, reduction="none", impl=impl
        ).dot(upstream),
        logits,
    )
    q = 0.7 * F.one_hot(target, logits.size(1)).double() + 0.3 * labo_targets(logits, beta=beta)
    expected = (torch.softmax(logits, -1) - q) * upstream.unsqueeze(1)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient.sum(1), torch.zeros_like(upstream), rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.9])
def test_gradcheck(impl: str, beta: float, alpha: float) -> None:
    logits, target = float64_case(num_tokens=3, vocab_size=5)
    target[1] = -100
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: labo_loss(
            z, target, label_smoothing=alpha, beta=beta, reduction="none", impl=impl
        ),
        (logits,),
    )


def teacher_case() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits, teacher = torch.randn(2, 9, 23, generator=generator, dtype=torch.float64) * 3
    return logits, teacher, torch.randint(0, 23, (9,), generator=generator)


@pytest.mark.parametrize("impl", [*IMPLEMENTATIONS, "triton"])
@pytest.mark.parametrize("beta", [1e31, math.inf])
def test_a_teacher_at_an_infinite_temperature_is_uniform(
    impl: str, beta: float, device: str
) -> None:
    """Also over the types that it masks: softmax(z / β) would be NaN there."""
    logits, teacher, target = (x.to(device) for x in teacher_case())
    teacher[:, :3] = -math.inf
    found = []
    for given in (teacher, None):
        leaf = logits.float().requires_grad_()
        options = {"label_smoothing": 0.3, "beta": beta, "teacher_logits": given, "impl": impl}
        loss = labo_loss(leaf, target, **options)
        loss.backward()
        found.append([loss.detach(), leaf.grad])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, math.inf])
def test_teacher_is_cross_entropy_with_soft_targets(impl: str, beta: float) -> None:
    logits, teacher, target = teacher_case()
    soft = torch.softmax(teacher / beta, -1)
    expected = 0.7 * F.cross_entropy(logits, target) + 0.3 * F.cross_entropy(logits, soft)
    leaf = logits.clone().requires_grad_()
    options = {"label_smoothing": 0.3, "beta": beta, "teacher_logits": teacher, "impl": impl}
    found = labo_loss(leaf, target, **options)
    torch.testing.assert_close(found.detach(), expected)
    found.backward()
    q = 0.7 * F.one_hot(target, 23).double() + 0.3 * soft
    torch.testing.assert_close(leaf.grad, (torch.softmax(logits, -1) - q) / 9)


@pytest.mark.parametrize("impl", [*IMPLEMENTATIONS, "triton"])
def test_a_type_that_the_student_masks_and_the_teacher_does_not(impl: str, device: str) -> None:
    """The loss of its row is infinite, also beside one whose masked type the teacher masks, too."""
    logits = torch.tensor([[1.0, 2.0, -math.inf]] * 3, device=device)
    teacher = torch.tensor([[0.0] * 3, [0.0, 0.0, -math.inf], [-math.inf, 0.0, 0.0]], device=device)
    found = labo_loss(
        logits, torch.tensor([0, 0, 1], device=device), label_smoothing=0.5, beta=1.0,
        teacher_logits=teacher, impl=impl, reduction="none",
    )  # fmt: skip
    log_p = torch.log_softmax(logits[1, :2], 0)
    expected = -0.5 * log_p[0] - 0.5 * log_p.mean()
    assert found[0].isposinf() and found[2].isposinf()
    torch.testing.assert_close(found[1], expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_teacher_gets_no_gradient_and_its_entropy_is_reported(impl: str) -> None:
    logits, teacher, target = teacher_case()
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
def test_entries_that_both_mask_add_nothing(impl: str) -> None:
    logits, teacher, target = teacher_case()
    logits[:, 5:9] = teacher[:, 5:9] = -math.inf
    target = target % 5
    leaf = logits.clone().requires_grad_()
    options = {"label_smoothing": 0.3, "beta": 1.0, "teacher_logits": teacher, "impl": impl}
    found = labo_loss(leaf, target, **options)
    found.backward()
    assert torch.isfinite(found) and leaf.grad is not None
    assert bool(torch.isfinite(leaf.grad).all()) and not leaf.grad[:, 5:9].any()


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_argmax(impl: str, alpha: float) -> None:
    logits, _, target = teacher_case()
    target[3] = -100
    found = token_losses(
        logits, target, label_smoothing=alpha, beta=2.0, argmax=True, impl=impl
    ).argmax
    expected = logits.argmax(1)
    expected[3] = -1
    assert found is not None and torch.equal(found, expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_int32_targets_and_non_contiguous_logits(impl: str) -> None:
    logits = torch.randn(5, 3).T
    target = torch.tensor([0, 4, 2])
    expected = loss(logits=logits.contiguous(), target=target, impl=impl)
    torch.testing.assert_close(loss(logits=logits, target=target.int(), impl=impl), expected)
    assert not logits.is_contiguous()


@pytest.mark.parametrize(("number", "ignore_index"), [(156, -100), (255, -1), (7, 7)])
def test_uint8_targets(number: int, ignore_index: int) -> None:
    """In uint8 itself 156 is -100, and 255 is -1."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(4, 3), torch.randn(300, 3)
    target = torch.tensor([number, 3, 7, number])
    options: Any = {"label_smoothing": 0.1, "beta": 4.0, "ignore_index": ignore_index}
    small = target.to(torch.uint8)
    expected = labo_loss(hidden @ weight.T, target, **options)
    torch.testing.assert_close(labo_loss(hidden @ weight.T, small, **options), expected)
    torch.testing.assert_close(labo_linear_loss(hidden, weight, small, **options), expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_logits_used_twice_accumulate(impl: str) -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    once = torch.autograd.grad(loss(logits=logits, impl=impl), logits)[0]
    twice = loss(logits=logits, impl=impl) + loss(logits=logits, impl=impl)
    torch.testing.assert_close(torch.autograd.grad(twice, logits)[0], 2 * once)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_half_precision_logits_give_a_float32_loss(impl: str) -> None:
    assert loss(logits=torch.randn(3, 5).half(), impl=impl).dtype == torch.float32
    assert loss(logits=torch.randn(3, 5).double(), impl=impl).dtype == torch.float64


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_autocast_does_not_change_the_arithmetic(impl: str) -> None:
    logits = torch.randn(3, 5)
    expected = loss(logits=logits, impl=impl)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits=logits, impl=impl)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_no_grad(impl: str) -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    with torch.no_grad():
        assert not loss(logits=logits, impl=impl).requires_grad


def test_mean_is_over_the_tokens_that_count() -> None:
    logits, target = torch.randn(3, 5), torch.tensor([0, -100, 2])
    expected = F.cross_entropy(logits, target)
    torch.testing.assert_close(loss(logits=logits, target=target, label_smoothing=0.0), expected)


@pytest.mark.parametrize("impl", ["auto", "torch"])
def test_transforms_of_functions_need_the_reference(impl: str) -> None:
    logits, target = torch.randn(3, 5, dtype=torch.float64), torch.tensor([0, 1, 4])

    def loss(z: Tensor, impl: str) -> Tensor:
        return labo_loss(z, target, label_smoothing=0.1, beta=2.0, impl=impl)

    with pytest.raises(RuntimeError, match=r'torch\.func .* must be "reference", found'):
        torch.func.grad(loss)(logits, impl)
    leaf = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf, "torch"), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(logits, "reference"), expected)
