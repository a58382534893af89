"""The shape of a GPT-NeoX model, and the shapes we train by name.

Polyglot-Ko's four sizes are those of the released `config.json` files (EleutherAI/polyglot-ko-1.3b to 12.8b on the hub). The
published count of the 12.8B, 12,898,631,680, does not follow from its shape; 12,893,603,840 does, and the files agree with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from polyglot_lm.pipeline import UserError

PAD_VOCAB_TO = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """A decoder of `num_layers` blocks of attention and MLP on one residual stream.

    `rotary_fraction` of each head is rotated; `vocab_size` is the padded number of rows of the embedding and of the head; `gelu`
    is erf's or the tanh approximation that gpt-neox calls `gelu_fast`.
    """

    vocab_size: int
    context: int
    num_layers: int
    width: int
    num_heads: int
    mlp_width: int
    rotary_fraction: float
    rotary_base: float
    layer_norm_eps: float
    parallel_residual: bool
    tied_head: bool
    gelu: Literal["exact", "tanh"] = "exact"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "num_layers", "width", "num_heads", "mlp_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.num_heads:
            raise ValueError(f"width is {self.width} and num_heads {self.num_heads}; heads must divide the width evenly")
        if self.vocab_size % PAD_VOCAB_TO:
            raise ValueError(f"vocab_size is {self.vocab_size}; pad it to {padded_vocab_size(self.vocab_size)}")
        if not 0 < self.rotary_fraction <= 1 or self.rotary_dims % 2:
            raise ValueError(
                f"rotary_fraction is {self.rotary_fraction}; it must rotate an even number of the "
                f"{self.head_width} dimensions of a head"
            )
        if self.gelu not in ("exact", "tanh"):
            raise ValueError(f"gelu is {self.gelu!r}; it must be exact or tanh")

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads

    @property
    def rotary_dims(self) -> int:
        return int(self.head_width * self.rotary_fraction)

    @property
    def num_parameters(self) -> int:
        """Count embedding, blocks, final norm and head; 1,331,810,304 for Polyglot-Ko 1.3B."""
        attention = 4 * self.width**2 + 4 * self.width
        mlp = 2 * self.width * self.mlp_width + self.width + self.mlp_width
        norms = 4 * self.width
        embeddings = (1 if self.tied_head else 2) * self.vocab_size * self.width
        return self.num_layers * (attention + mlp + norms) + 2 * self.width + embeddings

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of forward and backward for one token: 6·(N − V·d) + 12·L·d·S, attention counted in full
        (PaLM, appendix B), the input embedding not at all."""
        computed = self.num_parameters - (0 if self.tied_head else self.vocab_size * self.width)
        return 6 * computed + 12 * self.num_layers * self.width * self.context


def padded_vocab_size(vocab_size: int) -> int:
    return -(-vocab_size // PAD_VOCAB_TO) * PAD_VOCAB_TO


def neox(*, vocab_size: int, context: int, num_layers: int, width: int, num_heads: int, rotary_dims: int) -> ModelConfig:
    """Return the GPT-NeoX shape that Polyglot-Ko uses: parallel residual, MLP four times as wide, untied head."""
    return ModelConfig(
        vocab_size=padded_vocab_size(vocab_size),
        context=context,
        num_layers=num_layers,
        width=width,
        num_heads=num_heads,
        mlp_width=4 * width,
        rotary_fraction=rotary_dims * num_heads / max(1, width),
        rotary_base=10_000.0,
        layer_norm_eps=1e-5,
        parallel_residual=True,
        tied_head=False,
    )


POLYGLOT_KO_VOCAB = 30_003
POLYGLOT_KO: Mapping[str, ModelConfig] = {
    name: neox(vocab_size=POLYGLOT_KO_VOCAB, context=2048, num_layers=layers, width=width, num_heads=heads, rotary_dims=64)
    for name, layers, width, heads in (
        ("1.3b", 24, 2048, 16),
        ("3.8b", 32, 3072, 24),
        ("5.8b", 28, 4096, 16),
        ("12.8b", 40, 5120, 40),
    )
}


def polyglot_ko(size: str) -> ModelConfig:
    """Look a released shape up; raises UserError that lists them."""
    if size not in POLYGLOT_KO:
        raise UserError(f"no model size {size!r}; there are {', '.join(POLYGLOT_KO)}")
    return POLYGLOT_KO[size]
