"""How a step is computed: number formats, compilation, recomputation, and the loss of a batch.

    prepare(network)  blocks are changed in place, names of parameters stay: recomputation first, then compilation, then (elsewhere)
                      sharding, since each must see the one before it
    loss_sum(batch)   hidden states ─► chunks of logits ─► nats summed over tokens

Parameters stay fp32; products and the residual stream are bf16 under autocast, or in whatever format a sharding policy casts the
parameters to. One block is compiled and all layers share the result: shapes never change in training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.transformer import Block, GPTNeoX
from polyglot_lm.pipeline import Recompute, UserError
from polyglot_lm.training.attention import HOPPER
from polyglot_lm.training.loss import linear_cross_entropy


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """`recompute` selective keeps the outputs of matrix products and of attention and computes the cheap rest again (2 to 6 %
    slower, 40 % less memory), full keeps the input of each block alone (25 % slower)."""

    precision: Literal["fp32", "bf16", "fp8"]
    compile: bool
    recompute: Recompute
    loss_chunk_tokens: int
    z_loss: float

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16", "fp8"):
            raise ValueError(f"precision is {self.precision!r}; it must be fp32, bf16 or fp8")
        if self.recompute not in ("none", "selective", "full"):
            raise ValueError(f"recompute is {self.recompute!r}; it must be none, selective or full")
        if self.loss_chunk_tokens < 1:
            raise ValueError(f"loss_chunk_tokens is {self.loss_chunk_tokens}; it must be at least 1")
        if self.z_loss < 0:
            raise ValueError(f"z_loss is {self.z_loss}; it must be at least 0")


def prepare(network: GPTNeoX, compute: Compute, device: torch.device, *, by_hand: bool = True) -> None:
    """Change the blocks in place; call it before sharding and before the first step.

    Tensor parallelism replaces linear layers, which blocks by hand pass by: it wants `by_hand=False`. Raises UserError for FP8
    where there are no blocks by hand.
    """
    if compute.precision != "fp32":
        network.embed_in.register_forward_hook(to_bf16)
    if by_hand and compute.precision != "fp32" and fits_blocks_by_hand(network.config, device):
        from polyglot_lm.training.blocks import Bf16, Fp8, HandBlock  # triton is not there on a CPU

        for block in network.layers:
            products = Fp8 if compute.precision == "fp8" else Bf16
            block.forward = HandBlock(cast(Block, block), products, compute.recompute, tanh=network.config.gelu == "tanh")
        return
    if compute.precision == "fp8":
        raise UserError(f"precision is 'fp8', which needs a Hopper GPU and parallel residuals; use bf16 on {device}")
    for block in network.layers:
        if compute.recompute != "none":
            block.forward = recomputed(block.forward, selective=compute.recompute == "selective")
        if compute.compile:
            block.compile(fullgraph=True, dynamic=False)


def fits_blocks_by_hand(model: ModelConfig, device: torch.device) -> bool:
    """Tell whether `training.blocks` computes this shape on this device; its tiles are 128 tokens by 64 columns."""
    hopper = device.type == "cuda" and torch.cuda.get_device_capability(device) == HOPPER
    whole = model.context % 128 == 0 and model.width % 64 == 0 and model.mlp_width % 64 == 0 and model.head_width in (64, 128, 256)
    return hopper and whole and model.parallel_residual


def recomputed(forward: Callable[..., Tensor], *, selective: bool) -> Callable[..., Tensor]:
    again: Any = {"context_fn": keep_costly_outputs} if selective else {}

    def forward_and_again(*inputs: Any) -> Tensor:
        output: Tensor = checkpoint(forward, *inputs, use_reentrant=False, **again)
        return output

    return forward_and_again


def to_bf16(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    """Let the residual stream start in bf16: autocast leaves an embedding in fp32, which doubles its traffic."""
    return output.bfloat16()


COSTLY = (
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
)


def keep_costly_outputs() -> Any:
    def policy(_context: Any, operation: Any, *_arguments: Any, **_keywords: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if operation in COSTLY else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)  # type: ignore[no-untyped-call]


def loss_sum(network: GPTNeoX, inputs_BT: Tensor, targets_BT: Tensor, compute: Compute) -> Tensor:
    """Return the loss summed over tokens, in nats, z-loss included; targets of -100 count nothing. Differentiable."""

    def read_out(hidden_BTD: Tensor, head_VD: Tensor) -> Tensor:
        hidden_ND = hidden_BTD.flatten(0, 1)
        if compute.precision != "fp32":
            hidden_ND = hidden_ND.bfloat16()
        return linear_cross_entropy(
            hidden_ND, head_VD, targets_BT.flatten(), chunk_tokens=compute.loss_chunk_tokens, z_loss=compute.z_loss
        )

    with torch.autocast(inputs_BT.device.type, torch.bfloat16, enabled=compute.precision != "fp32"):
        loss: Tensor = network(inputs_BT, read_out=read_out)
    return loss
