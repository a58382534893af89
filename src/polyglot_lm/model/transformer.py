"""GPT-NeoX in plain single-device PyTorch (Black et al. 2022, arXiv 2204.06745).

Attention and MLP of a block read the same residual stream, each through its own LayerNorm, and their outputs are added at
once (parallel residual). The first `rotary_dims` of every head are rotated. Query, key and value are one matrix whose rows are
interleaved by head, [head, 3, head_width], as in the released checkpoints: that layout shards by head and needs no permutation
on export. This file knows no device, no parallelism and no file format.

Shapes: B sequences, T tokens, V vocabulary, D width, H heads, K head width.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyglot_lm.model.config import ModelConfig

ReadOut = Callable[[Tensor, Tensor], Tensor]  # (hidden [B, T, D], head [V, D]) → logits, or a loss


@dataclass(slots=True)
class Cache:
    """Keys and values of the tokens read so far, one [B, H, T, K] pair a layer; filled by the model."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    @property
    def length(self) -> int:
        return self.keys[0].shape[2] if self.keys else 0

    def append(self, layer: int, key_BHTK: Tensor, value_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        if layer == len(self.keys):
            self.keys.append(key_BHTK)
            self.values.append(value_BHTK)
        else:
            self.keys[layer] = torch.cat([self.keys[layer], key_BHTK], dim=2)
            self.values[layer] = torch.cat([self.values[layer], value_BHTK], dim=2)
        return self.keys[layer], self.values[layer]


def rotary_tables(config: ModelConfig, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [length, rotary_dims], in fp32: bf16 angles lose far positions."""
    steps = torch.arange(0, config.rotary_dims, 2, dtype=torch.float32, device=device)
    frequencies = config.rotary_base ** (-steps / config.rotary_dims)
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(heads_BTHK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """Rotate the first R dimensions of each head, pairing dimension i with i + R/2 (Su et al. 2021, arXiv 2104.09864)."""
    rotated, kept = heads_BTHK[..., : cos_TR.shape[1]], heads_BTHK[..., cos_TR.shape[1] :]
    first, second = rotated.chunk(2, dim=3)
    turned = torch.cat([-second, first], dim=3)
    rotated = rotated * cos_TR.unsqueeze(1) + turned * sin_TR.unsqueeze(1)
    return torch.cat([rotated.to(heads_BTHK.dtype), kept], dim=3)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.num_heads, self.head_width = layer, config.num_heads, config.head_width
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.dense = nn.Linear(config.width, config.width)

    def forward(self, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, cache: Cache | None) -> Tensor:
        batch, length, _ = x_BTD.shape
        mixed_BTHK = self.query_key_value(x_BTD).view(batch, length, self.num_heads, 3 * self.head_width)
        query, key, value = mixed_BTHK.chunk(3, dim=3)
        query, key = rotate(query, cos_TR, sin_TR).transpose(1, 2), rotate(key, cos_TR, sin_TR).transpose(1, 2)
        value = value.contiguous().transpose(1, 2)  # cuDNN's attention takes no strided values
        if cache is not None:
            key, value = cache.append(self.layer, key, value)
        # a single new token sees the whole cache; several at once are only ever read from the start
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=length > 1)
        return self.dense(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.approximate = "tanh" if config.gelu == "tanh" else "none"
        self.dense_h_to_4h = nn.Linear(config.width, config.mlp_width)
        self.dense_4h_to_h = nn.Linear(config.mlp_width, config.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x_BTD), approximate=self.approximate))


class Block(nn.Module):
    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.parallel_residual = config.parallel_residual
        self.input_layernorm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.attention = Attention(config, layer)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, cache: Cache | None) -> Tensor:
        attended = self.attention(self.input_layernorm(x_BTD), cos_TR, sin_TR, cache)
        if self.parallel_residual:
            return x_BTD + attended + self.mlp(self.post_attention_layernorm(x_BTD))
        x_BTD = x_BTD + attended
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class GPTNeoX(nn.Module):
    """Tokens in, logits out; parameter names are those of transformers' GPTNeoXForCausalLM without the prefix `gpt_neox.`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_in = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.final_layer_norm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.embed_out = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied_head:
            self.embed_out.weight = self.embed_in.weight

    def forward(self, tokens_BT: Tensor, cache: Cache | None = None, read_out: ReadOut | None = None) -> Tensor:
        """Return logits [B, T, V], or what `read_out` makes of the last hidden states and the head.

        With a cache, `tokens_BT` follow what it holds: a whole prompt into an empty one, then one token at a time. Raises
        ValueError past the context."""
        start = cache.length if cache is not None else 0
        length = tokens_BT.shape[1]
        if start + length > self.config.context:
            raise ValueError(f"{start + length} tokens are more than the context of {self.config.context}")
        if start and length > 1:
            raise ValueError(f"{length} tokens cannot follow a filled cache; give one at a time")
        cos, sin = rotary_tables(self.config, start + length, tokens_BT.device)
        hidden_BTD = self.embed_in(tokens_BT)
        for block in self.layers:
            hidden_BTD = block(hidden_BTD, cos[start:], sin[start:], cache)
        hidden_BTD = self.final_layer_norm(hidden_BTD)
        # a loss that never holds all logits reads the head inside this call, where sharded weights are gathered
        return read_out(hidden_BTD, self.embed_out.weight) if read_out else self.embed_out(hidden_BTD)


Spread = Literal["normal", "scaled_normal", "small", "wang"]


def standard_deviation(spread: Spread, config: ModelConfig) -> float:
    """Return gpt-neox's `init_functions.py`: 0.02; 0.02/√(2L) (Radford et al. 2019); √(2/(5d)) (Nguyen and Salazar 2019); 2/(L√d)
    (Wang and Komatsuzaki 2021)."""
    match spread:
        case "normal":
            return 0.02
        case "scaled_normal":
            return 0.02 / (2 * config.num_layers) ** 0.5
        case "small":
            return (2 / (5 * config.width)) ** 0.5
        case "wang":
            return 2 / (config.num_layers * config.width**0.5)


@torch.no_grad()
def initialize(model: GPTNeoX, generator: torch.Generator, *, inputs: Spread = "small", outputs: Spread = "wang") -> None:
    """Fill the parameters as GPT-NeoX does: matrices by `inputs`, those that end a branch by `outputs`, biases 0, norms 1."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            ends_branch = name.endswith(("attention.dense.weight", "dense_4h_to_h.weight"))
            parameter.normal_(0.0, standard_deviation(outputs if ends_branch else inputs, model.config), generator=generator)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.fill_(1.0)
