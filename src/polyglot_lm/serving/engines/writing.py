"""Tokens as they are drawn, into text that may be sent.

    token ids ─► bytes ─► whole characters ─► text in which no stop string has begun ─► Piece

A character of three bytes may take three tokens, and a stop string may begin in one token and end in another. So bytes wait
until they are a character, and characters wait while they are the beginning of a stop string. What waits when the completion
ends is sent, but for the bytes of a character that was never finished.
"""

import codecs
from collections.abc import Sequence
from typing import Literal

from polyglot_lm.serving.engines.engine import Piece, Sampling, Token
from polyglot_lm.tokenizer import Tokenizer


class Writing:
    """The text of one completion. `tokens` are the bytes of each token id, `end_id` ends it."""

    def __init__(self, tokens: Sequence[bytes], end_id: int, sampling: Sampling) -> None:
        self.token_bytes, self.end_id, self.sampling = tokens, end_id, sampling
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.num_drawn = 0
        self.held = ""  # characters that are not sent yet
        self.pending: list[tuple[int, Token]] = []  # tokens that are not sent yet, each with the place in `held` where it begins

    def add(self, token: int, logprob: float | None = None, likeliest: Sequence[tuple[int, float]] = ()) -> Piece | None:
        """Take a drawn token and return what may be sent now, None for nothing; the last piece has `finish`."""
        self.num_drawn += 1
        if token == self.end_id:
            return self.finish("stop")
        raw = self.token_bytes[token]
        others = tuple((self.spelled(other), value) for other, value in likeliest)
        self.pending.append((len(self.held), Token(raw.decode("utf-8", "replace"), logprob, others)))
        self.held += self.decoder.decode(raw)
        if (begin := first(self.held, self.sampling.stop)) is not None:
            self.pending = [(place, drawn) for place, drawn in self.pending if place < begin]
            self.held = self.held[:begin]
            return self.finish("stop")
        if self.num_drawn >= self.sampling.max_tokens:
            return self.finish("length")
        return self.release(len(self.held) - begun(self.held, self.sampling.stop))

    def spelled(self, token: int) -> str:
        return self.token_bytes[token].decode("utf-8", "replace")

    def release(self, length: int) -> Piece | None:
        """Send the first `length` characters held, with the tokens that begin in them."""
        if not length:
            return None
        text, self.held = self.held[:length], self.held[length:]
        tokens = tuple(drawn for place, drawn in self.pending if place < length)
        self.pending = [(place - length, drawn) for place, drawn in self.pending if place >= length]
        return Piece(text, tokens)

    def finish(self, reason: Literal["stop", "length"]) -> Piece:
        """Send all that is held: no more tokens will come."""
        text, self.held = self.held, ""
        tokens, self.pending = tuple(drawn for _, drawn in self.pending), []
        return Piece(text, tokens, reason)


def token_texts(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return how a tokenizer cuts a text, U+FFFD where a token's bytes are no whole character."""
    return [tokenizer.token_bytes[token].decode("utf-8", "replace") for token in tokenizer.encode(text, parse_special=False)]


def first(text: str, stops: Sequence[str]) -> int | None:
    """Return where the stop string begins that ends first: the same however the text came in pieces."""
    found = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def begun(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop string."""
    longest = max(map(len, stops), default=1) - 1
    return next((n for n in range(min(longest, len(text)), 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)
