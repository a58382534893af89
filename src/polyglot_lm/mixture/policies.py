"""How much of each language the model reads: pure functions from sizes to shares.

    Uniform       the same amount of every language: the baseline that no learned mixer reliably beats (arXiv 2411.05735)
    Temperature   size to the power alpha; 1 is the natural mixture, 0.7 mBERT's, 0.3 that of XLM-R and mT5
    Explicit      weights of one's own or of a published model (`presets`), with a floor for languages that these lack
    UniMax        as uniform as the supply allows within a cap on epochs (`unimax`)

A share always carries its unit, since equal in one unit is unequal in the others (`units`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from polyglot_lm.mixture.unimax import unimax
from polyglot_lm.mixture.units import Budget, Supply, Unit, check_unit, normalized
from polyglot_lm.pipeline import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """What part of the reading each source gets, counted in `unit`; the values are positive and sum to one."""

    unit: Unit
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        check_unit(self.unit)
        if not self.values or not all(value > 0 for value in self.values.values()):
            raise ValueError(f"shares are {dict(self.values)}; there must be one at least, each above 0")
        if not abs(sum(self.values.values()) - 1) <= 1e-9:
            raise ValueError(f"shares sum to {sum(self.values.values())}; they must sum to 1")

    def converted(self, unit: Unit, per_token: Mapping[str, Mapping[Unit, float]]) -> "Shares":
        """Express the same reading in another unit; `per_token[source][unit]` is what one token of a source holds."""
        amounts = {source: share / per_token[source][self.unit] * per_token[source][unit] for source, share in self.values.items()}
        return Shares(unit=unit, values=normalized(amounts))


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """The same amount of every language, counted in `unit`."""

    unit: Unit

    def shares(self, supply: Supply) -> Shares:
        return Shares(unit=self.unit, values={code: 1 / len(supply) for code in supply})


@dataclass(frozen=True, kw_only=True, slots=True)
class Temperature:
    """Shares as the sizes, in `unit`, to the power `alpha` (Devlin et al. 2019; alpha is 1/temperature)."""

    unit: Unit
    alpha: float

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie between 0 (uniform) and 1 (natural)")

    def shares(self, supply: Supply) -> Shares:
        largest = max(held[self.unit] for held in supply.values())  # so that no size overflows
        weights = {code: (held[self.unit] / largest) ** self.alpha for code, held in supply.items()}
        return Shares(unit=self.unit, values=normalized(weights))


@dataclass(frozen=True, kw_only=True, slots=True)
class Explicit:
    """Weights by language, in any scale; a language that has none gets the share `floor`."""

    unit: Unit
    weights: Mapping[str, float]
    floor: float = 0.0

    def __post_init__(self) -> None:
        for code, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"the weight of {code} is {weight}; it must be finite and 0 or more")
        if not any(self.weights.values()):
            raise ValueError(f"the weights are {dict(self.weights)}; one at least must be above 0")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor is {self.floor}; it must be 0 or more and below 1")

    def shares(self, supply: Supply) -> Shares:
        """Raises UserError where a language would get nothing, or where floors leave nothing."""
        weighted = {code: self.weights[code] for code in supply if self.weights.get(code)}
        missing = [code for code in supply if code not in weighted]
        if missing and not self.floor:
            raise UserError(f"there is no weight for {', '.join(missing)}; set floor=0.01 or leave such languages out")
        left = 1 - self.floor * len(missing)
        if not weighted or left <= 0:
            raise UserError(f"a floor of {self.floor} for {len(missing)} languages leaves nothing; lower floor or give weights")
        values = {code: left * share for code, share in normalized(weighted).items()}
        return Shares(unit=self.unit, values={code: values.get(code, self.floor) for code in supply})


@dataclass(frozen=True, kw_only=True, slots=True)
class UniMax:
    """As uniform in `unit` as the supply allows, no language above the budget's cap on epochs."""

    unit: Unit
    budget: Budget

    def shares(self, supply: Supply) -> Shares:
        """Raises UserError where the budget is above all caps together."""
        return Shares(unit=self.unit, values=normalized(unimax(supply, self.unit, self.budget)))


Policy = Uniform | Temperature | Explicit | UniMax
