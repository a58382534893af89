"""How much of each language the model reads, and in which unit.

A share always carries its unit, since equal in one unit is unequal in the others: Thai takes 2.8 bytes, and under
GPT-4's tokenizer 4.4 tokens, for the content of one English byte (FLORES-200). The unit of balance is the English-equivalent
byte: UTF-8 bytes ÷ byte premium (Arnett et al. 2024, arXiv 2403.00686).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["english_bytes", "bytes", "tokens"]
UNITS: tuple[Unit, ...] = ("english_bytes", "bytes", "tokens")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """What part of the reading each source gets, counted in `unit`; the values are positive and sum to one."""

    unit: Unit
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit is {self.unit!r}; it must be one of {', '.join(UNITS)}")
        if not self.values or not all(value > 0 for value in self.values.values()):
            raise ValueError(f"shares are {dict(self.values)}; there must be one at least, each above 0")
        if abs(sum(self.values.values()) - 1) > 1e-9:
            raise ValueError(f"shares sum to {sum(self.values.values())}; they must sum to 1")

    def converted(self, unit: Unit, per_token: Mapping[str, Mapping[Unit, float]]) -> "Shares":
        """Express the same reading in another unit; `per_token[source][unit]` is what one token of a source holds."""
        amounts = {source: share / per_token[source][self.unit] * per_token[source][unit] for source, share in self.values.items()}
        return Shares(unit=unit, values=normalized(amounts))


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """The same amount of every source, counted in `unit`: the baseline that no learned mixer reliably beats."""

    unit: Unit

    def shares(self, sources: tuple[str, ...]) -> Shares:
        return Shares(unit=self.unit, values=dict.fromkeys(sources, 1 / len(sources)))


def normalized(amounts: Mapping[str, float]) -> dict[str, float]:
    total = sum(amounts.values())
    return {source: amount / total for source, amount in amounts.items()}
