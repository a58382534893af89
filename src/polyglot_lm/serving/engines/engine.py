"""The one interface behind which models run: text in, pieces of text out.

An engine takes a prompt as text (special tokens in it are plain text) and yields `Piece`s as they are drawn. It owns
its tokenizer, its batching and its stops: a stop string never appears in a piece, and the text before it does. Whoever
closes the iterator (`aclose`) cancels the generation. What an engine cannot do it leaves out of `honours`; the API refuses
such a request by the parameter's name instead of ignoring it. A prompt is read after `<|endoftext|>`, as documents are in training.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from polyglot_lm.pipeline import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How one completion is drawn, with the names and defaults of the OpenAI API.

    `temperature` 0 takes the likeliest token; `top_k` 0 and `top_p` 1 leave all in; `seed` None draws one; `logprobs`
    asks for the log-probability of each token and of that many likeliest ones.
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        for name, fine, bound in (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature <= 2, "0 (greedy) to 2"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and up to 1 (all)"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("repetition_penalty", 0 < self.repetition_penalty <= 2, "above 0 and up to 2 (1 is none)"),
            ("stop", len(self.stop) <= 4 and all(self.stop), "at most 4 strings, none empty"),
            ("logprobs", self.logprobs is None or 0 <= self.logprobs <= 5, "0 to 5"),
        ):
            if not fine:
                raise UserError(f"{name} is {getattr(self, name)!r}; it must be {bound}")


@dataclass(frozen=True, slots=True)
class Token:
    """One drawn token: its own text (U+FFFD where its bytes are no whole character), natural log-probability, likeliest others."""

    text: str
    logprob: float | None = None
    likeliest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is final, the tokens drawn since the last piece, and on the last piece why it ended."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Literal["stop", "length"] | None = None


class Unavailable(UserError):  # noqa: N818  (no error of the asker's)
    """The request is well, but the model cannot answer it now; whoever asks again later may have it."""


class Engine(Protocol):
    """A model ready to write. `context` counts tokens of prompt and completion together; `ready` is False while it loads."""

    name: str
    context: int
    honours: frozenset[str]
    ready: bool

    async def start(self) -> None:
        """Load the model; raises UserError where the folder or address is not usable."""

    async def close(self) -> None:
        """Stop all generations and free the model."""

    def tokens(self, text: str) -> list[str] | None:
        """Return the text's tokens as text, or None where the tokenizer is not at hand."""

    def stream(self, prompt: str, sampling: Sampling, client: str = "") -> AsyncGenerator[Piece, None]:
        """Continue `prompt`; the last piece carries `finish`. The waiting client with the least under way is next."""
