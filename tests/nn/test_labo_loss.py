"""`LaboLoss` beside torch's CrossEntropyLoss and the reference."""

import itertools
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairseq_labo.nn import LaboLoss
from fairseq_labo.ops import labo_loss

# Shapes of logits: one example, a batch, sequences, images; V = 5.
SHAPES = [(5,), (7, 5), (3, 5, 4), (2, 5, 3, 4)]
IGNORED = 9


def batch(shape: tuple[int, ...], *, ignore: bool = False) -> tuple[Tensor, Tensor]:
    """Logits of that shape (float64, with gradient) and targets."""
    generator = torch.Generator().manual_seed(len(shape))
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    target_shape = shape[:1] + shape[2:] if len(shape) > 1 else ()
    target = torch.randint(0, 5, target_shape, generator=generator)
    if ignore:
        target.view(-1)[1::3] = IGNORED
    return logits.requires_grad_(), target


def value_and_gradient(loss: nn.Module, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """With an upstream gradient that is not uniform."""
    value = loss(logits, target)
    upstream = torch.linspace(0.5, 2, value.numel(), dtype=value.dtype).view(value.shape)
    (gradient,) = torch.autograd.grad(value, logits, upstream)
    return value.detach(), gradient


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_uniform_equals_torch(shape: tuple[int, ...], reduction: str, smoothing: float) -> None:
    """β = inf is CrossEntropyLoss(label_smoothing=α), in shape, value and gradient."""
    common: dict[str, Any] = {"ignore_index": IGNORED, "reduction": reduction}
    ours = LaboLoss(label_smoothing=smoothing, beta=math.inf, **common)
    theirs = nn.CrossEntropyLoss(label_smoothing=smoothing, **common)
    logits, target = batch(shape, ignore=len(shape) > 1)
    for found, expected in zip(
        value_and_gradient(ours, logits, target),
        value_and_gradient(theirs, logits, target),
        strict=True,
    ):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("teacher", [False, True])
def test_each_position_is_the_reference(shape: tuple[int, ...], teacher: bool) -> None:
    """Position by position, against the dense formulas: no dimension is mixed up."""
    logits, target = batch(shape)
    taught = torch.roll(logits.detach(), 1, dims=min(1, len(shape) - 1)) if teacher else None
    criterion = LaboLoss(label_smoothing=0.3, beta=2.5, teacher_temperature=1.7, reduction="none")
    found = criterion(logits, target, taught)
    assert found.shape == target.shape

    def vector(tensor: Tensor, position: tuple[int, ...]) -> Tensor:
        return tensor[(*position[:1], slice(None), *position[1:])].unsqueeze(0)  # [1, V]

    for position in itertools.product(*map(range, target.shape)):
        expected = labo_loss(
            vector(logits, position),
            target[position].view(1),
            label_smoothing=0.3,
            beta=2.5 if taught is None else 1.7,
            teacher_logits=None if taught is None else vector(taught, position),
            impl="reference",
        )
        torch.testing.assert_close(found[position], expected, rtol=1e-12, atol=1e-12)


def test_gradcheck_of_images() -> None:
    logits, target = batch((2, 5, 3, 2), ignore=True)
    loss = LaboLoss(label_smoothing=0.3, beta=2.0, ignore_index=IGNORED)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)


def test_settings_show_and_nothing_is_saved() -> None:
    loss = LaboLoss(label_smoothing=0.2, beta=math.inf, reduction="sum")
    assert repr(loss) == (
        "LaboLoss(label_smoothing=0.2, beta=inf, ignore_index=-100, reduction='sum', impl='auto')"
    )
    assert not loss.state_dict() and not list(loss.parameters())


def test_autocast_and_half_precision() -> None:
    logits, target = batch((3, 5, 4))
    half = logits.detach().to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LaboLoss()(half, target)
    assert value.dtype == torch.float32
    value.backward()
    assert half.grad is not None and half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(
        value.double(), LaboLoss()(half.detach().double(), target), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"label_smoothing": 1.0}, "in \\[0, 1\\), found 1.0"),
        ({"beta": 0.0}, "above 0 .* found 0.0"),
        ({"reduction": "average"}, "none, sum, mean, found 'average'"),
        ({"teacher_temperature": math.inf}, "teacher_temperature must be .* found inf"),
        ({"teacher_temperature": 1e31}, "teacher_temperature must be .* found 1e\\+31"),
        ({"teacher_temperature": 0.0}, "teacher_temperature must be .* found 0.0"),
    ],
)
def test_refused_settings(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        LaboLoss(**arguments)


@pytest.mark.parametrize(
    ("logits", "target", "teacher", "match"),
    [
        ((4, 5), (5,), None, r"shape \[4\] for logits of shape \[4, 5\] .* found .*\[5\]"),
        ((4, 5, 3), (4,), None, r"shape \[4, 3\] for logits .* found shape \[4\]"),
        ((3, 4, 5), (3, 4), None, r"classes along dimension 1"),  # classes last: not torch's way
        ((4, 5), (4, 5), None, r"class numbers of shape \[4\]"),  # probabilities
        ((), (), None, "found a scalar"),
        ((2, 0), (2,), None, r"at least 2 classes, found none in shape \[2, 0\]"),
        ((2, 0, 3), (2, 3), None, "at least 2 classes, found none"),
        ((0,), (), None, "at least 2 classes, found none"),
        ((4, 5), (4,), (4, 6), r"shape of logits \[4, 5\], found \[4, 6\]"),
    ],
)
def test_refused_shapes(
    logits: tuple[int, ...], target: tuple[int, ...], teacher: tuple[int, ...] | None, match: str
) -> None:
    taught = None if teacher is None else torch.zeros(teacher)
    with pytest.raises(ValueError, match=match):
        LaboLoss()(torch.zeros(logits), torch.zeros(target, dtype=torch.int64), taught)


def test_refused_targets() -> None:
    with pytest.raises(TypeError, match="vocabulary indices"):
        LaboLoss()(torch.zeros(4, 5), torch.zeros(4))
    with pytest.raises(IndexError, match="target 5 is outside"):
        LaboLoss()(torch.zeros(1, 5, 1), torch.full((1, 1), 5))


def test_a_prior_follows_the_logits_and_is_no_parameter() -> None:
    loss = LaboLoss(beta=math.inf, prior=torch.nn.Parameter(torch.tensor([0.25, 0.75])))
    assert not loss.state_dict() and not list(loss.parameters())
    expected = nn.functional.cross_entropy(torch.zeros(1, 2), torch.tensor([[0.925, 0.075]]))
    assert loss(torch.zeros(1, 2), torch.tensor([0])) == pytest.approx(expected.item())
    assert "prior=[2]" in repr(loss)


def test_a_prior_that_is_no_tensor() -> None:
    prior: Any = [0.25, 0.75]
    with pytest.raises(TypeError, match=r"prior must be a tensor \[num_classes\], found list"):
        LaboLoss(prior=prior)


@pytest.mark.parametrize("name", ["beta", "label_smoothing", "teacher_temperature"])
def test_a_number_that_would_be_learned_is_refused(name: str) -> None:
    """It would get no gradient."""
    learned = torch.tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match=f"{name} gets no gradient"):
        LaboLoss(**{name: learned})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"beta": 1.0}, "has no effect"),
        ({"beta": 0.5}, "rewards confidence"),
        ({"beta": 0.5, "prior": torch.full((4,), 0.25)}, "rewards confidence"),
        ({"beta": 1.0, "prior": torch.full((4,), 0.25)}, None),
        ({"beta": 0.5, "label_smoothing": 0.0}, None),
        ({"teacher_temperature": 0.5}, None),
    ],
)
def test_warnings_of_beta(settings: dict[str, Any], match: str | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LaboLoss(**settings)
    said = [str(each.message) for each in caught]
    assert len(said) == 0 if match is None else match in said[0]


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"impl": "cuda"}, ValueError, "impl must be one of auto, reference, torch, triton, found"),
        ({"ignore_index": None}, TypeError, "ignore_index must be a whole number, found None; -10"),
    ],
)
def test_wrong_settings_are_refused_at_once(
    settings: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        LaboLoss(**settings)


def test_what_is_no_tensor_is_refused_by_name() -> None:
    """As the tuple that a model of transformers returns."""
    logits, target, found = torch.zeros(2, 4), torch.tensor([0, 1]), "must be a tensor, found tuple"
    output: Any = (logits,)
    with pytest.raises(TypeError, match=f"^logits {found}: .*[.]logits"):
        LaboLoss()(output, target)
    with pytest.raises(TypeError, match=f"^teacher_logits {found}: .*[.]logits"):
        LaboLoss()(logits, target, output)
    with pytest.raises(TypeError, match=f"^target {found}$"):
        LaboLoss()(logits, output)


def test_a_loss_that_was_pickled_before_there_were_priors() -> None:
    old = LaboLoss(label_smoothing=0.2, beta=2.0)
    del old.prior, old.__dict__["teacher_temperature"]
    logits, target = torch.randn(3, 4), torch.tensor([0, 1, 2])
    expected = LaboLoss(label_smoothing=0.2, beta=2.0)
    torch.testing.assert_close(old(logits, target), expected(logits, target))
    assert repr(old) == repr(expected)


def test_a_prior_that_came_in_inference_mode_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when a validation comes first: on a GPU each look waits for it."""
    criterion = LaboLoss(label_smoothing=0.1, beta=2.0, prior=torch.full((4,), 0.25, device="meta"))
    to = Tensor.to

    def moved(self: Tensor, *where: Any, **options: Any) -> Tensor:
        return torch.full((4,), 0.25) if self.is_meta else to(self, *where, **options)

    monkeypatch.setattr(Tensor, "to", moved)
    with torch.inference_mode():
        criterion(torch.zeros(2, 4), torch.tensor([0, 1]))
    assert criterion.prior is not None and not criterion.prior.is_inference()
