"""Policies by name, as a person writes them.

`uniform`, `unimax`, the mixture of a published model (`presets.toml`), or weights of one's own such as `ko:2,en:1`.
"""

import difflib
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.mixture.policies import Explicit, Policy, Temperature, Uniform, UniMax
from polyglot_lm.mixture.units import Budget, Unit
from polyglot_lm.pipeline import UserError

TABLE = Path(__file__).with_name("presets.toml")


@functools.cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """Return the published mixtures by name; `source` says where each was read."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def policy_named(name: str, *, unit: Unit, budget: Budget | None, floor: float = 0.0) -> Policy:
    """Return a policy; `unit` is that of uniform, UniMax and weights of one's own, a published mixture keeps its own.

    `floor` is the share of a language that the weights lack. Raises UserError for an unknown name or wrong weights.
    """
    if ":" in name:
        return Explicit(unit=unit, weights=read_weights(name), floor=floor)
    if name == "uniform":
        return Uniform(unit=unit)
    if name == "unimax":
        if budget is None:
            raise UserError("policy 'unimax' needs a budget; give the tokens that will be read")
        return UniMax(unit=unit, budget=budget)
    if name not in presets():
        known = ["uniform", "unimax", *presets()]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}, and weights such as ko:2,en:1"
        raise UserError(f"no policy {name!r}; {hint}")
    preset = presets()[name]
    if "alpha" in preset:
        return Temperature(unit=preset["unit"], alpha=preset["alpha"])
    return Explicit(unit=preset["unit"], weights=preset["weights"], floor=floor)


def read_weights(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in text.split(","):
        code, _, number = item.strip().partition(":")
        if code in weights:
            raise UserError(f"language {code!r} has two weights; give each one")
        try:
            weights[code] = float(number)
        except ValueError:
            raise UserError(f"weight {item.strip()!r} is no CODE:NUMBER; write weights such as ko:2,en:1") from None
    return weights
