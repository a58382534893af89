"""The rotary turn of query and key, forwards in place and backwards on the way into the interleaved gradient.

cuDNN's attention takes views of the interleaved product [N, H, 3, K] as fast as copies (H100, cuDNN 9.19: 257 and 258 µs), so
forwards only the rotated dimensions of query and key are touched: a third of what splitting would move.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _turn_kernel(mixed, cosines, sines, T, H, K: tl.constexpr, R: tl.constexpr, ROWS: tl.constexpr):
    """Turn query and key of one head in place, in the interleaved [N, H, 3, K]."""
    rows = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    k = tl.arange(0, R // 2)
    table = (rows % T)[:, None] * R + k[None, :]
    cosine, sine = tl.load(cosines + table), tl.load(sines + table)
    for part in tl.static_range(2):
        at = mixed + rows[:, None] * (3 * H * K) + (tl.program_id(0) * 3 + part) * K + k[None, :]
        one, two = tl.load(at).to(tl.float32), tl.load(at + R // 2).to(tl.float32)
        tl.store(at, (one * cosine - two * sine).to(mixed.dtype.element_ty))
        tl.store(at + R // 2, (two * cosine + one * sine).to(mixed.dtype.element_ty))


@triton.jit
def _join_kernel(
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
    ROWS: tl.constexpr,
):
    """Turn the gradients to query and key of one head back and put them with that to value into [N, H, 3, K]."""
    head = tl.program_id(0)
    rows = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    k = tl.arange(0, K)
    place = rows % T
    partner = tl.where(k < R // 2, k + R // 2, tl.where(k < R, k - R // 2, k))
    table = place[:, None] * R + k[None, :]
    turned = (k < R)[None, :] & (rows >= 0)[:, None]
    cosine = tl.load(cosines + table, mask=turned, other=1.0)
    sine = tl.load(sines + table, mask=turned, other=0.0)
    sine = tl.where((k < R // 2)[None, :], sine, -sine)
    together = mixed + rows[:, None] * (3 * H * K) + head * 3 * K + k[None, :]
    apart = (rows // T)[:, None] * stride_b + place[:, None] * stride_t + head * stride_h
    sums = column_sums + (tl.program_id(1) * H + head) * 3 * K + k
    one = tl.load(query + apart + k[None, :]).to(tl.float32) * cosine
    one += tl.load(query + apart + partner[None, :]).to(tl.float32) * sine
    two = tl.load(key + apart + k[None, :]).to(tl.float32) * cosine
    two += tl.load(key + apart + partner[None, :]).to(tl.float32) * sine
    three = tl.load(value + apart + k[None, :]).to(tl.float32)
    tl.store(together, one.to(mixed.dtype.element_ty))
    tl.store(together + K, two.to(mixed.dtype.element_ty))
    tl.store(together + 2 * K, three.to(mixed.dtype.element_ty))
    tl.store(sums, tl.sum(one, 0))
    tl.store(sums + K, tl.sum(two, 0))
    tl.store(sums + 2 * K, tl.sum(three, 0))


def rotary_split(
    mixed_ND: Tensor, cos_TR: Tensor, sin_TR: Tensor, num_heads: int, head_width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the interleaved product [N, H·3·K] in place; return its query, key and value [B, T, H, K], views."""
    length, rotated = cos_TR.shape
    rows = min(2048 // rotated * 2, 128)
    _turn_kernel[(num_heads, len(mixed_ND) // rows)](mixed_ND, cos_TR, sin_TR, length, num_heads, head_width, rotated, rows)
    query, key, value = mixed_ND.view(-1, length, num_heads, 3, head_width).unbind(3)
    return query, key, value


def rotary_join(to_query: Tensor, to_key: Tensor, to_value: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient to the interleaved product and its column sums, fp32, from those of [B, T, H, K] in any layout."""
    if not to_query.stride() == to_key.stride() == to_value.stride() or to_query.stride(3) != 1:
        to_query, to_key, to_value = to_query.contiguous(), to_key.contiguous(), to_value.contiguous()
    batch, length, num_heads, head_width = to_query.shape
    rows = 8192 // head_width
    mixed = to_query.new_empty(batch * length, num_heads * 3 * head_width)
    sums = mixed.new_empty(len(mixed) // rows, mixed.shape[1], dtype=torch.float32)
    _join_kernel[(num_heads, len(sums))](
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
        rows,
    )
    return mixed, sums.sum(0)
