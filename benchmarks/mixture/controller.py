"""What the controller does on synthetic learners: curves of Goldfish's monolingual models in eight languages, 160 MB of content.

    python benchmarks/mixture/controller.py

Each line is one training: relative competence r (loss over that of a model of the language alone with an eighth of the text; lower
is better), its mean, its worst, and the largest over the smallest. Deficit of Thai: what it loses against the same content of every
language. Learners share no capacity, so the level of r means little; the differences are the message. Takes some seconds of CPU;
the last line is one JSON object of figures.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "mixture"))

from synthetic_learners import CURVES, EQUAL, RAW_BYTES, TOTAL, learn, references

from polyglot_lm.languages import languages
from polyglot_lm.mixture import policy_named
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.mixture.units import estimated

NOISES = (0.0, 0.003, 0.01)
HONEST = Equaliser(references=references(CURVES))
TOO_LOW = 0.92
SAME = dict.fromkeys(("a", "b", "c", "d"), CURVES["ko"])
QUARTERS = dict.fromkeys(SAME, 0.25)


def published(name: str) -> dict[str, float]:
    """Return the shares of a published mixture over English-equivalent bytes, languages that it lacks at 1 %."""
    supply = {code: estimated(language.supply_bytes, language.byte_premium) for code, language in languages().items()}
    shares = policy_named(name, unit="english_bytes", budget=None, floor=0.01).shares(supply)
    return dict(shares.converted("english_bytes", supply).values)


def show(name: str, r: Mapping[str, float]) -> None:
    worst = max(r, key=r.__getitem__)
    print(f"{name:<60} {fmean(r.values()):.3f}  {r[worst]:.3f} {worst}  {r[worst] / min(r.values()):.3f}     {r['th']:.3f}")


def arms() -> float:
    """Print what mixtures come to, without the controller and with it; return the smallest part of Thai's deficit removed."""
    print(f"{'':<60} mean   worst     max/min  Thai")
    mixtures = {
        "the same content": EQUAL,
        "the same raw bytes": RAW_BYTES,
        "BLOOM's": published("bloom"),
        "XGLM's": published("xglm"),
    }
    alone = {name: learn(CURVES, shares, None)[0] for name, shares in mixtures.items()}
    for name, r in alone.items():
        show(f"{name}, no controller", r)
    for name in ("the same content", "BLOOM's", "XGLM's"):
        show(f"{name}, controller", learn(CURVES, mixtures[name], HONEST)[0])
    wrong, right = alone["the same raw bytes"]["th"], alone["the same content"]["th"]
    removed: dict[tuple[str, float], float] = {}
    for prior, shares in (("raw bytes", RAW_BYTES), ("content", EQUAL)):
        for noise in NOISES:
            r, _ = learn(CURVES, RAW_BYTES, HONEST, prior=shares, noise=noise)
            show(f"the same raw bytes, controller, prior {prior}, noise {noise:.1%}", r)
            removed[prior, noise] = (wrong - r["th"]) / (wrong - right)
    print("\ndeficit of Thai removed")
    for (prior, noise), part in removed.items():
        print(f"  prior {prior}, noise {noise:.1%}: {part:.1%}")
    return min(part for (prior, _), part in removed.items() if prior == "raw bytes")


def most_with(code: str) -> float:
    """Return the largest share that a language with too low a reference gets, over its prior."""
    wrong = Equaliser(references={**HONEST.references, code: TOO_LOW * HONEST.references[code]})
    return max(decision.shares[code] for decision in learn(CURVES, EQUAL, wrong)[1]) / EQUAL[code]


def last_shares(config: Equaliser, noise: float = 0.0) -> Mapping[str, float]:
    """Return the last shares of four learners of one curve."""
    return learn(SAME, QUARTERS, config, noise=noise)[1][-1].shares


def main() -> None:
    removed = arms()
    misled = {code: most_with(code) for code in CURVES}
    print(f"\na reference {1 - TOO_LOW:.0%} too low takes, of its prior: " + ", ".join(f"{c} {m:.2f}" for c, m in misled.items()))
    honest = Equaliser(references=references(SAME))
    equal = {noise: last_shares(honest, noise).values() for noise in NOISES}
    spreads = {noise: max(shares) / min(shares) for noise, shares in equal.items()}
    print("four equal languages, largest share over smallest: " + ", ".join(f"{s:.3f} (noise {n:.1%})" for n, s in spreads.items()))
    slow = last_shares(Equaliser(references={**references(SAME), "d": CURVES["ko"].loss(TOTAL / 4)}))
    print(f"one slow language of four gets {slow['d']:.1%}, the others {slow['a']:.1%} each")
    found = {
        "thai_deficit_removed": removed,
        "misled_most": max(misled.values()),
        "equal_spread": spreads[0.0],
        "slow_share": slow["d"],
    }
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
