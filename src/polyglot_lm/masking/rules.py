"""Rules as data: one TOML file a country in `rules/`, and `any.toml` for what is written alike everywhere.

A rule says the kind, the shape, what must hold (`must`), what would strengthen it (`may`), the words expected near (`words`) and
what is needed at least (`needs`: any one of the names of checks, or "context"). In a shape, `~` is one separator or none and
`%` one separator. Shapes are bounded: no `*`, `+` or open repeat, so a search is linear. Every shape is set between
the same two edges, so that no rule ever takes a part of a longer number. `yes` and `no` of a rule are its tests; a span is marked 《…》.
"""

import functools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from polyglot_lm.masking.checks import Check, Strength, named
from polyglot_lm.pipeline import UserError

RULES = Path(__file__).parent / "rules"
EVERYWHERE = "any"
TOKENS = {name: f"<|{name}|>" for name in ("acc", "rrn", "tell", "card", "email", "ip", "passport", "tax")}
KINDS = tuple(TOKENS)
SEPARATOR = r"(?: ?[-.] ?| )"
LEFT = (
    r"(?<![0-9A-Za-z_+])(?<![0-9A-Za-z][-/])(?<![0-9][.:])(?<![A-Za-z]=)"
    r"(?<![^0-9][0-9],)(?<![^0-9][0-9]{2},)(?<![^0-9][0-9]{3},)"  # 1,234-567-890: an amount goes on
)
RIGHT = r"(?![0-9A-Za-z_])(?!-[0-9])(?!\.[0-9])(?:(?<=[0-9]{4})|(?!,[0-9]{3}(?![0-9])))"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One shape of one kind of identifier. `before` and `after` count characters in which a word counts as near."""

    name: str
    country: str
    kind: str
    pattern: re.Pattern[str]
    must: tuple[tuple[str, Strength, Check], ...]
    may: tuple[tuple[str, Strength, Check], ...]
    needs: frozenset[str]
    words: re.Pattern[str] | None
    before: int
    after: int
    shorten: bool
    refusal: re.Pattern[str] | None
    yes: tuple[str, ...]
    no: tuple[str, ...]


@functools.cache
def rules(country: str) -> tuple[Rule, ...]:
    """Read the rules of a country; raises UserError when there are none."""
    path = RULES / f"{country}.toml"
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in RULES.glob("*.toml")))
        raise UserError(f"no masking rules for {country!r}; there are rules for {known}")
    file = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(read_rule(entry, country, file) for entry in file["rule"])


def read_rule(entry: dict[str, object], country: str, file: dict[str, dict[str, list[str]]]) -> Rule:
    fields = dict(entry)
    words = fields.pop("words", ())
    listed = tuple(file["words"][words]) if isinstance(words, str) else tuple(words)  # type: ignore[arg-type]
    shape = str(fields.pop("shape")).replace("~", SEPARATOR + "?").replace("%", SEPARATOR)
    must, may, needs, yes, no = (tuple(fields.pop(name, ())) for name in ("must", "may", "needs", "yes", "no"))  # type: ignore[arg-type]
    return Rule(
        name=str(fields.pop("name")),
        country=country,
        kind=str(fields.pop("kind")),
        pattern=re.compile(f"{LEFT}(?:{shape}){RIGHT}", re.ASCII),
        must=tuple((name, *named(name)) for name in must),
        may=tuple((name, *named(name)) for name in may),
        needs=frozenset(needs),
        words=any_word(listed),
        before=int(str(fields.pop("before", 24))),
        after=int(str(fields.pop("after", 0))),
        shorten=bool(fields.pop("shorten", False)),
        refusal=any_word(refusals(country)),
        yes=yes,
        no=no,
        **fields,  # type: ignore[arg-type]  # a field misspelt in the file raises here
    )


@functools.cache
def refusals(country: str) -> tuple[str, ...]:
    """Words after which a number is something else, such as an order: the country's and everybody's."""
    files = (tomllib.loads((RULES / f"{name}.toml").read_text(encoding="utf-8")) for name in {country, EVERYWHERE})
    return tuple(word for file in files for word in file.get("words", {}).get("refuse", ()))


def any_word(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Match any of the words, in any case; one that begins or ends in a Latin letter stands apart from other Latin letters."""
    if not words:
        return None
    latin = "[a-zà-ɏḀ-ỿ]"
    bounded = (
        (f"(?<!{latin})" if re.match(latin, word) else "")
        + re.escape(word)
        + (f"(?!{latin})" if re.search(f"{latin}$", word) else "")
        for word in sorted((word.lower() for word in words), key=len, reverse=True)
    )
    return re.compile("|".join(bounded))


def countries_with_rules(countries: Iterable[str]) -> tuple[str, ...]:
    """Return those of `countries` that have a rule file."""
    return tuple(country for country in countries if (RULES / f"{country}.toml").exists())
