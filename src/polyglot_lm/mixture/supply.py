"""What a plan lacks before a byte is read: supply of each language against a budget that all share evenly.

In: bytes of the text that will be read, as its sources state them. Out: how often each language would be read at several budgets,
how far it is from "hundreds of billions of tokens" of its own, and the largest budget that all can share evenly within the cap on
epochs. Tokens are an estimate until a tokenizer has counted them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyglot_lm.mixture.unimax import largest_uniform
from polyglot_lm.mixture.units import Supply, Unit, shown

BUDGETS = (100e9, 500e9, 1e12)  # tokens
WANTED_TOKENS = 200e9  # the least that "hundreds of billions" can mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A source of text: `amount` says its size, in bytes or tokens, empty where it states none."""

    name: str
    license: str
    amount: str
    read: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SupplyRow:
    """One language: its text in every unit, epochs at each of `BUDGETS`, and tokens it lacks of `WANTED_TOKENS`."""

    code: str
    texts: tuple[Text, ...]
    held: Mapping[Unit, float]
    epochs: tuple[float, ...]
    lacks_tokens: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SupplyPlan:
    """Rows by language, and the largest budget in tokens that all can share evenly within `max_epochs`."""

    rows: tuple[SupplyRow, ...]
    max_epochs: float
    largest_uniform_tokens: float
    notes: tuple[str, ...] = ()

    @property
    def scarcest(self) -> SupplyRow:
        return min(self.rows, key=lambda row: row.held["english_bytes"])

    def by_source(self) -> dict[tuple[str, str, bool], dict[str, str]]:
        """Return amounts by language of every source, those that are read first; keys are name, licence and whether it is read."""
        found: dict[tuple[str, str, bool], dict[str, str]] = {}
        for row in self.rows:
            for text in row.texts:
                found.setdefault((text.name, text.license, text.read), {})[row.code] = text.amount
        return dict(sorted(found.items(), key=lambda item: not item[0][2]))

    def sentences(self) -> list[str]:
        """Name every shortfall, and the budget that fits."""
        short = [
            f"{row.code} lacks {shown(row.lacks_tokens, 'tokens')}: it has {shown(row.held['tokens'], 'tokens')} where "
            f"{shown(WANTED_TOKENS, 'tokens')} are wanted, which would be {WANTED_TOKENS / row.held['tokens']:.1f} epochs"
            for row in self.rows
            if row.lacks_tokens > 0
        ]
        return [
            *self.notes,
            *short,
            f"{shown(self.largest_uniform_tokens, 'tokens')} in all can be shared evenly within {self.max_epochs:g} epochs; "
            f"{self.scarcest.code} sets this bound",
        ]


def supply_plan(supply: Supply, texts: Mapping[str, Sequence[Text]], max_epochs: float, notes: tuple[str, ...] = ()) -> SupplyPlan:
    """Hold the text of each language against budgets shared evenly, counted in English-equivalent bytes."""
    cost = sum(held["tokens"] / held["english_bytes"] for held in supply.values())  # tokens for one English byte of each
    rows = (
        SupplyRow(
            code=code,
            texts=tuple(texts[code]),
            held=held,
            epochs=tuple(budget / cost / held["english_bytes"] for budget in BUDGETS),
            lacks_tokens=max(0.0, WANTED_TOKENS - held["tokens"]),
        )
        for code, held in supply.items()
    )
    most = largest_uniform(supply, "english_bytes", "tokens", max_epochs)
    return SupplyPlan(rows=tuple(rows), max_epochs=max_epochs, largest_uniform_tokens=most, notes=notes)
