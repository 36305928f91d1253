"""Triton kernels of the loss: one read of the logits forward, one read and one write backward.

One program computes one row. Per row, with m = max z, x = z − m, e = exp(x/β)::

    S = Σ exp(x)      T = Σ e      X = Σ expm1(x/β)      H = Σ x e      M = Σ x
    −log p_y = log S − x_y
    R        = log S − β log(T/V)   log1p(X/V) where T/V is near 1 and β magnifies its error
    H(P*)    = log T − H/(β T)
    β = inf:   R = log S − M/V
    prior:     T = Σ π e,  X = Σ π expm1(x/β),  H = Σ π e (x + β log π),  M = Σ π x,  and V is 1
    teacher:   e and T of the teacher's logits t, W = Σ e x,   R = log S − W/T,   P = e/T
    ∂L/∂z    = g (p − α P − (1 − α) e_y),   p = exp(x)/S

α is `label_smoothing`; `smoothing_...` belongs to the logits that P is made of, z or t.

Forward keeps these sums per *lane*: the row is dealt out to LANES lanes, STEPS entries to each
at a time, and each lane has a maximum of its own. When that rises by −δ, that is x' = x + δ, then::

    S' = exp(δ) S                    T' = exp(δ/β) T
    M' = M + n δ                     X' = exp(δ/β) X + n expm1(δ/β)
    H' = exp(δ/β) (H + δ T)          W' = W + δ T  (the student's δ, T unchanged)

where n counts the entries that the lane has seen; with a prior it is the sum of their π. So no
thread waits for another before the end of the row, where the lanes are brought to the row's maximum
by the same formulas.

exp(x/β) is shared by S and T, so under a prior it is relative to the row's maximum, not to that of
the types that have mass. Where those lie so far below it that T would lose digits, forward takes a
second look at the row, and sums T, X and H relative to their own maximum.

Layout: a lane's STEPS entries are neighbours in memory and fill one 16-byte access
(LANE_STRIDE = STEPS, STEP_STRIDE = 1) where rows are aligned; elsewhere neighbouring lanes read
neighbouring entries (LANE_STRIDE = 1, STEP_STRIDE = LANES). Either way a thread owns its lanes.

Triton 3.6 and 3.7 at least miscompile a sum that its loop also reads, if what is summed is loaded
as it is: the loop then reads 0 (issue 11836 of triton-lang/triton). n under a prior is such a sum;
a `where` that changes nothing keeps it from that.
"""

import triton
import triton.language as tl

from fairseq_labo.ops.triton_math import (
    LABO,
    LOG2E,
    NEGATIVE_INFINITY,
    PLAIN,
    TEACHER,
    UNIFORM,
    expm1,
    finite,
    log_smoothing_potential,
    power_or_exp,
    rescaled,
    shift_of,
)

# Of T, by which a sum that has underflowed is known: single terms may lose digits below 1e-38.
SMALLEST_WEIGHTED_SUM = tl.constexpr(1e-30)


@triton.jit
def forward_kernel(
    logits_ptr: tl.tensor,  # [N, V]
    teacher_ptr: tl.tensor,  # [N, V]
    prior_ptr: tl.tensor,  # π [V], float32
    prior_log_ptr: tl.tensor,  # π log π [V], float32
    target_ptr: tl.tensor,  # [N]; so are the five results
    loss_ptr: tl.tensor,
    nll_ptr: tl.tensor,
    reg_ptr: tl.tensor,
    entropy_ptr: tl.tensor,
    argmax_ptr: tl.tensor,
    saved_ptr: tl.tensor,  # [N, 4]: m, S, T, the maximum that T is relative to
    valid_ptr: tl.tensor,  # one number, which becomes 0 if a target is outside the vocabulary
    ignore_index: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    inverse_beta: tl.tensor,  # divided on the host: the GPU's division is not exact
    LOGITS_STRIDE: tl.constexpr,
    TEACHER_STRIDE: tl.constexpr,
    VOCAB: tl.constexpr,
    MODE: tl.constexpr,
    PRIOR: tl.constexpr,
    POWER: tl.constexpr,
    BY_EXPM1: tl.constexpr,
    IN_LOSS: tl.constexpr,
    ENTROPY: tl.constexpr,
    ARGMAX: tl.constexpr,
    LANES: tl.constexpr,
    STEPS: tl.constexpr,
    LANE_STRIDE: tl.constexpr,
    STEP_STRIDE: tl.constexpr,
) -> None:
    """The loss of one row and its parts; zeros, without a look at the logits, if it is ignored."""
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(target_ptr + row)
    if y == ignore_index:
        tl.store(loss_ptr + row, 0.0)
        tl.store(nll_ptr + row, 0.0)
        if MODE != PLAIN:
            tl.store(reg_ptr + row, 0.0)
        if ENTROPY:
            tl.store(entropy_ptr + row, 0.0)
        if ARGMAX:
            tl.store(argmax_ptr + row, -1)
        return
    if (y < 0) | (y >= VOCAB):
        tl.store(valid_ptr, 0)
        return
    logits_ptr += row * LOGITS_STRIDE
    target_logit = tl.load(logits_ptr + y).to(tl.float32)
    lanes = tl.arange(0, LANES)
    offsets = lanes[:, None] * LANE_STRIDE + tl.arange(0, STEPS)[None, :] * STEP_STRIDE
    rate = inverse_beta * LOG2E

    m = tl.full([LANES], NEGATIVE_INFINITY, tl.float32)
    smoothing_m = m
    S = tl.zeros([LANES], tl.float32)
    T, X, H, M = S, S, S, S
    if PRIOR:
        seen = S
    best = tl.zeros([LANES], tl.int32)
    for start in range(0, VOCAB, LANES * STEPS):
        columns = start + offsets  # [LANES, STEPS]
        inside = columns < VOCAB
        z = tl.load(logits_ptr + columns, mask=inside, other=NEGATIVE_INFINITY).to(tl.float32)
        highest = tl.max(z, 1)
        if ARGMAX:
            first = tl.min(tl.where(z == highest[:, None], columns, VOCAB), 1)
            best = tl.where(highest > m, first, best)
        new_m = tl.maximum(m, highest)
        shift = shift_of(m, new_m)
        smoothing_shift = shift
        m = new_m
        x = z - finite(m)[:, None]
        smoothing_x = x
        if MODE == TEACHER:
            t_ptr = teacher_ptr + row * TEACHER_STRIDE + columns
            t = tl.load(t_ptr, mask=inside, other=NEGATIVE_INFINITY).to(tl.float32)
            new_m = tl.maximum(smoothing_m, tl.max(t, 1))
            smoothing_shift = shift_of(smoothing_m, new_m)
            smoothing_m = new_m
            smoothing_x = t - finite(smoothing_m)[:, None]
        if not PRIOR:
            seen = start / LANES  # entries per lane so far
        S, T, X, H, M = rescaled(
            S, T, X, H, M, seen, shift, smoothing_shift, inverse_beta, MODE, POWER, BY_EXPM1
        )
        if MODE == PLAIN:
            S += tl.sum(tl.exp2(x * LOG2E), 1)
        elif MODE == UNIFORM:
            S += tl.sum(tl.exp2(x * LOG2E), 1)
            if PRIOR:
                pi = tl.load(prior_ptr + columns, mask=inside, other=0.0)
                M += tl.sum(tl.where(pi > 0.0, pi * x, 0.0), 1)
                seen += tl.sum(tl.where(inside, pi, 0.0), 1)
                if ENTROPY:
                    H += tl.sum(tl.load(prior_log_ptr + columns, mask=inside, other=0.0), 1)
            else:
                M += tl.sum(tl.where(inside, x, 0.0), 1)
        else:
            e = tl.exp2(smoothing_x * rate)
            S += tl.sum(power_or_exp(e, x, POWER), 1)
            if BY_EXPM1:
                e_minus_1 = expm1(smoothing_x * inverse_beta, e)
            if PRIOR:
                pi = tl.load(prior_ptr + columns, mask=inside, other=0.0)
                if ENTROPY:
                    pi_log_pi = tl.load(prior_log_ptr + columns, mask=inside, other=0.0)
                    H += beta * tl.sum(e * pi_log_pi, 1)
                e *= pi
                seen += tl.sum(tl.where(inside, pi, 0.0), 1)
            T += tl.sum(e, 1)
            if MODE == TEACHER:
                M += tl.sum(tl.where(e > 0.0, e * x, 0.0), 1)
            if BY_EXPM1:
                if PRIOR:
                    X += tl.sum(pi * e_minus_1, 1)
                else:
                    X += tl.sum(tl.where(inside, e_minus_1, 0.0), 1)
            if ENTROPY:
                H += tl.sum(tl.where(e > 0.0, e * smoothing_x, 0.0), 1)
    # All lanes under the row's maximum, then one sum of each kind.
    top = tl.max(m, 0)
    smoothing_top = top
    shift = shift_of(m, top)
    smoothing_shift = shift
    if MODE == TEACHER:
        smoothing_top = tl.max(smoothing_m, 0)
        smoothing_shift = shift_of(smoothing_m, smoothing_top)
    if not PRIOR:
        LAST: tl.constexpr = (VOCAB - 1) // (LANES * STEPS) * (LANES * STEPS)  # the last block
        seen = LAST // LANES + tl.sum((LAST + offsets < VOCAB).to(tl.float32), 1)
    S, T, X, H, M = rescaled(
        S, T, X, H, M, seen, shift, smoothing_shift, inverse_beta, MODE, POWER, BY_EXPM1
    )
    S, T, X, H, M = tl.sum(S, 0), tl.sum(T, 0), tl.sum(X, 0), tl.sum(H, 0), tl.sum(M, 0)
    if PRIOR and MODE == LABO:  # noqa: SIM102  (the compiler decides this one, the kernel that)
        if T < SMALLEST_WEIGHTED_SUM:
            smoothing_top, T, X, H = sums_of_types_with_mass(
                logits_ptr, prior_ptr, top, beta, inverse_beta, VOCAB, LANES * STEPS
            )
    if MODE == UNIFORM:
        T += 1.0 if PRIOR else VOCAB  # e = 1 for every entry
    tl.store(saved_ptr + row * 4, top)
    tl.store(saved_ptr + row * 4 + 1, S)
    tl.store(saved_ptr + row * 4 + 2, T)
    tl.store(saved_ptr + row * 4 + 3, smoothing_top)
    nll = tl.log(S) - (target_logit - top)
    loss = nll
    if MODE != PLAIN:
        mass: tl.constexpr = 1 if PRIOR else VOCAB
        potential = log_smoothing_potential(T, X, M, beta, mass, MODE, BY_EXPM1)
        if PRIOR and MODE == LABO:
            potential += smoothing_top - top
        reg = tl.log(S) - potential
        tl.store(reg_ptr + row, reg)
        if IN_LOSS:
            loss = (1.0 - alpha) * nll + alpha * reg
    tl.store(loss_ptr + row, loss)
    tl.store(nll_ptr + row, nll)
    if ENTROPY:
        entropy = tl.log(T) - inverse_beta * H / T
        if PRIOR:  # T = 0: all types that have mass are masked
            entropy = tl.where(T == 0.0, 0.0, entropy)
        tl.store(entropy_ptr + row, entropy)
    if ARGMAX:
        tl.store(argmax_ptr + row, tl.min(tl.where(m == top, best, VOCAB), 0).to(tl.int64))


@triton.jit
def sums_of_types_with_mass(
    logits_ptr: tl.tensor,  # [V]
    prior_ptr: tl.tensor,  # [V]
    top: tl.tensor,
    beta: tl.tensor,
    inverse_beta: tl.tensor,
    VOCAB: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The maximum over the types that have mass, and T, X, H relative to it.

    Where all of them are masked, T is 0, and `top` stands for the maximum.
    """
    offsets = tl.arange(0, BLOCK)
    highest = tl.full([BLOCK], NEGATIVE_INFINITY, tl.float32)
    for start in range(0, VOCAB, BLOCK):
        columns = start + offsets
        inside = columns < VOCAB
        pi = tl.load(prior_ptr + columns, mask=inside, other=0.0)
        z = tl.load(logits_ptr + columns, mask=inside, other=NEGATIVE_INFINITY).to(tl.float32)
        highest = tl.maximum(highest, tl.where(pi > 0.0, z, NEGATIVE_INFINITY))
    smoothing_top = tl.max(highest, 0)
    smoothing_top = tl.where(smoothing_top > NEGATIVE_INFINITY, smoothing_top, top)
    T = tl.zeros([BLOCK], tl.float32)
    X, H = T, T
    for start in range(0, VOCAB, BLOCK):
        columns = start + offsets
        inside = columns < VOCAB
        pi = tl.load(prior_ptr + columns, mask=inside, other=0.0)
        z = tl.load(logits_ptr + columns, mask=inside, other=NEGATIVE_INFINITY).to(tl.float32)
        x = tl.where(pi > 0.0, z, NEGATIVE_INFINITY) - smoothing_top
        e = tl.exp2(x * (inverse_beta * LOG2E))
        X += pi * expm1(x * inverse_beta, e)
        e *= pi
        T += e
        H += tl.where(e > 0.0, e * (x + beta * tl.log(pi)), 0.0)
    return smoothing_top, tl.sum(T, 0), tl.sum(X, 0), tl.sum(H, 0)


@triton.jit
def backward_kernel(
    logits_ptr: tl.tensor,  # [N, V]
    teacher_ptr: tl.tensor,  # [N, V]
    prior_ptr: tl.tensor,  # [V], float32
    target_ptr: tl.tensor,  # [N]
    saved_ptr: tl.tensor,  # [N, 4]
    upstream_ptr: tl.tensor,  # [N]
    gradient_ptr: tl.tensor,  # [N, V], contiguous
    upstream_stride: tl.tensor,
    ignore_index: tl.tensor,
    alpha: tl.tensor,
    inverse_beta: tl.tensor,
    LOGITS_STRIDE: tl.constexpr,
    TEACHER_STRIDE: tl.constexpr,
    VOCAB: tl.constexpr,
    MODE: tl.constexpr,
    PRIOR: tl.constexpr,
    POWER: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The gradient of one row, g (p − α P − (1 − α) e_y); exact zeros if it is ignored.

    g enters before the one rounding to the logits' dtype.
    """
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(target_ptr + row)
    dtype = gradient_ptr.dtype.element_ty
    gradient_ptr += row * VOCAB
    offsets = tl.arange(0, BLOCK)
    if y == ignore_index:
        for start in range(0, VOCAB, BLOCK):
            columns = start + offsets
            tl.store(gradient_ptr + columns, tl.zeros([BLOCK], dtype), mask=columns < VOCAB)
        return
    logits_ptr += row * LOGITS_STRIDE
    if MODE == TEACHER:
        teacher_ptr += row * TEACHER_STRIDE
    g = tl.load(upstream_ptr + row * upstream_stride).to(tl.float32)
    m = tl.load(saved_ptr + row * 4)
    smoothing_m = tl.load(saved_ptr + row * 4 + 3)
    rate = inverse_beta * LOG2E
    of_p = g / tl.load(saved_ptr + row * 4 + 1)  # g/S
    if MODE != PLAIN:
        of_smoothing = g * alpha / tl.load(saved_ptr + row * 4 + 2)  # α g/T
        if PRIOR:  # T = 0: see forward
            of_smoothing = tl.where(tl.load(saved_ptr + row * 4 + 2) > 0.0, of_smoothing, 0.0)
    at_target = g * (1.0 - alpha)
    for start in range(0, VOCAB, BLOCK):
        columns = start + offsets
        inside = columns < VOCAB
        x = tl.load(logits_ptr + columns, mask=inside, other=NEGATIVE_INFINITY).to(tl.float32) - m
        if MODE == PLAIN:
            r = tl.exp2(x * LOG2E) * of_p
        elif MODE == UNIFORM:
            smoothing = of_smoothing
            if PRIOR:
                smoothing *= tl.load(prior_ptr + columns, mask=inside, other=0.0)
            r = tl.exp2(x * LOG2E) * of_p - smoothing
        else:
            smoothing_x = x
            if MODE == TEACHER:
                t = tl.load(teacher_ptr + columns, mask=inside, other=NEGATIVE_INFINITY)
                smoothing_x = t.to(tl.float32) - smoothing_m
            e = tl.exp2(smoothing_x * rate)
            r = power_or_exp(e, x, POWER) * of_p
            if PRIOR:
                pi = tl.load(prior_ptr + columns, mask=inside, other=0.0)
                if smoothing_m < m:
                    e = tl.exp2((x + (m - smoothing_m)) * rate)
                e = tl.where(pi > 0.0, pi * e, 0.0)
            r -= e * of_smoothing
        r = tl.where(columns == y.to(tl.int32), r - at_target, r)
        tl.store(gradient_ptr + columns, r.to(dtype), mask=inside)
