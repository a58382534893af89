"""Learners made of curves, to try a controller on: loss E + B·n^-β in nats a FLORES sentence, n in English-equivalent megabytes.

The curves are fits through the monolingual Goldfish models of 10, 100 and 1000 MB (arXiv 2408.10441; figures from
tylerachang/goldfish, flores_logperplexities.tsv). A little of what is read in one language serves another; Indonesian and Malay
serve each other more. The reference of a language is its own curve at an eighth of the whole reading. Also used by
benchmarks/mixture/controller.py.
"""

import random
from collections.abc import Mapping

from polyglot_lm.languages import languages
from polyglot_lm.mixture.controller import Controller, Decision, Equaliser
from polyglot_lm.mixture.curves import Curve
from polyglot_lm.mixture.units import normalized

TOTAL = 160.0
STEPS = 200
DECIDE_EVERY = 2
TRANSFER, MALAY_TRANSFER = 0.03, 0.4
GOLDFISH = {
    "en": (51.969, 110.596, 0.2731),
    "ko": (59.603, 107.282, 0.3097),
    "ja": (53.445, 114.746, 0.2939),
    "zh": (61.570, 149.454, 0.3117),
    "id": (63.858, 105.063, 0.3684),
    "ms": (65.179, 92.339, 0.3528),
    "vi": (67.227, 134.192, 0.3698),
    "th": (57.454, 110.766, 0.2767),
}
CURVES = {code: Curve(floor=floor, scale=scale, decay=decay) for code, (floor, scale, decay) in GOLDFISH.items()}
EQUAL = dict.fromkeys(CURVES, 1 / len(CURVES))
RAW_BYTES = normalized({code: 1 / language.byte_premium for code, language in languages().items()})


def references(curves: Mapping[str, Curve]) -> dict[str, float]:
    return {code: curve.loss(TOTAL / 8) for code, curve in curves.items()}


def served(code: str, content: Mapping[str, float]) -> float:
    """Return what was read of a language, and the parts of others that serve it."""
    pair = {"id", "ms"}
    rates = {other: MALAY_TRANSFER if {code, other} == pair else TRANSFER for other in content if other != code}
    return content[code] + sum(rate * content[other] for other, rate in rates.items())


def learn(
    curves: Mapping[str, Curve],
    start: Mapping[str, float],
    config: Equaliser | None,
    *,
    prior: Mapping[str, float] | None = None,
    noise: float = 0.0,
    supply: float = 1e9,
) -> tuple[dict[str, float], list[Decision]]:
    """Read TOTAL by `start`, then by the controller if there is one; return r of each language at the end, and what was decided."""
    controller = config and Controller(
        config=config, prior=prior or start, shares=dict(start), supply=dict.fromkeys(start, supply), total=TOTAL
    )
    shares, content, decisions = dict(start), dict.fromkeys(start, 0.0), []
    draw = random.Random(1)
    for step in range(1, STEPS + 1):
        content = {code: read + shares[code] * TOTAL / STEPS for code, read in content.items()}
        if controller is None or step % DECIDE_EVERY:
            continue
        controller.observe(content, {code: curves[code].loss(served(code, content)) * draw.gauss(1, noise) for code in curves})
        if proposed := controller.propose():
            shares = proposed
            decisions.append(controller.last)
    alone = references(curves)
    return {code: curve.loss(served(code, content)) / alone[code] for code, curve in curves.items()}, decisions
