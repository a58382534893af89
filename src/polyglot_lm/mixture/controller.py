"""The predictive equaliser: shares that follow what the model has learned, as repair and insurance of a policy.

Relative competence of a language is r = b/ρ: its bits per byte on control text over those of a reference, a model of that language
alone. Every few steps the loss of each language is fitted as a curve of what was read of it (`curves`), and the rest of the
budget is given so that the worst predicted r at the end is as small as can be: a level t is lowered until reaching r = t
everywhere takes all that is left. Without a fit the shares move by the exponential of r instead.

A fit is an extrapolation, and a reference may be wrong: one that is 8 % too low asks for a quarter of the budget. So what it asks
for is blended with the prior, held within half and twice of it, moved by a tenth at a time, kept under the cap on epochs, and
frozen when the learning rate decays, whose gain would be read as slope. A language that stays at a bound raises an alarm. Without
references the controller refuses: raw losses differ by script and grammar, and equal ones cost a third of the budget for Chinese.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from polyglot_lm.mixture.curves import Curve, fit_curve
from polyglot_lm.mixture.units import normalized
from polyglot_lm.pipeline import UserError

MAX_POINTS = 64  # of each curve; beyond, every second is dropped
LEAST_GAIN = 0.25  # of the median: a language that gains less from a further byte is not fed above its prior
MIN_DECISIONS = 5  # before an alarm
RECENT = 3
REFUSAL = (
    "give the bits per byte of a model of each language alone, or leave the controller out: to equal raw losses is no balance, "
    "since languages differ in them when each is learned as well as can be"
)
Amounts = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Equaliser:
    """How the controller works; parts are of the whole reading.

    `references` are bits per byte of a monolingual model, by language. `begins` and `ends` bound when it decides; let it end where
    the learning rate begins to decay.
    """

    references: Mapping[str, float]
    begins: float = 0.1
    ends: float = 0.8
    blend: float = 0.2
    bound: float = 2.0
    max_log_step: float = 0.1
    gradient_rate: float = 2.0
    alarm_share: float = 0.2

    def __post_init__(self) -> None:
        if not self.references:
            raise ValueError(f"the controller has no references; {REFUSAL}")
        for code, bits in self.references.items():
            if not 0 < bits < math.inf:
                raise ValueError(f"the reference of {code} is {bits} bits per byte; it must be positive and finite")
        if not 0 <= self.begins < self.ends <= 1:
            raise ValueError(f"the controller begins at {self.begins} and ends at {self.ends}; these must rise within [0, 1]")
        if not 0 <= self.blend <= 1 or self.bound < 1 or self.max_log_step <= 0:
            raise ValueError(
                f"blend is {self.blend}, bound {self.bound} and max_log_step {self.max_log_step}; "
                "these must lie in [0, 1], from 1 up, and above 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What was decided and why; `line` goes into the log."""

    progress: float
    method: Literal["predicted", "gradient"]
    target: float | None
    competence: Amounts
    wanted: Amounts
    shares: Amounts
    clamped: tuple[str, ...]
    alarm: tuple[str, ...]
    curves: Mapping[str, Curve]

    @property
    def line(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(kw_only=True, slots=True)
class Controller:
    """Shares by language, counted in English-equivalent bytes, as are `total` (the whole reading) and `supply`."""

    config: Equaliser
    prior: Amounts
    supply: Amounts
    total: float
    max_epochs: float = 4.0
    shares: dict[str, float] = field(default_factory=dict)
    contents: list[dict[str, float]] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)
    num_decisions: int = 0
    num_clamped: dict[str, int] = field(default_factory=dict)
    last: Decision | None = None

    def __post_init__(self) -> None:
        if missing := [code for code in self.prior if code not in self.config.references]:
            raise UserError(f"the controller has no reference for {', '.join(missing)}; {REFUSAL}")
        self.shares = self.shares or normalized(self.prior)
        self.num_clamped = self.num_clamped or dict.fromkeys(self.prior, 0)

    def observe(self, content: Amounts, bits_per_byte: Amounts) -> None:
        """Note what was read of each language so far and its bits per byte on control text; what is no number is left out."""
        if not all(math.isfinite(bits_per_byte[code]) for code in self.prior):
            return
        self.contents.append({code: float(content[code]) for code in self.prior})
        self.losses.append({code: float(bits_per_byte[code]) for code in self.prior})
        if len(self.contents) > MAX_POINTS:
            self.contents, self.losses = self.contents[::2], self.losses[::2]  # an odd number, so that the newest stays

    def propose(self) -> dict[str, float] | None:
        """Return new shares, None before the beginning, after the end and without observations; `last` says why."""
        content = self.contents[-1] if self.contents else dict.fromkeys(self.prior, 0.0)
        left = self.total - sum(content.values())
        progress = 1 - left / self.total
        if not self.contents or not self.config.begins <= progress < self.config.ends:
            return None
        curves = {code: fit_curve(*self.points(code)) for code in self.prior}
        fitted = {code: curve for code, curve in curves.items() if curve is not None}
        competence = self.competence()
        if len(fitted) == len(self.prior):
            target, wanted = plan_ahead(fitted, self.config.references, content, left, self.prior)
        else:
            target, wanted = None, self.uphill(competence)
        blend = self.config.blend
        mixed = {code: (1 - blend) * wanted[code] + blend * share for code, share in normalized(self.prior).items()}
        self.shares, clamped = self.bounded(mixed, content, left)
        self.count(clamped)
        self.last = Decision(
            progress=progress,
            method="gradient" if target is None else "predicted",
            target=target,
            competence=competence,
            wanted=wanted,
            shares=dict(self.shares),
            clamped=clamped,
            alarm=self.alarm(),
            curves=fitted,
        )
        return dict(self.shares)

    def points(self, code: str) -> tuple[list[float], list[float]]:
        return [content[code] for content in self.contents], [losses[code] for losses in self.losses]

    def competence(self) -> dict[str, float]:
        """Return r of each language: bits per byte over the reference, the mean of the latest looks."""
        recent = self.losses[-RECENT:]
        return {code: sum(loss[code] for loss in recent) / len(recent) / self.config.references[code] for code in self.prior}

    def uphill(self, competence: Amounts) -> dict[str, float]:
        """Move the shares towards the languages that lag, by the exponential of how far."""
        mean = sum(competence.values()) / len(competence)
        rate = self.config.gradient_rate
        return normalized({code: share * math.exp(rate * (competence[code] - mean)) for code, share in self.shares.items()})

    def bounded(self, wanted: Amounts, content: Amounts, left: float) -> tuple[dict[str, float], tuple[str, ...]]:
        """Return the nearest allowed shares, and the languages that are held by half or twice the prior."""
        bound, step = self.config.bound, math.exp(self.config.max_log_step)
        prior = normalized(self.prior)
        caps = {code: max(0.0, self.max_epochs * self.supply[code] - content[code]) / left for code in prior}
        high = {code: min(bound * prior[code], step * self.shares[code], caps[code]) for code in prior}
        if sum(high.values()) < 1:  # what the caps take away must go somewhere: they win over the clamps
            high = caps
        low = {code: min(max(prior[code] / bound, self.shares[code] / step), high[code]) for code in prior}
        shares = scaled(wanted, low, high)
        edges = {code: (prior[code] / bound, prior[code] * bound) for code in prior}
        held = tuple(code for code, share in shares.items() if any(math.isclose(share, edge, rel_tol=1e-6) for edge in edges[code]))
        return shares, held

    def count(self, clamped: tuple[str, ...]) -> None:
        self.num_decisions += 1
        for code in clamped:
            self.num_clamped[code] += 1

    def alarm(self) -> tuple[str, ...]:
        """Name the languages that are held at a bound too often: a reference, the prior or the text may be wrong."""
        if self.num_decisions < MIN_DECISIONS:
            return ()
        return tuple(code for code, count in self.num_clamped.items() if count > self.config.alarm_share * self.num_decisions)

    def state(self) -> dict[str, Any]:
        """Return what a resumed controller needs, as JSON."""
        return {name: getattr(self, name) for name in STATE}

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name in STATE:
            setattr(self, name, type(getattr(self, name))(state[name]))


STATE = ("shares", "contents", "losses", "num_decisions", "num_clamped")


def plan_ahead(
    curves: Mapping[str, Curve], references: Amounts, content: Amounts, left: float, prior: Amounts
) -> tuple[float, dict[str, float]]:
    """Return the smallest worst r that what is left can buy, and the parts of it that this takes.

    A language whose loss hardly falls any more would take everything for a level it cannot reach; it gets its prior at most.
    """
    gains = {code: curve.slope(content[code]) / references[code] for code, curve in curves.items()}
    least = LEAST_GAIN * median(gains.values())
    held = {code: share for code, share in normalized(prior).items() if gains[code] < least}
    target, parts = level(curves, references, content, left)
    if over := {code: share for code, share in held.items() if parts[code] > share}:
        others = {code: curve for code, curve in curves.items() if code not in over}
        rest = 1 - sum(over.values())
        target, among = level(others, references, content, left * rest)
        parts = over | {code: rest * part for code, part in among.items()}
    return target, {code: parts[code] for code in curves}


def level(curves: Mapping[str, Curve], references: Amounts, content: Amounts, left: float) -> tuple[float, dict[str, float]]:
    """Lower t by bisection until reaching r = t everywhere takes all that is left."""

    def needs(target: float) -> dict[str, float]:
        return {code: max(0.0, curve.content(target * references[code]) - content[code]) for code, curve in curves.items()}

    low, high = 0.0, max(curve.loss(content[code]) / references[code] for code, curve in curves.items())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(needs(middle).values()) <= left else (middle, high)
    wanted = needs(high)
    total = sum(wanted.values())
    return high, normalized(wanted) if total else dict.fromkeys(curves, 1 / len(curves))


def scaled(wanted: Amounts, low: Amounts, high: Amounts) -> dict[str, float]:
    """Scale by one factor, each within its bounds, so that the sum is 1; the bounds' sums must lie around 1."""

    def clipped(factor: float) -> dict[str, float]:
        return {code: min(max(factor * share, low[code]), high[code]) for code, share in wanted.items()}

    least, most = 0.0, max(high[code] / share for code, share in wanted.items() if share > 0)
    for _ in range(100):
        middle = (least + most) / 2
        least, most = (least, middle) if sum(clipped(middle).values()) >= 1 else (middle, most)
    return normalized(clipped(most))
