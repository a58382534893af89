"""Three ways to count what is read, and how one becomes another.

    tokens          what the budget of a training is counted in
    bytes           UTF-8, what a corpus is counted in
    english_bytes   bytes ÷ byte premium (Arnett et al. 2024, arXiv 2403.00686): the bytes that the same content takes in English

Equal in one is unequal in the others: Thai takes 2.8 bytes, and under GPT-4's tokenizer 4.4 tokens, for the content of one English
byte (FLORES-200). So an amount is kept in all three: a `Supply` says how much there is of each language in every unit, and the
ratio of two units is a property of the language, which makes every conversion a multiplication and its own inverse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from polyglot_lm.pipeline import UserError

Unit = Literal["english_bytes", "bytes", "tokens"]
UNITS: tuple[Unit, ...] = ("english_bytes", "bytes", "tokens")
UNIT_NAMES: Mapping[Unit, tuple[str, str, str]] = {  # after thousands of millions, millions, and a plain number
    "english_bytes": ("GB-eq.", "MB-eq.", "English-equivalent bytes"),
    "bytes": ("GB", "MB", "bytes"),
    "tokens": ("B tokens", "M tokens", "tokens"),
}
Supply = Mapping[str, Mapping[Unit, float]]
ENGLISH_BYTES_PER_TOKEN = 4.0  # before a tokenizer is there: parity-aware ones of 64k to 131k tokens hold 3.7 to 4.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How much is read in all, and how often any language may be read for it.

    Past about four epochs repetition stops helping (Muennighoff et al. 2023, arXiv 2305.16264).
    """

    amount: float
    unit: Unit
    max_epochs: float = 4.0

    def __post_init__(self) -> None:
        check_unit(self.unit)
        for name in ("amount", "max_epochs"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} of the budget is {value}; it must be positive and finite")

    def part(self, fraction: float) -> "Budget":
        return Budget(amount=self.amount * fraction, unit=self.unit, max_epochs=self.max_epochs)


def check_unit(unit: str) -> None:
    if unit not in UNITS:
        raise ValueError(f"unit is {unit!r}; it must be one of {', '.join(UNITS)}")


def estimated(num_bytes: float, byte_premium: float, english_bytes_per_token: float = ENGLISH_BYTES_PER_TOKEN) -> dict[Unit, float]:
    """Return bytes of a language in all units, before a tokenizer has counted them."""
    english_bytes = num_bytes / byte_premium
    return {"english_bytes": english_bytes, "bytes": num_bytes, "tokens": english_bytes / english_bytes_per_token}


def in_unit(amounts: Mapping[str, float], unit: Unit, other: Unit, supply: Supply) -> dict[str, float]:
    """Express amounts of languages in another unit."""
    return {code: amount / supply[code][unit] * supply[code][other] for code, amount in amounts.items()}


def normalized(amounts: Mapping[str, float]) -> dict[str, float]:
    total = sum(amounts.values())
    return {name: amount / total for name, amount in amounts.items()}


def shown(amount: float, unit: Unit) -> str:
    """Say an amount with three digits."""
    scale, place = (1e9, 0) if amount >= 1e8 else (1e6, 1) if amount >= 1e5 else (1.0, 2)
    return f"{three_digits(amount / scale)} {UNIT_NAMES[unit][place]}"


def three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def byte_premiums(parallel: Mapping[str, Sequence[str]], reference: str) -> dict[str, float]:
    """Measure UTF-8 bytes for the content of one byte of the reference on parallel sentences.

    Raises UserError where the text has no such language or a language has no text.
    """
    if reference not in parallel:
        raise UserError(f"the parallel text has no language {reference!r}; it has {', '.join(parallel)}")
    num_bytes = {code: sum(len(sentence.encode()) for sentence in sentences) for code, sentences in parallel.items()}
    if empty := [code for code, total in num_bytes.items() if not total]:
        raise UserError(f"the parallel text has no letters in {empty[0]!r}; take the language out or give its sentences")
    return {code: total / num_bytes[reference] for code, total in num_bytes.items()}
