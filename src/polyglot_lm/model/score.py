"""How many bits a model needs for a text: the measure that every tokenizer shares.

A document is scored token by token, its end included, in windows of the model's context that overlap by half, so that past
the first window every token is predicted from at least half a context. Each document starts after `<|endoftext|>`, as in training.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from polyglot_lm.model.transformer import GPTNeoX

BATCH_WINDOWS = 16


def document_bits(model: GPTNeoX, documents: Sequence[Sequence[int]], end_id: int) -> list[float]:
    """Return the bits of each document; `documents` are token ids without end, which is added and scored."""
    bits = [0.0] * len(documents)
    for batch in batched(windows(documents, end_id, model.config.context)):
        tokens = torch.nn.utils.rnn.pad_sequence([window.tokens for window in batch], batch_first=True)
        nats_BT = token_nats(model, tokens)
        for row, window in enumerate(batch):
            scored = nats_BT[row, window.first_scored : len(window.tokens) - 1]
            bits[window.document] += float(scored.sum(dtype=torch.float64)) / math.log(2)
    return bits


class Window:
    """Tokens [n + 1] of one document; predictions from `first_scored` on count."""

    def __init__(self, document: int, tokens: Tensor, first_scored: int) -> None:
        self.document, self.tokens, self.first_scored = document, tokens, first_scored


def windows(documents: Sequence[Sequence[int]], end_id: int, context: int) -> Iterator[Window]:
    stride = max(1, context // 2)
    for number, ids in enumerate(documents):
        tokens = torch.tensor([end_id, *ids, end_id])
        start, scored_to = 0, 0
        while scored_to < len(tokens) - 1:
            stop = min(start + context, len(tokens) - 1)
            yield Window(number, tokens[start : stop + 1], scored_to - start)
            scored_to = stop
            start += stride


def batched(stream: Iterable[Window]) -> Iterator[list[Window]]:
    """Group windows of like length, so that little is padded."""
    ordered = sorted(stream, key=lambda window: -len(window.tokens))
    for start in range(0, len(ordered), BATCH_WINDOWS):
        yield ordered[start : start + BATCH_WINDOWS]


@torch.no_grad()
def token_nats(model: GPTNeoX, tokens_BT: Tensor) -> Tensor:
    """Return −ln p of every token but the first, [B, T − 1], in fp32."""
    device = next(model.parameters()).device
    tokens_BT = tokens_BT.to(device)
    logits_BTV = model(tokens_BT[:, :-1]).float()
    nats = F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten(), reduction="none")
    return nats.view(tokens_BT.shape[0], -1).cpu()
