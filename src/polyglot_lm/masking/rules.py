"""Rules as data: one TOML file a country in `rules/`, and `any.toml` for what is written alike everywhere.

A rule says the kind, the shape, what must hold (`must`), what would strengthen it (`may`), the words expected near (`words`) and
what is needed at least (`needs`: any one of the names of checks, "context", or "beside", a word next to it). In a shape, `~`
is one separator or none and `%` one separator. Shapes are of RE2, which looks at each byte once, so no text takes long. Each is set
between the same two edges, so that no rule ever takes a part of a longer number: one sign left and two right are part of the
pattern, what needs a look further back is asked of a hit afterwards. `yes` and `no` are a rule's tests; a span is marked 《…》.
"""

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import re2

from polyglot_lm.masking.checks import Check, Strength, named
from polyglot_lm.pipeline import UserError

RULES = Path(__file__).parent / "rules"
EVERYWHERE = "any"
TOKENS = {name: f"<|{name}|>" for name in ("acc", "rrn", "tell", "card", "email", "ip", "passport", "tax")}
KINDS = tuple(TOKENS)
FIELDS = frozenset(
    ("name", "kind", "shape", "must", "may", "needs", "words", "before", "after", "shorten", "goes_on", "left", "yes", "no")
)
SEPARATOR = r"(?: ?[-.] ?| )"
BEFORE_A_HIT = "[^0-9A-Za-z_+]"
AFTER_A_HIT = r"(?:[^0-9A-Za-z_{0}]|[{0}][^0-9])"  # the signs with which a number goes on, when a digit follows them
LEFT = (  # whatever blocks a number after another blocks that one too: else each round of masking would free only the next
    r"(?:(?![0-9A-Za-z])|(?<![0-9A-Za-z]-)(?<![0-9]\.)(?<![0-9][A-Za-z]\.)(?<![0-9a-f][{0}]))"
    r"(?<![A-Za-z]{{2}}[/=])"
    r"(?:(?<![^0-9][0-9],)(?<![^0-9][0-9]{{2}},)(?<![^0-9][0-9]{{3}},)|(?![0-9]{{3}}[^0-9]))"  # 1,234-567-890: an amount goes on
)
RIGHT = re.compile(rb"(?<=[0-9]{4})|(?!,[0-9]{3}(?![0-9]))")


def options() -> Any:
    """Options of RE2 for windows, in which every sign is one byte."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.max_mem = 64 << 20  # room for the automaton of all rules at once
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rule:
    """One shape of one kind of identifier. `before` and `after` count characters in which a word counts as near."""

    name: str
    country: str
    kind: str
    source: bytes
    left: re.Pattern[bytes]
    pattern: Any
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


def read_rule(entry: Mapping[str, Any], country: str, file: Mapping[str, Any]) -> Rule:
    unknown = entry.keys() - FIELDS
    if unknown:
        raise ValueError(f"{country}.toml: a rule has the unknown field {min(unknown)!r}; fields are {', '.join(sorted(FIELDS))}")
    words = entry.get("words", ())
    shape = entry["shape"].replace("~", SEPARATOR + "?").replace("%", SEPARATOR)
    goes_on = re.escape(entry.get("goes_on", "-."))
    source = f"{BEFORE_A_HIT}({shape}){AFTER_A_HIT.format(goes_on)}".encode("ascii")
    return Rule(
        name=entry["name"],
        country=country,
        kind=entry["kind"],
        source=source,
        left=re.compile(entry.get("left", LEFT.format(goes_on)).encode("ascii")),
        pattern=re2.compile(source, options()),
        must=tuple((name, *named(name)) for name in entry.get("must", ())),
        may=tuple((name, *named(name)) for name in entry.get("may", ())),
        needs=frozenset(entry.get("needs", ())),
        words=any_word(tuple(file["words"][words] if isinstance(words, str) else words)),
        before=entry.get("before", 24),
        after=entry.get("after", 0),
        shorten=entry.get("shorten", False),
        refusal=any_word(refusals(country)),
        yes=tuple(entry["yes"]),
        no=tuple(entry["no"]),
    )


@functools.cache
def gate(chosen: tuple[Rule, ...]) -> Any:
    """Return the set of all patterns: one look at a window says which rules match in it, mostly none."""
    patterns = re2.Set.SearchSet(options())
    for rule in chosen:
        patterns.Add(rule.source)
    patterns.Compile()
    return patterns


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
