"""Continue a prompt, one token at a time, with cached keys and values.

Bytes come out, not characters: a character of three bytes may take three tokens. `stream_text` holds bytes back until
they are whole characters. Past the context the oldest half is forgotten.
"""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyglot_lm.model.transformer import Cache, GPTNeoX
from polyglot_lm.pipeline import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is drawn: `temperature` 0 takes the likeliest; `top_k` 0 and `top_p` 1 leave all tokens in."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UserError(f"temperature is {self.temperature}; it must be 0 (greedy) or above")
        if self.top_k < 0:
            raise UserError(f"top_k is {self.top_k}; it must be 0 (all) or above")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}; it must lie above 0 and up to 1 (all)")


@torch.no_grad()
def generate(
    model: GPTNeoX, prompt: Sequence[int], *, max_tokens: int, end_id: int, allowed: int, sampling: Sampling
) -> Iterator[int]:
    """Yield new tokens until `end_id` or `max_tokens`; only ids below `allowed` are drawn (the rest pads the embedding)."""
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(sampling.seed)
    context = model.config.context
    history = [end_id, *prompt]
    cache, pending = Cache(), history[-context:]
    for _ in range(max_tokens):
        if cache.length + len(pending) > context:
            cache, pending = Cache(), history[-(context // 2) :]
        logits_V = model(torch.tensor([pending], device=device), cache)[0, -1, :allowed].float()
        token = draw(logits_V, sampling, generator)
        if token == end_id:
            return
        history.append(token)
        pending = [token]
        yield token


def draw(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    probabilities, order = torch.softmax(logits_V / sampling.temperature, dim=0).sort(descending=True, stable=True)
    if sampling.top_k:
        probabilities[sampling.top_k :] = 0
    before = probabilities.cumsum(0) - probabilities
    probabilities[before >= sampling.top_p] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])


def stream_text(pieces: Iterable[bytes]) -> Iterator[str]:
    """Decode bytes as they come; what never becomes a character shows as U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
