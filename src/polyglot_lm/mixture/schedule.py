"""Mixtures that change while the model trains: piecewise constant, each stage a policy until a part of the tokens is read.

One policy is one stage. Whether a curriculum helps is unsettled (TildeOpen, arXiv 2603.08182, reads uniform, natural, uniform;
arXiv 2510.25947 finds no benefit), so nothing here is a default. All stages are counted in the unit of the first, since the sampler
keeps one account.
"""

import itertools
from dataclasses import dataclass

from polyglot_lm.mixture.policies import Policy, Shares
from polyglot_lm.mixture.presets import policy_named
from polyglot_lm.mixture.units import Budget, Supply, Unit
from polyglot_lm.pipeline import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A policy that holds until `until` of all tokens are read."""

    until: float
    policy: Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Stages, the last of which ends with the reading."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        ends = [0.0, *(stage.until for stage in self.stages)]
        if not all(one < other for one, other in itertools.pairwise(ends)) or ends[-1] != 1:
            raise ValueError(f"stages end at {ends[1:]}; these must rise from above 0 and the last be 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStage:
    """Shares that hold until `until` of all tokens are read."""

    until: float
    shares: Shares


def stages_of(policy: Policy | Schedule, supply: Supply) -> tuple[PlannedStage, ...]:
    """Return the shares of each stage, all in the unit of the first."""
    stages = policy.stages if isinstance(policy, Schedule) else (Stage(until=1.0, policy=policy),)
    unit = stages[0].policy.unit
    return tuple(PlannedStage(until=stage.until, shares=stage.policy.shares(supply).converted(unit, supply)) for stage in stages)


def overall(stages: tuple[PlannedStage, ...], per_token: Supply) -> Shares:
    """Return the shares of the whole reading, in tokens: what stages give, by the tokens they take."""
    total = dict.fromkeys(stages[0].shares.values, 0.0)
    begin = 0.0
    for stage in stages:
        for name, share in stage.shares.converted("tokens", per_token).values.items():
            total[name] += (stage.until - begin) * share
        begin = stage.until
    return Shares(unit="tokens", values=total)


def schedule_named(text: str, *, unit: Unit, budget: Budget | None, floor: float = 0.0) -> Policy | Schedule:
    """Read `uniform`, or stages such as `uniform@0.6 natural@0.9 uniform@1`; raises UserError for what is neither."""
    if "@" not in text:
        return policy_named(text, unit=unit, budget=budget, floor=floor)
    stages: list[Stage] = []
    begin = 0.0
    for item in text.split():
        name, _, end = item.partition("@")
        try:
            until = float(end)
        except ValueError:
            raise UserError(f"stage {item!r} is no POLICY@PART; write stages such as uniform@0.9 natural@1") from None
        part = budget.part(until - begin) if budget and until > begin else None
        stages.append(Stage(until=until, policy=policy_named(name, unit=unit, budget=part, floor=floor)))
        begin = until
    return Schedule(stages=tuple(stages))
