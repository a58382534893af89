"""UniMax: as uniform as the supply allows, no language read more often than a cap (Chung et al. 2023, arXiv 2304.09151).

From the smallest language up, each gets an equal part of what is left of the budget or its cap, whichever is less. The paper counts
sizes and budget in one unit (characters); here the budget may be in another one than the shares, say tokens for equal content, so
every language has a cost: what one unit of it takes of the budget. With all costs 1 this is the paper's Algorithm 1, but for a
budget above all caps together: there the paper renormalises, which breaks the cap without a word, and we raise.
"""

from collections.abc import Mapping

from polyglot_lm.mixture.units import Budget, Supply, Unit, in_unit, shown
from polyglot_lm.pipeline import UserError

TOLERANCE = 1e-9


def unimax(supply: Supply, unit: Unit, budget: Budget) -> dict[str, float]:
    """Return how much of each language is read, in `unit`; raises UserError where the budget is above all caps."""
    caps = {code: budget.max_epochs * held[unit] for code, held in supply.items()}
    costs = {code: held[budget.unit] / held[unit] for code, held in supply.items()}
    most = sum(costs[code] * cap for code, cap in caps.items())
    if budget.amount > most * (1 + TOLERANCE):
        level = budget.amount / sum(costs.values())
        raise above_cap(dict.fromkeys(supply, level), unit, supply, budget, fits=most)
    return filled(caps, costs, budget.amount)


def filled(caps: Mapping[str, float], costs: Mapping[str, float], budget: float) -> dict[str, float]:
    """Pour the budget in: the same amount everywhere, but never above a cap; Σ cost · amount is the budget."""
    amounts: dict[str, float] = {}
    left, cost_left = budget, sum(costs.values())
    for code in sorted(caps, key=caps.__getitem__):
        amounts[code] = min(max(left, 0.0) / cost_left, caps[code])
        left -= costs[code] * amounts[code]
        cost_left -= costs[code]
    return {code: amounts[code] for code in caps}


def largest_uniform(supply: Supply, unit: Unit, budget_unit: Unit, max_epochs: float) -> float:
    """Return the largest budget, in `budget_unit`, of which every language can have the same part, counted in `unit`."""
    level = max_epochs * min(held[unit] for held in supply.values())
    return sum(in_unit(dict.fromkeys(supply, level), unit, budget_unit, supply).values())


def check_epochs(amounts: Mapping[str, float], unit: Unit, supply: Supply, budget: Budget) -> None:
    """Raise UserError where the amounts that the budget comes to, in `unit`, are above the cap of a language."""
    worst = max(amount / supply[code][unit] for code, amount in amounts.items())
    if worst > budget.max_epochs * (1 + TOLERANCE):
        raise above_cap(amounts, unit, supply, budget, fits=budget.amount * budget.max_epochs / worst)


def above_cap(amounts: Mapping[str, float], unit: Unit, supply: Supply, budget: Budget, *, fits: float) -> UserError:
    lacks = {code: amount - budget.max_epochs * supply[code][unit] for code, amount in amounts.items()}
    short = "; ".join(
        f"{code} lacks {shown(lack, unit)} ({amounts[code] / supply[code][unit]:.1f} epochs of {shown(supply[code][unit], unit)})"
        for code, lack in sorted(lacks.items(), key=lambda item: -item[1])
        if lack > 0
    )
    return UserError(
        f"a budget of {shown(budget.amount, budget.unit)} is above {budget.max_epochs:g} epochs: {short}; "
        f"{shown(fits, budget.unit)} would fit, or add text or raise max_epochs"
    )
