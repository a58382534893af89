"""How much memory a training needs on each card, by component.

Two moments can be the fullest: the end of the forward pass, when all activations and the last logits are there but no gradient yet
(unless micro-batches are accumulated), and the end of the backward pass, when all gradients are there but one block's activations.
Parameters, gradients and Adam's two moments are fp32 and spread over the cards that share a copy; what is computed with is bf16.

The bytes kept of a token in each layer are fitted to the runs of `measured.toml`, which they meet within 6 %; those of selective
recomputation and of FP8 with recomputation follow from which tensors stay, and were not measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.pipeline import Recompute

GIB = 2**30
ERROR = 0.06  # the largest over the measured runs
Precision = Literal["bf16", "fp8"]
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
KEPT_BYTES: Mapping[tuple[Precision, Recompute], float] = {  # of a token, in a layer, for each dimension of the width
    ("bf16", "none"): 32.75,
    ("bf16", "selective"): 20.0,
    ("bf16", "full"): 2.0,
    ("fp8", "none"): 25.0,
    ("fp8", "selective"): 20.0,
    ("fp8", "full"): 2.0,
}
LOGIT_BYTES = 10  # fp32 logits, their gradient in bf16, and what the softmax needs
ADAM_BYTES, GRADIENT_BYTES, PARAMETER_BYTES = 8, 4, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a training lies on its cards: `shards` of them share one copy of the model, its blocks `gathered` one by one (FSDP);
    `micro_batch` windows are computed at once, `accumulated` times a step; logits of `chunk_tokens` exist at once."""

    shards: int
    gathered: bool
    micro_batch: int
    accumulated: int
    recompute: Recompute
    precision: Precision
    chunk_tokens: int


def memory_gib(model: ModelConfig, layout: Layout) -> dict[str, float]:
    """Return what each card holds at the fullest moment, in GiB by component; what is absent then is not there."""
    forward, backward = forward_end(model, layout), backward_end(model, layout)
    fullest = max(forward, backward, key=lambda held: sum(held.values()))
    return {name: held / GIB for name, held in fullest.items() if held}


def forward_end(model: ModelConfig, layout: Layout) -> dict[str, float]:
    tokens = layout.micro_batch * model.context
    kept = KEPT_BYTES[layout.precision, layout.recompute]
    logits = LOGIT_BYTES * model.vocab_size * min(tokens, layout.chunk_tokens)
    return {
        **state(model, layout, gradients=layout.accumulated > 1),
        "activations": kept * tokens * model.num_layers * model.width,
        "logits": logits,
    }


def backward_end(model: ModelConfig, layout: Layout) -> dict[str, float]:
    whole = KEPT_BYTES[layout.precision, "none"] * layout.micro_batch * model.context * model.width
    return {**state(model, layout, gradients=True), "activations": whole}


def state(model: ModelConfig, layout: Layout, *, gradients: bool) -> dict[str, float]:
    count = model.num_parameters / layout.shards
    return {
        "parameters": PARAMETER_BYTES * count,
        "optimizer": ADAM_BYTES * count,
        "gradients": GRADIENT_BYTES * count if gradients else 0,
        "low-precision copies": copies(model, layout),
    }


def copies(model: ModelConfig, layout: Layout) -> float:
    """Return the bytes of parameters in the format they are computed in: all of them, which autocast keeps, or, where blocks are
    gathered, the one at hand and the next with their gradients, the embedding and the head."""
    outside = (1 if model.tied_head else 2) * model.vocab_size * model.width
    blocks = model.num_parameters - outside
    if layout.gathered:
        return 2 * (2 * blocks / model.num_layers + outside) + 4 * blocks / model.num_layers
    return (1 if layout.precision == "fp8" else 2) * blocks + 2 * model.vocab_size * model.width
