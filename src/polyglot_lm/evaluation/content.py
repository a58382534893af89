"""Bits of text under any causal model, in windows of equal content.

A language whose text needs three times the tokens would see a third of the text in a window of equal tokens, and pay for it in
bits. So a window holds the same number of English-equivalent bytes in every language: `window_bytes` is that number times the
language's byte premium. Windows overlap by half: past the first, a token is predicted from half a window at least. Where the
model's own context is too short for a window, the window is cut and counted as cut, so a report can say that its languages were
not equal.

Legend: B windows, T positions, V vocabulary.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from polyglot_lm.evaluation.models import BenchedModel
from polyglot_lm.model.score import token_nats
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import UserError
from polyglot_lm.tokenizer import Tokenizer

BATCH_LOGITS = 2**28  # values held at once: 1 GiB in fp32
MAX_BATCH = 64
Lengths = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A text as token ids, with the bytes of it that each stands for; they add up to the text's."""

    ids: list[int]
    lengths: Lengths


class Scorer(Protocol):
    """What turns text into tokens and says how well it expected them. Texts stand between `start_id` and `end_id`."""

    context: int
    vocab_size: int
    start_id: int
    end_id: int

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Cut texts into tokens, without start and end."""
        ...

    def nats(self, tokens_BT: Tensor) -> Tensor:
        """Return −ln p of every token but the first, [B, T − 1], in fp32 on the CPU."""
        ...


class OurScorer:
    """A network of ours with its tokenizer; special tokens in the text are read as such, as in training."""

    def __init__(self, network: GPTNeoX, tokenizer: Tokenizer) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.context, self.vocab_size = network.config.context, network.config.vocab_size
        self.start_id = self.end_id = tokenizer.end_id
        self.device = next(network.parameters()).device

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        found = self.tokenizer.encode_batch(texts, parse_special=True)
        return [Encoded(ids=ids, lengths=self.tokenizer.token_lengths[ids]) for ids in found]

    def nats(self, tokens_BT: Tensor) -> Tensor:
        return token_nats(self.network, tokens_BT.to(self.device)).cpu()


class HubScorer:
    """A causal model as transformers loads it. Raises UserError for a masked one, which has no likelihood of a text."""

    def __init__(self, model: BenchedModel) -> None:
        if model.masked:
            raise UserError(f"{model.name!r} is a masked model, which has no likelihood of a text; give it tasks alone")
        self.model, self.tokenizer = model, model.tokenizer
        self.context, self.vocab_size = model.context, model.network.config.vocab_size
        special = self.tokenizer("")["input_ids"]
        ends = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id]
        starts = [token for token in [*special[:1], *ends] if token is not None]
        if not starts or ends[1] is None:
            raise UserError(f"the tokenizer of {model.name!r} names no end of text; add eos_token to its configuration")
        self.start_id, self.end_id = starts[0], ends[1]
        self.raw = raw_lengths(self.tokenizer)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Cut texts into tokens; lengths are the tokens' raw bytes, or the text's by offsets where tokens are not bytes."""
        found = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=self.raw is None)
        if self.raw is not None:
            return [Encoded(ids=ids, lengths=self.raw[ids]) for ids in found["input_ids"]]
        lengths = map(lengths_by_offset, texts, found["offset_mapping"])
        return [Encoded(ids=ids, lengths=each) for ids, each in zip(found["input_ids"], lengths, strict=True)]

    @torch.no_grad()
    def nats(self, tokens_BT: Tensor) -> Tensor:
        tokens_BT = tokens_BT.to(self.model.device)
        logits_BTV = self.model.network(tokens_BT[:, :-1]).logits.float()
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten(), reduction="none")
        return nats.view(tokens_BT.shape[0], -1).cpu()


def raw_lengths(tokenizer: Any) -> Lengths | None:
    """Return the raw bytes of every token of a byte-level tokenizer, None for another kind.

    Never through decoding: a token may hold part of a character, whose text would be a replacement mark of three bytes.
    """
    if '"ByteLevel"' not in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str())["decoder"]):
        return None
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    added = set(tokenizer.get_added_vocab())
    lengths = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for text, number in vocabulary.items():
        lengths[number] = len(text.encode()) if text in added else len(text)
    return lengths


def lengths_by_offset(text: str, offsets: Sequence[tuple[int, int]]) -> Lengths:
    """Share a text's bytes out among its tokens by where each ends; what no token covers goes to the next, or to the last."""
    bytes_before = np.cumsum([0, *(len(letter.encode()) for letter in text)])
    ends = np.maximum.accumulate(np.array([bytes_before[stop] for _, stop in offsets], dtype=np.int64))
    if len(ends):
        ends[-1] = bytes_before[-1]
    return np.diff(ends, prepend=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Tokens [start, stop) of a text are predicted at once, each from those before it and the one before `start`; those from
    `first` on count. `cut`: the model's context was shorter than the window."""

    start: int
    first: int
    stop: int
    cut: bool


def content_windows(lengths: Lengths, window_bytes: float, context: int) -> Iterator[Window]:
    """Cover all tokens once; no window holds more than `window_bytes` or `context` tokens, but for one token longer than that."""
    before = np.concatenate([[0], np.cumsum(lengths)])

    def first_within(stop: int, scored: int) -> int:
        return min(int(np.searchsorted(before, before[stop] - window_bytes)), scored)

    scored = 0
    while scored < len(lengths):
        room = window_bytes if scored == 0 else window_bytes / 2
        stop = max(int(np.searchsorted(before, before[scored] + room, side="right")) - 1, scored + 1)
        start = first_within(stop, scored)
        if cut := stop - start > context:
            stop = min(stop, scored + (context if scored == 0 else max(1, context // 2)))
            start = max(first_within(stop, scored), stop - context)
        yield Window(start=start, first=scored, stop=stop, cut=cut)
        scored = stop


def text_bits(scorer: Scorer, texts: Sequence[Encoded], window_bytes: float) -> tuple[list[Floats], int]:
    """Return the bits of every token of each text, its end last, and how many windows were cut."""
    bits = [np.zeros(len(text.ids) + 1) for text in texts]
    tokens = [torch.tensor([scorer.start_id, *text.ids, scorer.end_id]) for text in texts]
    jobs = [
        (number, window)
        for number, text in enumerate(texts)
        for window in content_windows(np.append(text.lengths, 0), window_bytes, scorer.context)
    ]
    num_cut = sum(window.cut for _, window in jobs)
    jobs.sort(key=lambda job: job[1].start - job[1].stop)
    while jobs:
        longest = jobs[0][1].stop - jobs[0][1].start
        size = max(1, min(MAX_BATCH, BATCH_LOGITS // (longest * scorer.vocab_size)))
        batch, jobs = jobs[:size], jobs[size:]
        rows = [tokens[number][window.start : window.stop + 1] for number, window in batch]
        nats_BT = scorer.nats(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)).double().numpy()
        for row, (number, window) in enumerate(batch):
            scored = nats_BT[row, window.first - window.start : window.stop - window.start]
            bits[number][window.first : window.stop] = scored / math.log(2)
    return bits, num_cut


def second_half(encoded: Encoded) -> int:
    """Return the first token that begins at or after half of the text's bytes.

    Half a sentence given the other needs no guess of its language (as Goldfish measures, 2408.10441).
    """
    before = np.concatenate([[0], np.cumsum(encoded.lengths)])
    return int(np.searchsorted(before, before[-1] / 2))
