"""Replace personal identifiers by one token each: `<|acc|>`, `<|rrn|>`, `<|tell|>`.

Rules are data, one file a country (`kr.toml`): a pattern, words that must stand before it, a check on the hit. All rules
look at the original text; overlapping hits are settled by the order of the rules (then the leftmost, then the longest), so no
rule ever sees or half-eats what another one wrote. The text around a hit is kept byte for byte.
"""

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polyglot_lm.pipeline import UserError

RULES = Path(__file__).parent
TOKENS = {"acc": "<|acc|>", "rrn": "<|rrn|>", "tell": "<|tell|>"}
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One shape of one kind of identifier."""

    kind: str
    pattern: re.Pattern[str]
    context: tuple[str, ...]
    context_chars: int
    check: Callable[[str], bool]


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Hit:
    """A stretch of text, in characters, that a rule takes for an identifier."""

    rule: int
    start: int
    end: int
    kind: str


def resident_number_date(hit: str) -> bool:
    digits = re.sub(r"\D", "", hit)
    month, day = int(digits[2:4]), int(digits[4:6])
    return 1 <= month <= 12 and 1 <= day <= DAYS_IN_MONTH[month - 1]


def account_digits(hit: str) -> bool:
    """A bank account has 10 to 14 digits; 2022-09-18 has 8, and a date is not an account."""
    return 10 <= sum(letter.isdigit() for letter in hit) <= 14


def no_span_of_years(hit: str) -> bool:
    """1588-1234 is a number to call, 1592-1598 a war."""
    first, last = (int(part) for part in hit.split("-"))
    return not 0 < last - first <= 150


def anything(hit: str) -> bool:
    return True


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "resident_number_date": resident_number_date,
    "account_digits": account_digits,
    "no_span_of_years": no_span_of_years,
    "": anything,
}


@functools.cache
def rules(country: str) -> tuple[Rule, ...]:
    """Read the rules of a country; raises UserError when there are none."""
    path = RULES / f"{country}.toml"
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in RULES.glob("*.toml")))
        raise UserError(f"no masking rules for {country!r}; there are rules for {known}")
    return tuple(
        Rule(
            kind=entry["kind"],
            pattern=re.compile(entry["pattern"], re.ASCII),
            context=tuple(entry.get("context", ())),
            context_chars=entry.get("context_chars", 0),
            check=CHECKS[entry.get("check", "")],
        )
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
    )


def countries_with_rules(countries: Iterable[str]) -> tuple[str, ...]:
    """Return those of `countries` that have a rule file."""
    return tuple(country for country in countries if (RULES / f"{country}.toml").exists())


def mask(text: str, country: str) -> tuple[str, dict[str, int]]:
    """Return the masked text and how many identifiers of each kind were replaced.

    A token is shorter than its number and so may bring a context word near enough: masking goes on until nothing is found.
    """
    total: Counter[str] = Counter()
    while hits := settle(find(text, rules(country))):
        pieces, at = [], 0
        for hit in hits:
            pieces += [text[at : hit.start], TOKENS[hit.kind]]
            at = hit.end
        text = "".join([*pieces, text[at:]])
        total.update(hit.kind for hit in hits)
    return text, dict(sorted(total.items()))


def find(text: str, country_rules: tuple[Rule, ...]) -> Iterator[Hit]:
    for number, rule in enumerate(country_rules):
        for match in rule.pattern.finditer(text):
            before = text[max(0, match.start() - rule.context_chars) : match.start()]
            near = not rule.context or any(word in before for word in rule.context)
            if near and rule.check(match.group()):
                yield Hit(rule=number, start=match.start(), end=match.end(), kind=rule.kind)


def settle(hits: Iterator[Hit]) -> list[Hit]:
    """Keep the hits that win their overlaps, in text order."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.rule, hit.start, -hit.end)):
        if all(hit.end <= other.start or other.end <= hit.start for other in kept):
            kept.append(hit)
    return sorted(kept, key=lambda hit: hit.start)
