"""How far two languages are apart in syntax: data in `syntax.toml`."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

SYNTAX = Path(__file__).with_name("syntax.toml")


@functools.cache
def distances() -> Mapping[frozenset[str], float]:
    """Return the distance of every pair that is known, in [0, 1]."""
    rows = tomllib.loads(SYNTAX.read_text(encoding="utf-8"))
    return {frozenset((one, other)): distance for one, row in rows.items() for other, distance in row.items()}


def syntactic_distance(one: str, other: str) -> float | None:
    """Return the distance of two languages by their codes, None where it is not known."""
    return 0.0 if one == other else distances().get(frozenset((one, other)))
