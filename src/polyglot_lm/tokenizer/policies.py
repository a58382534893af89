"""Whose text a tokenizer learns from, and whose pairs it merges.

    Natural    text in proportion to the supply, plain BPE: what a tokenizer gets that nobody balanced
    Weighted   text in proportion to given weights, plain BPE: what a tokenizer gets that was trained on a skewed mixture
    Balanced   the same English-equivalent bytes of every language, plain BPE
    Parity     balanced text, and at every merge the language that is dearest at the moment chooses (parity-aware BPE,
               arXiv 2508.04796): dearest by tokens on parallel sentences or, without these, by bytes a token ÷ byte premium
               of the training text, which holds only where that says the same in all languages

Most of the gain is in balanced text; parity takes the rest for one or two tokens in a hundred. `plain_share` is the knob between
them: the share of merges, the first ones, that all languages choose together. At 65,536 tokens and `PLAIN_SHARE` of them the Gini
coefficient of a sentence's cost falls from .026 to .009, for 2 % more tokens (docs/tokenizer.md).
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyglot_lm.pipeline import UserError, xxh3_128_file
from polyglot_lm.tokenizer.parity import read_parallel
from polyglot_lm.tokenizer.special import SPECIAL_TOKENS
from polyglot_lm.tokenizer.stages import add_merges, in_letters, learn_parity, num_letters

BYTES = 256
PLAIN_SHARE = 0.6  # of the recipes
PLAIN_SECONDS_PER_MB = 1.5  # of one core (benchmarks/tokenizer: 151 s for 100 MB and 65,536 tokens, 42 s for 24 MB and 131,072),
LETTERS_SECONDS_PER_MB = 0.7  # to write them in letters (69 s),
PARITY_SECONDS_PER_MB = 0.7  # and to learn 26,000 merges on these (68 s)
Samples = Mapping[str, Callable[[], Iterator[str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelText:
    """A file of parallel sentences (see `parity.read_parallel`); its identity is its content, not its place."""

    path: Path

    def identity(self) -> dict[str, Any]:
        if not self.path.is_file():
            raise UserError(f"there is no parallel text at {self.path}; give JSON lines with one sentence a language")
        return {"bytes": self.path.stat().st_size, "xxh3_128": xxh3_128_file(self.path)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Natural:
    """Every language's share of the text is its share of the supply, both in English-equivalent bytes."""

    def budgets(self, supply: Mapping[str, float], mean: float) -> dict[str, float]:
        share = min(1.0, mean * len(supply) / sum(supply.values()))
        return {code: amount * share for code, amount in supply.items()}

    def expected_seconds(self, num_bytes: int) -> float:
        return PLAIN_SECONDS_PER_MB * num_bytes / 1e6

    def train(self, tokenizer: Any, samples: Samples, vocab_size: int, byte_premiums: Mapping[str, float]) -> None:
        plain(tokenizer, samples, vocab_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighted:
    """Text in proportion to `weights`, in English-equivalent bytes, as much as the supply allows in these proportions."""

    weights: Mapping[str, float]

    def budgets(self, supply: Mapping[str, float], mean: float) -> dict[str, float]:
        """Raises UserError where a language has no weight."""
        if missing := [code for code in supply if not self.weights.get(code)]:
            raise UserError(f"the tokenizer's text has no weight for {', '.join(missing)}; give each language one above 0")
        total = sum(self.weights[code] for code in supply)
        most = min(mean * len(supply), *(amount * total / self.weights[code] for code, amount in supply.items()))
        return {code: most * self.weights[code] / total for code in supply}

    def expected_seconds(self, num_bytes: int) -> float:
        return PLAIN_SECONDS_PER_MB * num_bytes / 1e6

    def train(self, tokenizer: Any, samples: Samples, vocab_size: int, byte_premiums: Mapping[str, float]) -> None:
        plain(tokenizer, samples, vocab_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Balanced:
    """The same English-equivalent bytes of every language, cut where the smallest ends."""

    def budgets(self, supply: Mapping[str, float], mean: float) -> dict[str, float]:
        return dict.fromkeys(supply, min(mean, *supply.values()))

    def expected_seconds(self, num_bytes: int) -> float:
        return PLAIN_SECONDS_PER_MB * num_bytes / 1e6

    def train(self, tokenizer: Any, samples: Samples, vocab_size: int, byte_premiums: Mapping[str, float]) -> None:
        plain(tokenizer, samples, vocab_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """Parity-aware BPE on balanced text; `window` keeps one language from many merges in a row."""

    parallel: ParallelText | None
    plain_share: float
    variant: Literal["base", "window"] = "base"

    def __post_init__(self) -> None:
        if not 0 <= self.plain_share < 1:
            raise UserError(
                f"plain_share is {self.plain_share}; it must be at least 0 and below 1, where parity would choose nothing"
            )

    def budgets(self, supply: Mapping[str, float], mean: float) -> dict[str, float]:
        return Balanced().budgets(supply, mean)

    def expected_seconds(self, num_bytes: int) -> float:
        return (PLAIN_SECONDS_PER_MB + LETTERS_SECONDS_PER_MB + PARITY_SECONDS_PER_MB) * num_bytes / 1e6

    def train(self, tokenizer: Any, samples: Samples, vocab_size: int, byte_premiums: Mapping[str, float]) -> None:
        merges = vocab_size - BYTES - len(SPECIAL_TOKENS)
        rest = merges - round(merges * self.plain_share)
        sentences = read_parallel(self.parallel.path, list(samples)) if self.parallel else None
        texts = {code: list(sample()) for code, sample in samples.items()}
        plain(tokenizer, {code: functools.partial(iter, found) for code, found in texts.items()}, vocab_size - rest)
        written = {code: list(in_letters(tokenizer, found)) for code, found in texts.items()}
        letter_bytes = {
            code: sum(len(text.encode()) for text in texts[code]) / max(1, num_letters(written[code])) for code in texts
        }
        learned = learn_parity(
            list(written.values()),
            [list(in_letters(tokenizer, sentences[code])) for code in texts] if sentences else None,
            None if sentences else [byte_premiums[code] / letter_bytes[code] for code in texts],
            rest,
            self.variant,
        )
        add_merges(tokenizer, learned, vocab_size)


Policy = Natural | Weighted | Balanced | Parity


def plain(tokenizer: Any, samples: Samples, vocab_size: int) -> None:
    from tokenizers import trainers

    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((text for sample in samples.values() for text in sample()), trainer)


def alphabet() -> Sequence[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())
