"""Arithmetic of the kernels in `ops.triton_kernels`, whose symbols these functions share."""

import triton
import triton.language as tl

# What P is: not needed, uniform (β = inf), softmax(z/β), or softmax(teacher's logits/β).
PLAIN = tl.constexpr(0)
UNIFORM = tl.constexpr(1)
LABO = tl.constexpr(2)
TEACHER = tl.constexpr(3)

LOG2E = tl.constexpr(1.4426950408889634)
NEGATIVE_INFINITY = tl.constexpr(float("-inf"))


@triton.jit
def power_or_exp(e: tl.tensor, x: tl.tensor, POWER: tl.constexpr) -> tl.tensor:
    """exp(x) of e = exp(x/β): e^POWER if β = POWER, an exponential of its own if POWER = 0."""
    if POWER == 0:
        result = tl.exp2(x * LOG2E)
    elif POWER == 1:
        result = e
    elif POWER == 2:
        result = e * e
    elif POWER == 3:
        result = e * e * e
    else:
        result = (e * e) * (e * e)
    return result


@triton.jit
def expm1(x: tl.tensor, exp: tl.tensor) -> tl.tensor:
    """exp(x) − 1 for x <= 0: near 0 by Taylor's series, whose rest is below 2e-8 at −1/2.

    `exp` is exp(x), which is at hand where this is asked for.
    """
    series = 1.0 + x * (1.0 / 8)
    series = 1.0 + x * (1.0 / 7) * series
    series = 1.0 + x * (1.0 / 6) * series
    series = 1.0 + x * (1.0 / 5) * series
    series = 1.0 + x * (1.0 / 4) * series
    series = 1.0 + x * (1.0 / 3) * series
    series = 1.0 + x * (1.0 / 2) * series
    return tl.where(x > -0.5, x * series, exp - 1.0)


@triton.jit
def log1p(x: tl.tensor) -> tl.tensor:
    """log(1 + x) for −1/2 < x <= 0, as 2 artanh(s): s² <= 1/9, so the series ends early."""
    s = x / (2.0 + x)
    q = s * s
    series = 1.0 / 13 + q * (1.0 / 15)
    series = 1.0 / 11 + q * series
    series = 1.0 / 9 + q * series
    series = 1.0 / 7 + q * series
    series = 1.0 / 5 + q * series
    series = 1.0 / 3 + q * series
    return 2.0 * s * (1.0 + q * series)


@triton.jit
def shift_of(old: tl.tensor, new: tl.tensor) -> tl.tensor:
    """δ = old − new, or 0 where nothing finite was seen yet (then all sums fit any maximum)."""
    return tl.where(old > NEGATIVE_INFINITY, old - new, 0.0)


@triton.jit
def finite(m: tl.tensor) -> tl.tensor:
    """m, or 0 for the maximum of masked entries only: −inf − 0 is −inf, −inf − (−inf) is NaN."""
    return tl.where(m > NEGATIVE_INFINITY, m, 0.0)


@triton.jit
def rescaled(
    S: tl.tensor,
    T: tl.tensor,
    X: tl.tensor,
    H: tl.tensor,
    M: tl.tensor,
    seen: tl.tensor,
    shift: tl.tensor,
    smoothing_shift: tl.tensor,
    inverse_beta: tl.tensor,
    MODE: tl.constexpr,
    POWER: tl.constexpr,
    BY_EXPM1: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """All sums of a lane under its new maxima: the formulas of the module's docstring.

    `shift` is δ of the logits, `smoothing_shift` that of the logits that P is made of. M is the sum
    W with a teacher. Sums that a mode does not need pass through, and the compiler drops them.
    """
    if MODE == PLAIN:
        S *= tl.exp2(shift * LOG2E)
    elif MODE == UNIFORM:
        S *= tl.exp2(shift * LOG2E)
        M += seen * shift
    else:
        scale = tl.exp2(smoothing_shift * (inverse_beta * LOG2E))
        S *= power_or_exp(scale, shift, POWER)
        H = (H + smoothing_shift * T) * scale
        if MODE == TEACHER:
            # W = −inf (a masked token that the teacher expects) must not become NaN.
            M = tl.where(scale > 0.0, (M + shift * T) * scale, 0.0)
        if BY_EXPM1:
            X = X * scale + seen * expm1(smoothing_shift * inverse_beta, scale)
        T *= scale
    return S, T, X, H, M


@triton.jit
def log_smoothing_potential(
    T: tl.tensor,
    X: tl.tensor,
    M: tl.tensor,
    beta: tl.tensor,
    VOCAB: tl.constexpr,
    MODE: tl.constexpr,
    BY_EXPM1: tl.constexpr,
) -> tl.tensor:
    """log S − R of a row: β log(T/V), M/V, or W/T."""
    if MODE == LABO:
        result = tl.log(T / VOCAB)
        if BY_EXPM1:
            flat = X / VOCAB > -0.5
            result = tl.where(flat, log1p(tl.where(flat, X / VOCAB, 0.0)), result)
        result *= beta
    else:
        result = M / T
    return result
