"""The element-wise work of a block and of the loss as Triton kernels, each one pass over memory where it can be.

A block's matrix products need two thirds of a step on an H100; nearly all the rest is reading and writing activations at 3 TB/s.
So what touches the same bytes is computed together: both LayerNorms of a block, GELU's gradient with the sum that is the bias'
gradient, the rotary turn with the split of query, key and value, and, for FP8, scaling and casting with the function that made the
number. An FP8 product on Hopper wants both operands along the summed dimension, so tiles are written both ways at once
(`Quantised`). Column sums are made of partial sums in a fixed order: the same numbers on every run.

`training.blocks` calls these; N tokens, D columns, H heads, K head width, R rotated dimensions. N must be a multiple of 128.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

IDENTITY, GELU, GELU_BACKWARD = 0, 1, 2
TILE_ROWS, TILE_COLUMNS = 128, 64  # of column sums and LayerNorms
BF16_TILE = (128, 64, 8)  # rows, columns, warps: the fastest of those tried on an H100
FP8_TILES = {IDENTITY: (64, 64, 8), GELU: (64, 64, 8), GELU_BACKWARD: (64, 128, 4)}
STEEPEST = 1.13  # GELU's largest slope; |GELU(x)| is below |x|
NORM_PROGRAMS = 256  # each sums the gradients of its rows' weights
TURN = 1
PARTS = 1024  # partial maxima of a tensor
SMALLEST_AMAX = 1e-12
FP8_MAX = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}


class Quantised(NamedTuple):
    """A matrix [N, D] in FP8, by `rows` [N, D] and by `columns` [D, N]; times `inverse_scale` [1] it is what it was."""

    rows: Tensor
    columns: Tensor
    inverse_scale: Tensor


@triton.jit
def _value(x, gradient, OPERATION: tl.constexpr, TANH: tl.constexpr):
    if OPERATION == 0:
        return x
    if TANH:
        inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
        turned = 1.0 - 2.0 / (tl.exp(2.0 * inner) + 1.0)
        below = 0.5 * (1.0 + turned)
        slope = below + 0.5 * x * (1.0 - turned * turned) * 0.7978845608028654 * (1.0 + 0.134145 * x * x)
    else:
        # the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26): bf16 has 4e-3, and CUDA's own costs more than the memory
        bell = tl.exp(-0.5 * x * x)
        t = 1.0 / (1.0 + 0.23164188896 * tl.abs(x))
        tail = t * (0.127414796 + t * (-0.142248368 + t * (0.7107068705 + t * (-0.7265760135 + t * 0.5307027145)))) * bell
        below = tl.where(x >= 0, 1.0 - tail, tail)
        slope = below + x * bell * 0.3989422804014327
    return gradient * slope if OPERATION == 2 else x * below


@triton.jit
def _largest(parts, PARTS: tl.constexpr):
    return tl.maximum(tl.max(tl.load(parts + tl.arange(0, PARTS)), 0), 1e-12)


@triton.jit
def _amax_kernel(x, parts, num_elements, bound, BLOCK: tl.constexpr):
    largest = tl.zeros([BLOCK], tl.float32)
    for start in range(tl.program_id(0) * BLOCK, num_elements, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        largest = tl.maximum(largest, tl.abs(tl.load(x + at, mask=at < num_elements, other=0.0).to(tl.float32)))
    tl.store(parts + tl.program_id(0), tl.max(largest, 0) * bound)


@triton.jit
def _write_both_ways(value, rows, columns, by_rows, by_columns, N, D, scale, FP8_MAX: tl.constexpr, TURN: tl.constexpr):
    bounded = tl.minimum(tl.maximum(value * scale, -FP8_MAX), FP8_MAX)
    cast = bounded.to(by_rows.dtype.element_ty)
    tl.store(by_rows + rows[:, None] * D + columns[None, :], cast)
    if TURN == 1:
        turned = tl.trans(bounded.to(tl.bfloat16)).to(tl.float32).to(by_rows.dtype.element_ty)
    elif TURN == 2:
        turned = tl.trans(bounded).to(by_rows.dtype.element_ty)
    elif TURN == 3:
        turned = tl.trans(cast.to(tl.uint8, bitcast=True)).to(by_rows.dtype.element_ty, bitcast=True)
    else:
        turned = tl.trans(cast)
    tl.store(by_columns + columns.to(tl.int64)[:, None] * N + rows[None, :], turned)


@triton.jit
def _tile_kernel(
    x,
    gradient,
    by_rows,
    by_columns,
    column_sums,
    parts,
    inverse_scale,
    N,
    D,
    OPERATION: tl.constexpr,
    TANH: tl.constexpr,
    FP8_MAX: tl.constexpr,
    TURN: tl.constexpr,
    SUMS: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    at = rows[:, None] * D + columns[None, :]
    read = tl.load(x + at).to(tl.float32)
    onto = tl.load(gradient + at).to(tl.float32) if OPERATION == 2 else read
    value = _value(read, onto, OPERATION, TANH)
    if SUMS:
        tl.store(column_sums + tl.program_id(1) * D + columns, tl.sum(value, 0))
    if FP8_MAX == 0:
        tl.store(by_rows + at, value.to(by_rows.dtype.element_ty))
    else:
        largest = _largest(parts, PARTS)
        _write_both_ways(value, rows, columns, by_rows, by_columns, N, D, FP8_MAX / largest, FP8_MAX, TURN)
        if tl.program_id(0) + tl.program_id(1) == 0:
            tl.store(inverse_scale, largest / FP8_MAX)


def _tiles(
    operation: int, x: Tensor, gradient: Tensor | None, *, tanh: bool, dtype: torch.dtype | None, sums: bool
) -> tuple[Tensor | Quantised, Tensor | None]:
    """Apply an operation to [N, D] tile by tile; cast to FP8 if `dtype` is given, else to x's own."""
    num_rows, num_columns = x.shape
    rows, columns, warps = BF16_TILE if dtype is None else FP8_TILES[operation]
    columns = columns if num_columns % columns == 0 else TILE_COLUMNS
    other, grid = x if gradient is None else gradient, (num_columns // columns, num_rows // rows)
    column_sums = x.new_empty(grid[1], num_columns, dtype=torch.float32) if sums else x
    parts = inverse = by_columns = x
    by_rows = torch.empty_like(x, dtype=dtype)
    if dtype is not None:
        parts, inverse = x.new_empty(PARTS, dtype=torch.float32), x.new_empty(1, dtype=torch.float32)
        by_columns = x.new_empty(num_columns, num_rows, dtype=dtype)
        # FP8 numbers have an exponent of their own: a scale from a bound costs no digits, and a pass over fewer bytes
        _amax_kernel[(PARTS,)](other, parts, x.numel(), STEEPEST if operation == GELU_BACKWARD else 1.0, 4096, num_warps=8)
    _tile_kernel[grid](
        x,
        other,
        by_rows,
        by_columns,
        column_sums,
        parts,
        inverse,
        num_rows,
        num_columns,
        operation,
        tanh,
        FP8_MAX[dtype] if dtype is not None else 0.0,
        TURN,
        sums,
        PARTS,
        rows,
        columns,
        num_warps=warps,
    )
    result = by_rows if dtype is None else Quantised(by_rows, by_columns, inverse)
    return result, column_sums.sum(0) if sums else None


def gelu(h_ND: Tensor, *, tanh: bool, dtype: torch.dtype | None = None) -> Tensor | Quantised:
    return _tiles(GELU, h_ND, None, tanh=tanh, dtype=dtype, sums=False)[0]


def gelu_backward(
    h_ND: Tensor, to_output_ND: Tensor, *, tanh: bool, dtype: torch.dtype | None = None
) -> tuple[Tensor | Quantised, Tensor]:
    """Return the gradient to h and its column sums, fp32."""
    result, sums = _tiles(GELU_BACKWARD, h_ND, to_output_ND, tanh=tanh, dtype=dtype, sums=True)
    assert sums is not None
    return result, sums


def quantise(x_ND: Tensor, dtype: torch.dtype) -> Quantised:
    result = _tiles(IDENTITY, x_ND, None, tanh=False, dtype=dtype, sums=False)[0]
    assert isinstance(result, Quantised)
    return result


def column_sum(x_ND: Tensor) -> Tensor:
    """Return the fp32 sum over rows."""
    parts = x_ND.new_empty(x_ND.shape[0] // TILE_ROWS, x_ND.shape[1], dtype=torch.float32)
    _column_sum_kernel[(x_ND.shape[1] // TILE_COLUMNS, len(parts))](
        x_ND, parts, x_ND.shape[1], TILE_ROWS, TILE_COLUMNS, num_warps=4
    )
    return parts.sum(0)


@triton.jit
def _column_sum_kernel(x, parts, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    rows = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    read = tl.load(x + rows[:, None] * D + columns[None, :]).to(tl.float32)
    tl.store(parts + tl.program_id(1) * D + columns, tl.sum(read, 0))


@triton.jit
def _norm_pair_kernel(
    x,
    first,
    second,
    means,
    deviations,
    parts,
    weight1,
    bias1,
    weight2,
    bias2,
    N,
    D,
    epsilon,
    STORE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    columns = tl.arange(0, BLOCK)
    inside = columns < D
    w1 = tl.load(weight1 + columns, mask=inside, other=0.0).to(tl.float32)
    b1 = tl.load(bias1 + columns, mask=inside, other=0.0).to(tl.float32)
    w2 = tl.load(weight2 + columns, mask=inside, other=0.0).to(tl.float32)
    b2 = tl.load(bias2 + columns, mask=inside, other=0.0).to(tl.float32)
    largest1, largest2 = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for row in range(tl.program_id(0), N, tl.num_programs(0)):
        at = row * D + columns
        read = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        mean = tl.sum(read, 0) / D
        centred = tl.where(inside, read - mean, 0.0)
        deviation = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / D + epsilon)
        one, two = centred * deviation * w1 + b1, centred * deviation * w2 + b2
        tl.store(means + row, mean)
        tl.store(deviations + row, deviation)
        if STORE:
            tl.store(first + at, one.to(first.dtype.element_ty), mask=inside)
            tl.store(second + at, two.to(second.dtype.element_ty), mask=inside)
        else:
            largest1, largest2 = tl.maximum(largest1, tl.abs(one)), tl.maximum(largest2, tl.abs(two))
    if not STORE:
        tl.store(parts + tl.program_id(0), tl.max(largest1, 0))
        tl.store(parts + tl.num_programs(0) + tl.program_id(0), tl.max(largest2, 0))


@triton.jit
def _norm_tile_kernel(
    x,
    means,
    deviations,
    weight,
    bias,
    by_rows,
    by_columns,
    parts,
    inverse_scale,
    N,
    D,
    FP8_MAX: tl.constexpr,
    TURN: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    read = tl.load(x + rows[:, None] * D + columns[None, :]).to(tl.float32)
    normal = (read - tl.load(means + rows)[:, None]) * tl.load(deviations + rows)[:, None]
    w, b = tl.load(weight + columns).to(tl.float32), tl.load(bias + columns).to(tl.float32)
    largest = _largest(parts, PARTS)
    value = normal * w[None, :] + b[None, :]
    _write_both_ways(value, rows, columns, by_rows, by_columns, N, D, FP8_MAX / largest, FP8_MAX, TURN)
    if tl.program_id(0) + tl.program_id(1) == 0:
        tl.store(inverse_scale, largest / FP8_MAX)


class Norms(NamedTuple):
    """Weights and biases of a block's two LayerNorms, [D] each."""

    weight1: Tensor
    bias1: Tensor
    weight2: Tensor
    bias2: Tensor


def norm_pair(
    x_ND: Tensor, norms: Norms, epsilon: float, *, dtype: torch.dtype | None = None
) -> tuple[Tensor | Quantised, Tensor | Quantised, Tensor, Tensor]:
    """Return both LayerNorms of x, and its rows' means and inverse deviations, fp32."""
    num_rows, width = x_ND.shape
    means, deviations = (x_ND.new_empty(num_rows, dtype=torch.float32) for _ in range(2))
    parts = x_ND.new_empty(2, PARTS, dtype=torch.float32)
    first, second = (torch.empty_like(x_ND) for _ in range(2)) if dtype is None else (x_ND, x_ND)
    block = triton.next_power_of_2(width)
    _norm_pair_kernel[(PARTS,)](
        x_ND,
        first,
        second,
        means,
        deviations,
        parts,
        *norms,
        num_rows,
        width,
        epsilon,
        dtype is None,
        block,
        num_warps=max(4, block // 512),
    )
    if dtype is None:
        return first, second, means, deviations
    quantised = []
    for weight, bias, largest in ((norms.weight1, norms.bias1, parts[0]), (norms.weight2, norms.bias2, parts[1])):
        made = Quantised(
            torch.empty_like(x_ND, dtype=dtype),
            x_ND.new_empty(width, num_rows, dtype=dtype),
            x_ND.new_empty(1, dtype=torch.float32),
        )
        _norm_tile_kernel[(width // TILE_COLUMNS, num_rows // TILE_ROWS)](
            x_ND,
            means,
            deviations,
            weight,
            bias,
            made.rows,
            made.columns,
            largest,
            made.inverse_scale,
            num_rows,
            width,
            FP8_MAX[dtype],
            TURN,
            PARTS,
            TILE_ROWS,
            TILE_COLUMNS,
            num_warps=8,
        )
        quantised.append(made)
    return quantised[0], quantised[1], means, deviations


@triton.jit
def _norm_pair_backward_kernel(
    to_first,
    to_second,
    x,
    means,
    deviations,
    weight1,
    weight2,
    to_output,
    to_input,
    sums,
    N,
    D,
    BLOCK: tl.constexpr,
):
    columns = tl.arange(0, BLOCK)
    inside = columns < D
    w1 = tl.load(weight1 + columns, mask=inside, other=0.0).to(tl.float32)
    w2 = tl.load(weight2 + columns, mask=inside, other=0.0).to(tl.float32)
    weights1, biases1 = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    weights2, biases2 = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for row in range(tl.program_id(0), N, tl.num_programs(0)):
        at = row * D + columns
        one = tl.load(to_first + at, mask=inside, other=0.0).to(tl.float32)
        two = tl.load(to_second + at, mask=inside, other=0.0).to(tl.float32)
        read = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        residual = tl.load(to_output + at, mask=inside, other=0.0).to(tl.float32)
        deviation = tl.load(deviations + row)
        normal = tl.where(inside, (read - tl.load(means + row)) * deviation, 0.0)
        weights1 += one * normal
        biases1 += one
        weights2 += two * normal
        biases2 += two
        onto = one * w1 + two * w2
        inner = (onto - tl.sum(onto, 0) / D - normal * (tl.sum(onto * normal, 0) / D)) * deviation
        tl.store(to_input + at, (inner + residual).to(to_input.dtype.element_ty), mask=inside)
    at = tl.program_id(0) * 4 * D + columns
    tl.store(sums + at, weights1, mask=inside)
    tl.store(sums + at + D, biases1, mask=inside)
    tl.store(sums + at + 2 * D, weights2, mask=inside)
    tl.store(sums + at + 3 * D, biases2, mask=inside)


def norm_pair_backward(
    to_first_ND: Tensor, to_second_ND: Tensor, x_ND: Tensor, means: Tensor, deviations: Tensor, norms: Norms, to_output_ND: Tensor
) -> tuple[Tensor, Norms]:
    """Return the gradient to x, that of the residual path `to_output_ND` included, and those of the norms, fp32."""
    num_rows, width = x_ND.shape
    to_input, block = torch.empty_like(x_ND), triton.next_power_of_2(width)
    sums = x_ND.new_empty(NORM_PROGRAMS, 4, width, dtype=torch.float32)
    _norm_pair_backward_kernel[(NORM_PROGRAMS,)](
        to_first_ND,
        to_second_ND,
        x_ND,
        means,
        deviations,
        norms.weight1,
        norms.weight2,
        to_output_ND,
        to_input,
        sums,
        num_rows,
        width,
        block,
        num_warps=max(4, block // 256),
    )
    return to_input, Norms(*sums.sum(0).unbind(0))


@triton.jit
def _rotary_kernel(
    mixed,
    query,
    key,
    value,
    cosines,
    sines,
    column_sums,
    T,
    H,
    K: tl.constexpr,
    R: tl.constexpr,
    stride_b,
    stride_t,
    stride_h,
    BACKWARD: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Turn query and key of one head by their places: apart from `mixed` [N, H, 3, K], or back and together into it."""
    head = tl.program_id(0)
    rows = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    k = tl.arange(0, K)
    place = rows % T
    partner = tl.where(k < R // 2, k + R // 2, tl.where(k < R, k - R // 2, k))
    table = place[:, None] * R + k[None, :]
    turned = (k < R)[None, :] & (rows >= 0)[:, None]
    cosine = tl.load(cosines + table, mask=turned, other=1.0)
    sine = tl.load(sines + table, mask=turned, other=0.0)
    sine = tl.where((k < R // 2)[None, :], -sine, sine)
    if BACKWARD:
        sine = -sine
    together = rows[:, None] * (3 * H * K) + head * 3 * K
    apart = (rows // T)[:, None] * stride_b + place[:, None] * stride_t + head * stride_h
    sums = column_sums + (tl.program_id(1) * H + head) * 3 * K + k
    if BACKWARD:
        one = tl.load(query + apart + k[None, :]).to(tl.float32) * cosine
        one += tl.load(query + apart + partner[None, :]).to(tl.float32) * sine
        two = tl.load(key + apart + k[None, :]).to(tl.float32) * cosine
        two += tl.load(key + apart + partner[None, :]).to(tl.float32) * sine
        three = tl.load(value + apart + k[None, :]).to(tl.float32)
        tl.store(mixed + together + k[None, :], one.to(mixed.dtype.element_ty))
        tl.store(mixed + together + K + k[None, :], two.to(mixed.dtype.element_ty))
        tl.store(mixed + together + 2 * K + k[None, :], three.to(mixed.dtype.element_ty))
        tl.store(sums, tl.sum(one, 0))
        tl.store(sums + K, tl.sum(two, 0))
        tl.store(sums + 2 * K, tl.sum(three, 0))
    else:
        one = tl.load(mixed + together + k[None, :]).to(tl.float32) * cosine
        one += tl.load(mixed + together + partner[None, :]).to(tl.float32) * sine
        two = tl.load(mixed + together + K + k[None, :]).to(tl.float32) * cosine
        two += tl.load(mixed + together + K + partner[None, :]).to(tl.float32) * sine
        tl.store(query + apart + k[None, :], one.to(query.dtype.element_ty))
        tl.store(key + apart + k[None, :], two.to(key.dtype.element_ty))
        tl.store(value + apart + k[None, :], tl.load(mixed + together + 2 * K + k[None, :]))


def rotary_split(
    mixed_ND: Tensor, cos_TR: Tensor, sin_TR: Tensor, num_heads: int, head_width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return query and key, turned, and value, [B, T, H, K] and contiguous, from the interleaved product [N, H·3·K]."""
    length, rotated = cos_TR.shape
    shape = (mixed_ND.shape[0] // length, length, num_heads, head_width)
    query, key, value = (mixed_ND.new_empty(shape) for _ in range(3))
    rows = 8192 // head_width
    _rotary_kernel[(num_heads, mixed_ND.shape[0] // rows)](
        mixed_ND,
        query,
        key,
        value,
        cos_TR,
        sin_TR,
        cos_TR,
        length,
        num_heads,
        head_width,
        rotated,
        *query.stride()[:3],
        False,
        rows,
    )
    return query, key, value


def rotary_join(to_query: Tensor, to_key: Tensor, to_value: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient to the interleaved product and its column sums, fp32, from those of [B, T, H, K] in any layout."""
    if not to_query.stride() == to_key.stride() == to_value.stride() or to_query.stride(3) != 1:
        to_query, to_key, to_value = to_query.contiguous(), to_key.contiguous(), to_value.contiguous()
    batch, length, num_heads, head_width = to_query.shape
    rows = 8192 // head_width
    mixed = to_query.new_empty(batch * length, num_heads * 3 * head_width)
    sums = mixed.new_empty(len(mixed) // rows, mixed.shape[1], dtype=torch.float32)
    _rotary_kernel[(num_heads, len(sums))](
        mixed,
        to_query,
        to_key,
        to_value,
        cos_TR,
        sin_TR,
        sums,
        length,
        num_heads,
        head_width,
        cos_TR.shape[1],
        *to_query.stride()[:3],
        True,
        rows,
    )
    return mixed, sums.sum(0)


@triton.jit
def _add_kernel(x, first, second, out, num_elements, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_elements
    total = tl.load(x + at, mask=inside).to(tl.float32) + tl.load(first + at, mask=inside).to(tl.float32)
    total += tl.load(second + at, mask=inside).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


def add_branches(x_ND: Tensor, first_ND: Tensor, second_ND: Tensor) -> Tensor:
    out = torch.empty_like(x_ND)
    _add_kernel[(triton.cdiv(x_ND.numel(), 4096),)](x_ND, first_ND, second_ND, out, x_ND.numel(), 4096, num_warps=8)
    return out


@triton.jit
def _softmax_loss_kernel(logits, targets, nats, V, z_loss, BLOCK: tl.constexpr):
    row = logits + tl.program_id(0).to(tl.int64) * V
    target = tl.load(targets + tl.program_id(0))
    counts = target >= 0
    chosen = tl.load(row + tl.maximum(target, 0)).to(tl.float32)
    largest, total = tl.full([BLOCK], -float("inf"), tl.float32), tl.zeros([BLOCK], tl.float32)
    for start in range(0, V, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        read = tl.load(row + columns, mask=columns < V, other=-1e30).to(tl.float32)
        higher = tl.maximum(largest, read)
        total = total * tl.exp(largest - higher) + tl.exp(read - higher)
        largest = higher
    top = tl.max(largest, 0)
    log_sum = top + tl.log(tl.sum(total * tl.exp(largest - top), 0))
    tl.store(nats + tl.program_id(0), tl.where(counts, log_sum - chosen + z_loss * log_sum * log_sum, 0.0))
    factor = tl.where(counts, 1.0 + 2.0 * z_loss * log_sum, 0.0)
    for start in range(0, V, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        read = tl.load(row + columns, mask=columns < V, other=-1e30).to(tl.float32)
        gradient = tl.exp(read - log_sum) * factor - tl.where(counts & (columns == target), 1.0, 0.0)
        tl.store(row + columns, gradient.to(logits.dtype.element_ty), mask=columns < V)


def softmax_loss_(logits_NV: Tensor, targets_N: Tensor, z_loss: float) -> Tensor:
    """Return each token's loss [N], fp32, and overwrite the logits by its gradient; targets below 0 count nothing."""
    nats = logits_NV.new_empty(len(logits_NV), dtype=torch.float32)
    _softmax_loss_kernel[(len(logits_NV),)](logits_NV, targets_N, nats, logits_NV.shape[1], z_loss, 4096, num_warps=8)
    return nats
