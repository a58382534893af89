"""Pseudo-log-likelihood: what a masked model can say of a text (Salazar et al. 2020, 1910.14659).

Every token in turn is hidden and predicted from all others, before and after it; the sum of the logarithms ranks answers, but
it is no likelihood and must not stand beside one. A piece is predicted with the later pieces of its word hidden too, else a
long word is guessed from its own end (Kauf and Ivanova 2023, 2305.10588).
"""

from collections.abc import Sequence
from typing import Any

import torch

BATCH_TOKENS = 8192


@torch.no_grad()
def pseudo_nats(network: Any, tokenizer: Any, tokens: Sequence[int], first: int) -> float:
    """Return −Σ ln p of the tokens from `first` on, each given the others; `tokens` come without the model's own first and last."""
    pieces = tokenizer.convert_ids_to_tokens(list(tokens))
    begin = tokenizer.cls_token_id
    whole = torch.tensor([begin, *tokens, tokenizer.sep_token_id], device=next(network.parameters()).device)
    places = range(first, len(tokens))
    nats = 0.0
    rows = max(1, BATCH_TOKENS // len(whole))
    for start in range(0, len(places), rows):
        batch = places[start : start + rows]
        hidden = whole.repeat(len(batch), 1)
        for row, place in enumerate(batch):
            hidden[row, [1 + each for each in to_hide(pieces, place)]] = tokenizer.mask_token_id
        logits_BTV = network(hidden).logits.float()
        at = torch.tensor([1 + place for place in batch], device=hidden.device)
        logits_BV = logits_BTV[torch.arange(len(batch), device=hidden.device), at]
        nats += float(torch.nn.functional.cross_entropy(logits_BV, whole[at], reduction="sum"))
    return nats


def to_hide(pieces: Sequence[str], place: int) -> list[int]:
    """Return the piece and the later pieces of its word; WordPiece writes those with `##`."""
    stop = place + 1
    while stop < len(pieces) and pieces[stop].startswith("##"):
        stop += 1
    return list(range(place, stop))
