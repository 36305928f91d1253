"""impl="triton" against the float64 reference: on the CPU by Triton's interpreter, or on a GPU."""

import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.launches import launches_of
from fairseq_labo.ops import chunked_linear, linear_token_losses, token_losses, triton_loss
from fairseq_labo.ops.reference import dense_token_losses
from fairseq_labo.ops.triton_loss import triton_token_losses, triton_unavailable
from tests.ops.cases import error, random_case
from tests.ops.triton_cases import DTYPES, IGNORED, check, evaluate, settings

BETAS = [0.5, 1.25, 2.0, 3.0, 10.0, 1e4, math.inf]
# What is masked away may be −inf − (−inf) or 0 · inf, of which numpy warns in the interpreter.
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", BETAS)
def test_every_temperature_and_dtype(device: str, dtype: torch.dtype, beta: float) -> None:
    check(*random_case(5, 1003, dtype, device), settings(beta, statistics=True, argmax=True))


@pytest.mark.parametrize("shape", [(1, 2), (7, 3)])
@pytest.mark.parametrize("beta", [1.0, 2.0, 4.0, 1e4, math.inf])
@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_small_shapes(device: str, shape: tuple[int, int], beta: float, alpha: float) -> None:
    check(*random_case(*shape, torch.float32, device), settings(beta, alpha))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [1.25, 2.0, 10.0, math.inf])
def test_several_blocks(device: str, dtype: torch.dtype, beta: float) -> None:
    """V = 5000 is several blocks and a rest; the maximum moves from one block to another."""
    logits, target, upstream = random_case(3, 5000, dtype, device)
    logits += torch.linspace(-4, 4, 5000, device=device).to(dtype)
    check(logits, target, upstream, settings(beta, 0.9, statistics=True, argmax=True))


@pytest.mark.slow
@pytest.mark.parametrize("beta", [4.5, 10.0, 16.0, 16.5, 64.0])
@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 3.0])
def test_the_regularizer_on_either_side_of_the_limit(
    device: str, beta: float, scale: float
) -> None:
    """β log(T/V) up to β = 16, also where T/V is near 1; log1p(X/V) beyond."""
    logits, target, _ = random_case(4, 5003, torch.float32, device)
    chosen = settings(beta, statistics=True)
    exact = dense_token_losses(logits.double() * scale, target, chosen).reg
    found = triton_token_losses(logits * scale, target, chosen).reg
    assert exact is not None and found is not None
    assert error(found, exact) <= 2e-7


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_statistics_do_not_depend_on_the_loss(device: str, alpha: float) -> None:
    case = random_case(4, 300, torch.float32, device)
    plain, gradient = check(*case, settings(2.5, alpha))
    full, same = check(*case, settings(2.5, alpha, statistics=True, argmax=True))
    torch.testing.assert_close((full.loss, same), (plain.loss, gradient), rtol=1e-6, atol=1e-6)
    assert full.reg is not None and full.entropy is not None and plain.argmax is None


def test_the_first_of_equal_maxima_is_the_argmax(device: str) -> None:
    logits, target, upstream = random_case(4, 5000, torch.float32, device)
    for row, entries in enumerate([(0, 4999), (7, 8, 2048), (1024, 1023), (4998, 4999)]):
        logits[row, list(entries)] = 50.0
    found, _ = check(logits, target, upstream, settings(2.0, argmax=True))
    assert found.argmax is not None and found.argmax.tolist() == [0, 7, 1023, 4998]


@pytest.mark.parametrize("beta", [0.5, 2.0, 1e4, math.inf])
def test_logits_of_magnitude_1e4(device: str, beta: float) -> None:
    logits, target, upstream = random_case(5, 1003, torch.float32, device)
    check(
        logits + torch.linspace(-1e4, 1e4, 5, device=device)[:, None],
        target,
        upstream,
        settings(beta, 0.3, statistics=True),
    )


@pytest.mark.parametrize("beta", [0.5, 1e4, math.inf])
def test_masked_entries_take_no_mass(device: str, beta: float) -> None:
    """−inf: a whole first block, one in the middle, all but one, and single entries."""
    logits, target, upstream = random_case(4, 9000, torch.float32, device)
    logits[0, :3000] = -math.inf
    logits[1, 2500:7000] = -math.inf
    logits[2, :8999] = -math.inf
    logits[3, ::3] = -math.inf
    target[:] = 8999
    found, gradient = check(logits, target, upstream, settings(beta, 0.2, statistics=True))
    assert bool(gradient.isfinite().all()) and found.reg is not None
    if beta == math.inf:  # R = H(u, p) is infinite
        assert bool(found.reg.isposinf().all())
    else:
        assert bool(found.reg.isfinite().all()) and not gradient[logits == -math.inf].any()


@pytest.mark.parametrize("with_teacher", [False, True])
@pytest.mark.parametrize("beta", [2.0, 2.5, math.inf])
def test_ignored_rows_are_exactly_0(device: str, beta: float, with_teacher: bool) -> None:
    logits, target, upstream = random_case(6, 1003, torch.float32, device)
    target[[1, 4]] = IGNORED
    logits[1] = upstream[1] = math.nan
    teacher = logits.roll(1, 1) if with_teacher else None
    chosen = settings(beta, 0.2, statistics=True, argmax=True)
    found, gradient = evaluate(triton_token_losses, logits, target, upstream, chosen, teacher)
    kept = target != IGNORED
    for values in (*found[:4], gradient):
        assert values is not None and bool(values.isfinite().all())
        assert not values[~kept].any() and bool(values[kept].flatten().any())
    assert found.argmax is not None and torch.equal(found.argmax >= 0, kept)
    check(
        logits[kept],
        target[kept],
        upstream[kept],
        chosen,
        None if teacher is None else teacher[kept],
    )


@pytest.mark.parametrize("num_tokens", [0, 4])
def test_nothing_but_padding(device: str, num_tokens: int) -> None:
    logits, target, upstream = random_case(num_tokens, 9, torch.float16, device)
    target[:] = IGNORED
    chosen = settings(2.0, statistics=True, argmax=True)
    found, gradient = evaluate(triton_token_losses, logits, target, upstream, chosen)
    assert gradient.shape == (num_tokens, 9) and not gradient.any()
    assert all(x is not None and x.shape == (num_tokens,) for x in found)
    assert not found.loss.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [2.0, math.inf])
def test_confident_model_keeps_its_small_gradient(
    device: str, dtype: torch.dtype, beta: float
) -> None:
    """p_y → 1: the target's entry is a small difference of numbers near 1."""
    logits = torch.zeros(1, 1000, dtype=dtype, device=device)
    logits[0, 3] = 20.0
    case = (torch.tensor([3], device=device), torch.ones(1, device=device), settings(beta))
    exact = evaluate(dense_token_losses, logits.double(), *case)[1][0, 3].item()
    found = evaluate(triton_token_losses, logits, *case)[1][0, 3].item()
    ulp = {torch.float32: 0.0, torch.float16: 2**-11, torch.bfloat16: 2**-7}[dtype]
    # S is 1 and 999 small numbers, which are rounded to 6e-8 wherever they meet the 1.
    assert abs(exact) > 1e-3 and abs(found - exact) <= 8 * 6e-8 + ulp * abs(exact)


def test_unwritten_buffers_are_never_read(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target, upstream = random_case(4, 5000, torch.float16, device)
    target[2] = IGNORED
    chosen = settings(10.0, statistics=True)
    expected = evaluate(triton_token_losses, logits, target, upstream, chosen)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(math.nan))
    found = evaluate(triton_token_losses, logits, target, upstream, chosen)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=0)
    torch.testing.assert_close(found[0][:4], expected[0][:4], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [0.5, 2.0, 10.0, math.inf])
def test_teacher(device: str, dtype: torch.dtype, beta: float) -> None:
    logits, target, upstream = random_case(3, 5000, dtype, device)
    teacher = (logits.flip(1) + torch.linspace(-2, 2, 5000, device=device)).float()
    check(logits, target, upstream, settings(beta, 0.4, statistics=True), teacher)


def test_teacher_and_masked_entries(device: str) -> None:
    """Where the teacher expects nothing, −inf adds nothing to R; where it does, R is infinite."""
    logits, target, upstream = random_case(3, 5000, torch.float32, device)
    teacher = logits.flip(1)
    logits[:2, :2500] = teacher[:2, :2500] = -math.inf
    teacher[1, 2600:] = -math.inf
    logits[2, 17] = -math.inf
    target[:] = 4000
    found, gradient = check(logits, target, upstream, settings(2.0, 0.4, statistics=True), teacher)
    assert found.reg is not None and found.reg.isfinite().tolist() == [True, True, False]
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("with_teacher", [False, True])
def test_rows_apart_in_memory(device: str, with_teacher: bool) -> None:
    """A slice of a wider matrix (aligned or not), and a transposed one."""
    wide, target, upstream = random_case(5, 1016, torch.float32, device)
    tall = wide[:, :1000].t().contiguous().t()
    for logits in (wide[:, :1000], wide[:, 8:1003], wide[:, 3:1003], tall):
        teacher = wide[:, 16 : 16 + logits.size(1)] if with_teacher else None
        check(logits, target % logits.size(1), upstream, settings(2.0), teacher)


def test_one_upstream_gradient_for_all(device: str) -> None:
    """`loss.sum()` hands back one number with stride 0."""
    logits, target, _ = random_case(5, 40, torch.float32, device)
    leaf = logits.requires_grad_()
    triton_token_losses(leaf, target, settings(2.0)).loss.sum().backward()
    expected = evaluate(
        dense_token_losses, logits, target, torch.ones_like(leaf[:, 0]), settings(2.0)
    )[1]
    torch.testing.assert_close(leaf.grad, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [2.0, math.inf])
@pytest.mark.parametrize("vocab_size", [99, pytest.param(4104, marks=pytest.mark.slow)])
def test_the_gradient_may_be_written_over_the_logits(
    device: str, dtype: torch.dtype, beta: float, vocab_size: int
) -> None:
    """The same bits as elsewhere, several blocks and ignored rows among them."""
    logits, target, upstream = random_case(5, vocab_size, dtype, device)
    target[2] = IGNORED
    chosen = settings(beta, statistics=True)
    expected, gradient = evaluate(triton_token_losses, logits, target, upstream, chosen)
    for given in (upstream, 3.0):
        if isinstance(given, float):
            thrice = torch.full_like(upstream, given)
            expected, gradient = evaluate(triton_token_losses, logits, target, thrice, chosen)
        over = logits.clone()
        case = over, target, chosen, None, None
        losses, found = triton_loss.triton_losses_and_gradient(*case, given)
        assert found.data_ptr() == over.data_ptr()
        assert torch.equal(found, gradient)
        for one, other in zip(losses, expected, strict=True):
            assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("summed", [True, False])
def test_fused_with_the_projection(
    device: str, dtype: torch.dtype, summed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks of two rows, beside the loss of logits that are held."""
    monkeypatch.setattr(chunked_linear, "CPU_CHUNK_BYTES", 99 * dtype.itemsize)
    monkeypatch.setattr(chunked_linear, "CUDA_CHUNK_BYTES", 99 * dtype.itemsize)
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(7, 16, generator=generator).to(device, dtype)
    weight = torch.randn(99, 16, generator=generator).to(device, dtype)
    target = torch.tensor([3, 98, 0, IGNORED, 5, 1, 2], device=device)
    target = torch.stack([target, target.roll(1)], 1)[:, 0]  # not contiguous
    options = {"label_smoothing": 0.1, "beta": 2.5, "ignore_index": IGNORED, "statistics": True}
    results = []
    for impl, wide in (("triton", dtype), ("reference", torch.float64)):
        leaves = [x.detach().to(wide).clone().requires_grad_() for x in (hidden, weight)]
        losses = linear_token_losses(*leaves, target, impl=impl, summed=summed, **options)
        losses.loss.sum().backward()
        results.append([losses.loss, losses.nll, losses.entropy, *(x.grad for x in leaves)])
    allowed = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    for found, exact in zip(*results, strict=True):
        assert error(found.detach(), exact.detach()) <= allowed


def test_fused_with_the_projection_it_refuses_what_it_cannot_compute(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for logits that are held: float64 would be computed in float32."""
    hidden, weight = (torch.ones(3, 4, dtype=torch.float64, device=device) for _ in range(2))
    leaf, target = hidden.requires_grad_(), torch.arange(3, device=device)
    options: Any = {"label_smoothing": 0.1, "beta": 2.0, "impl": "triton"}
    for summed in (True, False):
        with pytest.raises(RuntimeError, match=r'impl="triton" cannot run: .*float64'):
            linear_token_losses(leaf, weight, target, summed=summed, **options)
    monkeypatch.setattr(triton_loss, "triton_unavailable", lambda logits: "no Triton")
    with pytest.raises(RuntimeError, match="cannot run: no Triton"):
        linear_token_losses(leaf.float(), weight.float(), target, summed=True, **options)


def test_no_second_derivative(device: str) -> None:
    logits, target, _ = random_case(3, 7, torch.float32, device)
    for leaf in (logits.requires_grad_(), logits.detach().t().contiguous().t().requires_grad_()):
        loss = triton_token_losses(leaf, target, settings(2.0)).loss.sum()
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        with pytest.raises(RuntimeError, match='use impl="reference"'):
            gradient.sum().backward()


def test_only_the_loss_is_differentiable(device: str) -> None:
    logits, target, _ = random_case(3, 7, torch.float32, device)
    teacher = logits.clone().requires_grad_()
    chosen = settings(2.0, statistics=True, argmax=True)
    found = triton_token_losses(logits.requires_grad_(), target, chosen, teacher)
    assert [x is not None and x.requires_grad for x in found] == [True] + [False] * 4
    found.loss.sum().backward()
    assert teacher.grad is None


def test_reasons_not_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_loss, "_triton_installed", lambda: True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "need a CUDA device" in str(triton_unavailable(torch.empty(1, 2)))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert triton_unavailable(torch.empty(1, 2)) is None
    assert "float64" in str(triton_unavailable(torch.empty(1, 2, dtype=torch.float64)))
    monkeypatch.setattr(triton_loss, "_triton_installed", lambda: False)
    with pytest.raises(RuntimeError, match="pip install triton"):
        triton_token_losses(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), settings(2.0))


@pytest.mark.parametrize("target", [99, 203, -1])
def test_a_target_outside_the_vocabulary_is_asserted(device: str, target: int) -> None:
    """In the kernel. (On a GPU the assertion ends the process, so this is for the interpreter.)"""
    if device != "cpu":
        pytest.skip("a device-side assertion would end the tests")
    logits, targets, _ = random_case(3, 99, torch.float32, device)
    triton_token_losses(logits, targets, settings(2.0))
    targets[1] = target
    with pytest.raises(RuntimeError, match="Expected Tensor with single nonzero value"):
        triton_token_losses(logits, targets, settings(2.0))


def test_three_launches_forward_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel, and two for the assertion on the targets, which took seven."""
    calls = []
    kernel = {(4,): lambda *_, **__: calls.append(1)}
    monkeypatch.setattr(triton_loss, "_kernels", lambda: SimpleNamespace(forward_kernel=kernel))
    monkeypatch.setattr(triton_loss, "_on_device", lambda tensor: nullcontext())
    monkeypatch.setattr(
        triton_loss._Lanes, "for_logits", lambda logits: triton_loss._Lanes(1, 1, 1, 1)
    )
    with FakeTensorMode(), torch.no_grad():
        logits = torch.empty(4, 64, device="cuda")
        target = torch.empty(4, dtype=torch.long, device="cuda")
        options: dict[str, Any] = {"label_smoothing": 0.1, "beta": 2.0, "statistics": True}
        launches = launches_of(lambda: token_losses(logits, target, impl="triton", **options))
    assert len(calls) == 1 and launches.total == 2, launches.counts
