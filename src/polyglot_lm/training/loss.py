"""Head and cross-entropy in one, chunk by chunk, so that all logits never exist at once.

    hidden [N, D], head [V, D], targets [N] ─► Σ −ln p(target) + z·(ln Σ exp logits)², a sum over the targets that are not IGNORED

The gradient of a softmax is known as soon as its logits are, so a chunk's logits turn into their own gradient in place, and the
gradients of hidden states and head are ready when the loss is: no chunk is computed twice. 32,768 tokens and 131,072 words are
8.6 GB of bf16 logits, of which a chunk of 8,192 tokens holds a quarter. Few, large chunks keep the matrix products efficient.
The idea is Liger Kernel's (Hsu et al. 2024, arXiv 2410.10989); the z-loss is PaLM's (Chowdhery et al. 2022, arXiv 2204.02311).

Shapes: N tokens, D width, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_TOKENS = 8192  # whose logits exist at once
CPU_CHUNK_TOKENS = 512  # logits of more leave a core's cache before their gradient is used
IGNORED = -100  # a target that counts nothing, as in torch


def linear_cross_entropy(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, *, chunk_tokens: int, z_loss: float) -> Tensor:
    """Return the summed loss in nats, fp32; products run in the dtype of `hidden_ND`, sums in fp32."""
    chunk_tokens = chunk_tokens if hidden_ND.is_cuda else min(chunk_tokens, CPU_CHUNK_TOKENS)
    how = LossConfig(chunk_tokens=chunk_tokens, z_loss=z_loss, differentiate=torch.is_grad_enabled())
    loss: Tensor = LinearCrossEntropy.apply(hidden_ND, head_VD, targets_N, how)  # type: ignore[no-untyped-call]
    return loss


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What does not change from chunk to chunk; without `differentiate` no gradient is made."""

    chunk_tokens: int
    z_loss: float
    differentiate: bool


class LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, how: LossConfig) -> Tensor:
        head = head_VD.detach().to(hidden_ND.dtype)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        to_hidden = torch.empty_like(hidden_ND) if how.differentiate else None
        to_head = torch.zeros_like(head_VD, dtype=torch.float32) if how.differentiate else None
        for start in range(0, len(hidden_ND), how.chunk_tokens):
            part = slice(start, start + how.chunk_tokens)
            nats, to_logits = softmax_loss_(hidden_ND[part] @ head.T, targets_N[part], how.z_loss)
            loss += nats
            if to_hidden is not None and to_head is not None:
                torch.mm(to_logits, head, out=to_hidden[part])
                add_product_(to_head, to_logits.T, hidden_ND[part])
        ctx.to_hidden, ctx.to_head, ctx.head_dtype = to_hidden, to_head, head_VD.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_loss: Tensor) -> tuple[Tensor | None, ...]:
        to_hidden, to_head = ctx.to_hidden, ctx.to_head
        ctx.to_hidden = ctx.to_head = None
        to_hidden.mul_(to_loss.to(to_hidden.dtype))
        return to_hidden, to_head.mul_(to_loss).to(ctx.head_dtype), None, None


def softmax_loss_(logits_NV: Tensor, targets_N: Tensor, z_loss: float) -> tuple[Tensor, Tensor]:
    """Return the summed loss of these tokens and its gradient to the logits, which overwrites them."""
    if logits_NV.is_cuda:
        from polyglot_lm.training import kernels  # triton is not there on a CPU

        return kernels.softmax_loss_(logits_NV, targets_N, z_loss).sum(), logits_NV
    counts_N1 = (targets_N != IGNORED).float().unsqueeze(1)
    chosen_N1 = targets_N.clamp(min=0).unsqueeze(1)
    gradient_NV = torch.softmax(logits_NV, dim=1, dtype=torch.float32)
    # the likeliest token's probability is at least 1/V, so its logarithm gives the sum's without another exponential
    highest_N1, likeliest_N1 = logits_NV.max(dim=1, keepdim=True)
    log_sum_N1 = highest_N1.float() - gradient_NV.gather(1, likeliest_N1).log()
    nats_N1 = (z_loss * log_sum_N1.square() + log_sum_N1 - logits_NV.gather(1, chosen_N1).float()) * counts_N1
    if z_loss or not bool(counts_N1.all()):
        gradient_NV.mul_(counts_N1 * (1 + 2 * z_loss * log_sum_N1))
    gradient_NV.scatter_add_(1, chosen_N1, -counts_N1)
    return nats_N1.sum(), logits_NV.copy_(gradient_NV) if logits_NV.dtype != torch.float32 else gradient_NV


def add_product_(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to the fp32 `total` without rounding the product first."""
    if right.dtype == torch.float32:
        total.addmm_(left, right)
    elif total.is_cuda:
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total.add_(left.float() @ right.float())
