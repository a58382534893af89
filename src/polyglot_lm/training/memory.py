"""How much memory a training needs on each card, by component.

Two moments can be the fullest: the end of the forward pass, when all activations and the last logits are there but no gradient yet
(unless micro-batches are accumulated), and the end of the backward pass, when all gradients are there but one block's activations.
Parameters, gradients and Adam's two moments are fp32 and spread over the cards that share a copy; what is computed with is bf16.

The bytes kept of a token in each layer are fitted to the runs of `measured.toml`, which they meet within 1 %; those of full
recomputation follow from which tensors stay, and were not measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.pipeline import Recompute
from polyglot_lm.training.loss import CHUNK_TOKENS

GIB = 2**30
ERROR = 0.01  # the largest over the measured runs
SPARE = 0.05  # left free: what lies unused between blocks of torch's allocator, and NCCL's own buffers
Precision = Literal["bf16", "fp8"]
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
KEPT_BYTES: Mapping[tuple[Precision, Recompute], float] = {  # of a token, in a layer, for each dimension of the width
    ("bf16", "none"): 30.5,
    ("bf16", "selective"): 18.0,
    ("bf16", "full"): 2.0,
    ("fp8", "none"): 32.5,
    ("fp8", "selective"): 18.0,
    ("fp8", "full"): 2.0,
}
LOGIT_BYTES = 4  # a chunk in bf16, which its own gradient overwrites, and what its products need
ADAM_BYTES, GRADIENT_BYTES, PARAMETER_BYTES = 8, 4, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """How a training lies on its cards: `shards` of them share one copy of the model, its blocks gathered one by one (FSDP);
    `micro_batch` windows are computed at once, `accumulated` times a step."""

    shards: int
    micro_batch: int
    accumulated: int
    recompute: Recompute
    precision: Precision

    @property
    def gathered(self) -> bool:
        return self.shards > 1


def memory_gib(model: ModelConfig, placement: Placement) -> dict[str, float]:
    """Return what each card holds at the fullest moment, in GiB by component; what is absent then is not there."""
    forward, backward = forward_end(model, placement), backward_end(model, placement)
    fullest = max(forward, backward, key=lambda held: sum(held.values()))
    return {name: held / GIB for name, held in fullest.items() if held}


def forward_end(model: ModelConfig, placement: Placement) -> dict[str, float]:
    tokens = placement.micro_batch * model.context
    kept = KEPT_BYTES[placement.precision, placement.recompute]
    logits = LOGIT_BYTES * model.vocab_size * min(tokens, CHUNK_TOKENS)
    return {
        **state(model, placement, gradients=placement.accumulated > 1),
        "activations": kept * tokens * model.num_layers * model.width,
        "logits": logits,
    }


def backward_end(model: ModelConfig, placement: Placement) -> dict[str, float]:
    whole = KEPT_BYTES[placement.precision, "none"] * placement.micro_batch * model.context * model.width
    return {**state(model, placement, gradients=True), "activations": whole}


def state(model: ModelConfig, placement: Placement, *, gradients: bool) -> dict[str, float]:
    count = model.num_parameters / placement.shards
    return {
        "parameters": PARAMETER_BYTES * count,
        "optimizer": ADAM_BYTES * count,
        "gradients": GRADIENT_BYTES * count if gradients else 0,
        "low-precision copies": copies(model, placement),
    }


def copies(model: ModelConfig, placement: Placement) -> float:
    """Return the bytes of parameters in the format they are computed in, two each, FP8 by rows and by columns too: those of all
    blocks where they are kept; else of the one at hand, and, where blocks are gathered, of the next, and of both the gradients."""
    outside = (1 if model.tied_head else 2) * model.vocab_size * model.width
    blocks = model.num_parameters - outside
    if placement.gathered:
        return 2 * (2 * blocks / model.num_layers + outside) + 4 * blocks / model.num_layers
    kept = blocks if placement.recompute == "none" else blocks / model.num_layers
    return 2 * kept + 2 * model.vocab_size * model.width
