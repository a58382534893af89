"""GELU, its gradient, casts to FP8 and the residual sum, tile by tile.

A tile [rows, columns] of a matrix is read once, turned into a value in fp32, summed by columns if that is a bias' gradient, and
written: in its own format, or scaled to FP8 by rows and by columns. Tile sizes are the fastest of those tried on an H100: GELU
and its gradient run at the card's copy bandwidth, 3 TB/s.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

IDENTITY, GELU, GELU_BACKWARD = 0, 1, 2
BF16_TILE = (128, 64, 8)  # rows, columns, warps: the fastest of those tried on an H100
FP8_TILES = {IDENTITY: (64, 64, 8), GELU: (64, 64, 8), GELU_BACKWARD: (64, 128, 4)}
STEEPEST = 1.13  # GELU's largest slope; |GELU(x)| is below |x|
PARTS = 1024  # partial maxima of a tensor
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
def _write_both_ways(value, rows, columns, by_rows, by_columns, N, D, scale, FP8_MAX: tl.constexpr):
    bounded = tl.minimum(tl.maximum(value * scale, -FP8_MAX), FP8_MAX)
    cast = bounded.to(by_rows.dtype.element_ty)
    tl.store(by_rows + rows[:, None] * D + columns[None, :], cast)
    # through bf16: Triton 3.6 garbles some transposed FP8 tiles, and bf16 has 5 bits more than what is kept
    turned = tl.trans(bounded.to(tl.bfloat16)).to(tl.float32).to(by_rows.dtype.element_ty)
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
        _write_both_ways(value, rows, columns, by_rows, by_columns, N, D, FP8_MAX / largest, FP8_MAX)
        if tl.program_id(0) + tl.program_id(1) == 0:
            tl.store(inverse_scale, largest / FP8_MAX)


def _tiles(
    operation: int, x: Tensor, gradient: Tensor | None, *, tanh: bool, dtype: torch.dtype | None, sums: bool
) -> tuple[Tensor | Quantised, Tensor | None]:
    """Apply an operation to [N, D] tile by tile; cast to FP8 if `dtype` is given, else to x's own."""
    num_rows, num_columns = x.shape
    rows, columns, warps = BF16_TILE if dtype is None else FP8_TILES[operation]
    columns = columns if num_columns % columns == 0 else 64
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
