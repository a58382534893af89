"""A softmax's loss and gradient in one program a row; the second reading of a row comes from the cache."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"

import torch
import triton
import triton.language as tl
from torch import Tensor


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
