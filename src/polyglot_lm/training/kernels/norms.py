"""Both LayerNorms of a parallel block from one reading of the residual stream, and their gradients in one pass.

Rows are shared out among a fixed number of programs, each of which sums the gradients of weights and biases over its rows; partial
sums are added in a fixed order, so a run repeats bit by bit.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from polyglot_lm.training.kernels.tiles import FP8_MAX, PARTS, Quantised, _largest, _write_both_ways

TILE_ROWS, TILE_COLUMNS = 128, 64
NORM_PROGRAMS = 256  # each sums the gradients of its rows' weights


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
    _write_both_ways(value, rows, columns, by_rows, by_columns, N, D, FP8_MAX / largest, FP8_MAX)
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
    residuals = tl.zeros([BLOCK], tl.float32)
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
        residuals += residual
        onto = one * w1 + two * w2
        inner = (onto - tl.sum(onto, 0) / D - normal * (tl.sum(onto * normal, 0) / D)) * deviation
        tl.store(to_input + at, (inner + residual).to(to_input.dtype.element_ty), mask=inside)
    at = tl.program_id(0) * 5 * D + columns
    tl.store(sums + at, weights1, mask=inside)
    tl.store(sums + at + D, biases1, mask=inside)
    tl.store(sums + at + 2 * D, weights2, mask=inside)
    tl.store(sums + at + 3 * D, biases2, mask=inside)
    tl.store(sums + at + 4 * D, residuals, mask=inside)


def norm_pair_backward(
    to_first_ND: Tensor, to_second_ND: Tensor, x_ND: Tensor, means: Tensor, deviations: Tensor, norms: Norms, to_output_ND: Tensor
) -> tuple[Tensor, Norms, Tensor]:
    """Return the gradient to x, that of the residual path `to_output_ND` included, those of the norms, fp32, and the column sums
    of `to_output_ND`, which are the gradient of the branches' last biases."""
    num_rows, width = x_ND.shape
    to_input, block = torch.empty_like(x_ND), triton.next_power_of_2(width)
    sums = x_ND.new_empty(NORM_PROGRAMS, 5, width, dtype=torch.float32)
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
    *norm_sums, residual = sums.sum(0).unbind(0)
    return to_input, Norms(*norm_sums), residual
