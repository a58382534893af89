"""Numbers into words: Markdown tables, signed figures with intervals, and the sentence that an interval allows.

A sentence is a function of an `Estimate` alone, so no adjective in the results can outrun its number.
"""

import math
from collections.abc import Iterable, Sequence

from polyglot_lm.study.statistics import Estimate

MARGIN = 0.01  # ln r: the difference that the study was made to resolve


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table whose first column is text and whose others are numbers."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def signed(value: float, digits: int = 3) -> str:
    """Write a number with its sign, a real minus; what was not measured is a dot."""
    return "·" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def with_interval(one: Estimate, digits: int = 3) -> str:
    """Write a mean with its 95 % interval, of one seed the mean alone."""
    if math.isinf(one.half_width):
        return f"{signed(one.mean, digits)} (1 seed)"
    return f"{signed(one.mean, digits)} [{signed(one.low, digits)}, {signed(one.high, digits)}]"


def seeds_interval(one: Estimate, digits: int = 3) -> str:
    """Write the 95 % interval over seeds alone."""
    alone = Estimate(mean=one.mean, seeds=one.seeds, seeds_error=one.seeds_error)
    return f"[{signed(alone.low, digits)}, {signed(alone.high, digits)}]" if one.seeds > 1 else "·"


def percent(value: float, digits: int = 1) -> str:
    """Write |ln r| as how many per cent more bits that is."""
    return f"{100 * math.expm1(abs(value)):.{digits}f} %"


def probability(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def sentence(ours: str, theirs: str, what: str, one: Estimate) -> str:
    """Say what the interval of ours less theirs allows of a figure of which lower is better."""
    verdict = one.verdict(MARGIN)
    if verdict in ("lower", "higher"):
        return f"**{ours}** is {'better' if verdict == 'lower' else 'worse'} than **{theirs}** in {what}, by {percent(one.mean)}"
    if verdict == "no difference":
        return f"**{ours}** and **{theirs}** do not differ in {what} by as much as 1 %"
    return f"**{ours}** and **{theirs}** cannot be told apart in {what}"


def listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
