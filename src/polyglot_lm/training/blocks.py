"""A parallel-residual block forward and backward by hand, for Hopper: products by cuBLAS, all between them by `training.kernels`.

    x ─► both norms ─► qkv ─► rotary split ─► attention ─► dense ─┐
      │            └─► h_to_4h ─► GELU ─► 4h_to_h ─────────────────┼─► y
      └────────────────────────────────────────────────────────────┘

It computes what `model.transformer.Block` computes, from the same module and its parameters, as one node of autograd. One node,
because what pays crosses operations: a number is scaled, cast and transposed for its FP8 products where it is made; a bias'
gradient is summed where the gradient is made; and what is cheap to make again (norms, GELU) need not be kept for the backward pass.

Gradients of fp32 parameters that have one already are added to it by the product itself, without a pass of their own. Copies of
fp32 weights in the format of the products are kept until the optimizer changes the weights (their version counter tells), unless
memory is short. Weights that arrive in bf16 (gathered from shards) are used as they are.

Shapes: B sequences of T tokens, N = B·T, D width, H heads, K head width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from polyglot_lm.model.transformer import Block, Cache
from polyglot_lm.pipeline import Recompute
from polyglot_lm.training import kernels
from polyglot_lm.training.kernels import Norms, Quantised

FORWARD, BACKWARD = torch.float8_e4m3fn, torch.float8_e5m2  # gradients need the range, activations the digits
TOKENS = 128  # of a tile: a sequence holds whole ones


class Parameters(NamedTuple):
    """A block's parameters in the order of the module."""

    norm1_weight: Tensor
    norm1_bias: Tensor
    norm2_weight: Tensor
    norm2_bias: Tensor
    mixed_weight: Tensor
    mixed_bias: Tensor
    dense_weight: Tensor
    dense_bias: Tensor
    up_weight: Tensor
    up_bias: Tensor
    down_weight: Tensor
    down_bias: Tensor

    @property
    def norms(self) -> Norms:
        return Norms(*self[:4])


class Bf16:
    """Products of bf16 matrices; an operand is the matrix itself."""

    activation = gradient = None

    @staticmethod
    def operand(x_ND: Tensor, *, of_gradient: bool = False) -> Tensor:
        del of_gradient
        return x_ND

    @staticmethod
    def weight(weight: Tensor) -> Tensor:
        return weight.detach().bfloat16()

    @staticmethod
    def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def to_input(gradient: Tensor, weight: Tensor) -> Tensor:
        return gradient @ weight

    @staticmethod
    def to_weight(gradient: Tensor, x: Tensor, parameter: Tensor) -> Tensor | None:
        if parameter.dtype != torch.float32 or not parameter.is_cuda:
            return gradient.T @ x
        if not parameter.is_leaf or parameter.grad is None:
            return torch.mm(gradient.T, x, out_dtype=torch.float32)
        torch.addmm(parameter.grad, gradient.T, x, out_dtype=torch.float32, out=parameter.grad)
        return None


class Fp8:
    """Products of FP8 matrices with one scale each, made anew every time from the largest value (dynamic tensorwise scaling)."""

    activation, gradient = FORWARD, BACKWARD

    @staticmethod
    def operand(x_ND: Tensor, *, of_gradient: bool = False) -> Quantised:
        return kernels.quantise(x_ND, BACKWARD if of_gradient else FORWARD)

    @staticmethod
    def weight(weight: Tensor) -> Quantised:
        return kernels.quantise(weight.detach().bfloat16(), FORWARD)

    @staticmethod
    def linear(x: Quantised, weight: Quantised, bias: Tensor) -> Tensor:
        return scaled_product(x.rows, weight.rows, x, weight, bias=bias, fast=True)

    @staticmethod
    def to_input(gradient: Quantised, weight: Quantised) -> Tensor:
        return scaled_product(gradient.rows, weight.columns, gradient, weight)

    @staticmethod
    def to_weight(gradient: Quantised, x: Quantised, parameter: Tensor) -> Tensor | None:
        found = scaled_product(gradient.columns, x.columns, gradient, x)
        if parameter.dtype != torch.float32 or not parameter.is_leaf or parameter.grad is None:
            return found
        parameter.grad.add_(found)
        return None


def scaled_product(
    left: Tensor, right: Tensor, a: Quantised, b: Quantised, *, bias: Tensor | None = None, fast: bool = False
) -> Tensor:
    """Return left @ right.T in bf16; `fast` accumulates in the tensor cores' own 22 bits, good enough forwards."""
    return torch._scaled_mm(
        left, right.T, a.inverse_scale, b.inverse_scale, bias=bias, out_dtype=torch.bfloat16, use_fast_accum=fast
    )


@dataclass(slots=True)
class Kept:
    """What the forward pass leaves for the backward pass; None is made again. `query` to `attended` hold attention's own graph."""

    means: Tensor
    deviations: Tensor
    heads: tuple[Tensor, Tensor, Tensor]
    attended: Tensor
    h: Tensor
    norm1: Any = None
    norm2: Any = None
    mixture: Any = None
    u: Any = None


updates = 0  # how often any optimizer has stepped


def count_update(*_: Any) -> None:
    global updates
    updates += 1


register_optimizer_step_post_hook(count_update)


class HandBlock:
    """A block's module, how it computes, and its weights in the products' format."""

    def __init__(self, block: Block, products: type[Bf16] | type[Fp8], recompute: Recompute, *, tanh: bool) -> None:
        self.block, self.products, self.recompute, self.tanh = block, products, recompute, tanh
        self.epsilon, self.num_heads = block.input_layernorm.eps, block.attention.num_heads
        self.formatted: dict[str, tuple[tuple[int, int], Any]] = {}

    def __call__(self, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, cache: Cache | None) -> Tensor:
        """Compute the block by hand; scoring and generation, of any length, are left to the plain block."""
        if not torch.is_grad_enabled() or x_BTD.dtype != torch.bfloat16 or x_BTD.shape[1] % TOKENS:
            return Block.forward(self.block, x_BTD, cos_TR, sin_TR, cache)
        output: Tensor = BlockFunction.apply(  # type: ignore[no-untyped-call]
            self, x_BTD, cos_TR, sin_TR, *self.parameters()
        )
        return output

    def parameters(self) -> Parameters:
        attention, mlp = self.block.attention, self.block.mlp
        modules = (
            self.block.input_layernorm,
            self.block.post_attention_layernorm,
            attention.query_key_value,
            attention.dense,
            mlp.dense_h_to_4h,
            mlp.dense_4h_to_h,
        )
        return Parameters(*(each for module in modules for each in (module.weight, module.bias)))

    def weight(self, parameters: Parameters, name: str) -> Any:
        """Return a weight in the products' format."""
        return self.kept_format(name, getattr(parameters, name), self.products.weight)

    def bias(self, parameters: Parameters, name: str) -> Any:
        return self.kept_format(name, getattr(parameters, name), Bf16.weight)

    def kept_format(self, name: str, parameter: Tensor, make: Callable[[Tensor], Any]) -> Any:
        if parameter.dtype != torch.float32 or self.recompute != "none":
            return make(parameter)
        now = (parameter._version, updates)  # a fused optimizer changes weights without counting a version
        made, value = self.formatted.get(name, (None, None))
        if made != now:
            value = make(parameter)
            self.formatted[name] = now, value
        return value

    def forward(self, x_ND: Tensor, cos_TR: Tensor, sin_TR: Tensor, parameters: Parameters) -> tuple[Tensor, Kept]:
        products, kind = cast(Any, self.products), self.products.activation
        norm1, norm2, means, deviations = kernels.norm_pair(x_ND, parameters.norms, self.epsilon, dtype=kind)
        mixed = products.linear(norm1, self.weight(parameters, "mixed_weight"), self.bias(parameters, "mixed_bias"))
        split = kernels.rotary_split(mixed, cos_TR, sin_TR, self.num_heads, mixed.shape[1] // (3 * self.num_heads))
        del mixed
        with torch.enable_grad():
            query, key, value = (each.detach().requires_grad_() for each in split)
            attended = F.scaled_dot_product_attention(
                query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), is_causal=True
            )
        mixture = products.operand(attended.detach().transpose(1, 2).reshape(x_ND.shape))
        dense = products.linear(mixture, self.weight(parameters, "dense_weight"), self.bias(parameters, "dense_bias"))
        h = products.linear(norm2, self.weight(parameters, "up_weight"), self.bias(parameters, "up_bias"))
        u = kernels.gelu(h, tanh=self.tanh, dtype=kind)
        down = products.linear(u, self.weight(parameters, "down_weight"), self.bias(parameters, "down_bias"))
        kept = Kept(means, deviations, (query, key, value), attended, h)
        if self.recompute != "selective":
            kept.norm1, kept.norm2, kept.mixture, kept.u = norm1, norm2, mixture, u
        return kernels.add_branches(x_ND, dense, down), kept

    def make_again(self, x_ND: Tensor, kept: Kept, parameters: Parameters) -> None:
        kind = self.products.activation
        kept.norm1, kept.norm2, _, _ = kernels.norm_pair(x_ND, parameters.norms, self.epsilon, dtype=kind)
        kept.mixture = self.products.operand(kept.attended.detach().transpose(1, 2).reshape(x_ND.shape))
        kept.u = kernels.gelu(kept.h, tanh=self.tanh, dtype=kind)

    def backward(
        self, x_ND: Tensor, to_y_ND: Tensor, cos_TR: Tensor, sin_TR: Tensor, kept: Kept, parameters: Parameters
    ) -> tuple[Tensor, Parameters]:
        """Return the gradients to x and to the parameters; None where one was added in place."""
        products, p = cast(Any, self.products), parameters
        branch = products.operand(to_y_ND, of_gradient=True)
        to_u = products.to_input(branch, self.weight(p, "down_weight"))
        to_down = products.to_weight(branch, kept.u, p.down_weight)
        kept.u = None
        to_h, up_sum = kernels.gelu_backward(kept.h, to_u, tanh=self.tanh, dtype=products.gradient)
        del to_u
        to_up = products.to_weight(to_h, kept.norm2, p.up_weight)
        to_norm2 = products.to_input(to_h, self.weight(p, "up_weight"))
        del to_h
        to_dense = products.to_weight(branch, kept.mixture, p.dense_weight)
        to_mixture = products.to_input(branch, self.weight(p, "dense_weight"))
        batch, length, heads, width = kept.heads[0].shape
        to_heads = torch.autograd.grad(kept.attended, kept.heads, to_mixture.view(batch, length, heads, width).transpose(1, 2))
        joined, mixed_sum = kernels.rotary_join(to_heads[0], to_heads[1], to_heads[2], cos_TR, sin_TR)
        to_mixed = products.operand(joined, of_gradient=True)
        del to_heads, to_mixture, branch, joined
        to_qkv = products.to_weight(to_mixed, kept.norm1, p.mixed_weight)
        to_norm1 = products.to_input(to_mixed, self.weight(p, "mixed_weight"))
        to_x, norms, branch_sum = kernels.norm_pair_backward(
            to_norm1, to_norm2, x_ND, kept.means, kept.deviations, p.norms, to_y_ND
        )
        return to_x, Parameters(*norms, to_qkv, mixed_sum, to_dense, branch_sum, to_up, up_sum, to_down, branch_sum)


class BlockFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hand: HandBlock, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, *parameters: Tensor) -> Tensor:
        x_ND = x_BTD.flatten(0, 1)
        y_ND, kept = hand.forward(x_ND, cos_TR, sin_TR, Parameters(*parameters))
        ctx.hand, ctx.kept = hand, None if hand.recompute == "full" else kept
        ctx.save_for_backward(x_BTD, cos_TR, sin_TR, *parameters)
        return y_ND.view(x_BTD.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_y_BTD: Tensor) -> tuple[Tensor | None, ...]:
        hand, kept = ctx.hand, ctx.kept
        ctx.kept = None
        x_BTD, cos_TR, sin_TR, *rest = ctx.saved_tensors
        x_ND, to_y_ND, parameters = x_BTD.flatten(0, 1), to_y_BTD.flatten(0, 1), Parameters(*rest)
        if hand.recompute == "full":
            _, kept = hand.forward(x_ND, cos_TR, sin_TR, parameters)
        elif hand.recompute == "selective":
            hand.make_again(x_ND, kept, parameters)
        to_x, gradients = hand.backward(x_ND, to_y_ND, cos_TR, sin_TR, kept, parameters)
        cast_ = (g if g is None else g.to(p.dtype) for g, p in zip(gradients, parameters, strict=True))
        return None, to_x.view(x_BTD.shape), None, None, *cast_
