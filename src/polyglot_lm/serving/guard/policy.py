"""What is done about what is found: a TOML file of thresholds by direction, category and language.

    [completion.offence]        direction (prompt or completion), then what found it:
    hold = 0.5                  personal (identifiers), words (word lists), offence (classifier)
    [completion.offence.ja]     one language of words and offence, or one kind of identifier, has thresholds of its own
    hold = 0.7

A score that reaches `refuse`, `hold` or `mask` has that action, the strictest first; what reaches none is let through and noted.
Listed words and identifiers have the score 1, so any threshold from 0 to 1 chooses their action. The policy shipped beside this
file, `policy.toml`, is the default and shows every field.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyglot_lm.languages import languages
from polyglot_lm.masking import KINDS, countries_with_rules
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.verdict import Action

DEFAULT = Path(__file__).with_name("policy.toml")
Direction = Literal["prompt", "completion"]
DIRECTIONS: tuple[Direction, ...] = ("prompt", "completion")
Source = Literal["personal", "words", "offence"]
SOURCES: tuple[Source, ...] = ("personal", "words", "offence")
ACTIONS = {"refuse": Action.REFUSE, "hold": Action.HOLD, "mask": Action.MASK}  # the strictest first
FIELDS = frozenset((*DIRECTIONS, "countries", "hold_back_chars", "lists"))
LEAST_CHARS, MOST_CHARS = 16, 256


@dataclass(frozen=True, kw_only=True, slots=True)
class WordList:
    """A list of the operator's: one word or phrase a line, UTF-8."""

    path: Path
    language: str
    category: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """`thresholds` by direction, source and detail (a language, a kind, or "" for all others): (action, least score)."""

    countries: tuple[str, ...]
    hold_back_chars: int
    lists: tuple[WordList, ...]
    thresholds: Mapping[tuple[str, str, str], tuple[tuple[Action, float], ...]]

    def judge(self, direction: Direction, source: Source, detail: str, score: float = 1.0) -> tuple[Action, float]:
        """Return what is done about a finding, and the threshold that it reached (0 where it is let through)."""
        chosen = self.thresholds.get((direction, source, detail), self.thresholds.get((direction, source, ""), ()))
        return next(((action, least) for action, least in chosen if score >= least), (Action.ALLOW, 0.0))


def read_policy(path: Path | None = None) -> Policy:
    """Read a policy, the default one when no file is given; raises UserError naming the field that is wrong."""
    place = path or DEFAULT
    try:
        fields = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read as a policy ({error}); docs/guard.md shows one") from error
    unknown = fields.keys() - FIELDS
    if unknown:
        raise UserError(f"{place}: unknown field {min(unknown)!r}; fields are {', '.join(sorted(FIELDS))}")
    countries = tuple(fields.get("countries", ()))
    strange = set(countries) - set(countries_with_rules(countries))
    if strange:
        raise UserError(f"{place}: no masking rules for the country {min(strange)!r}; leave it out of countries")
    chars = fields.get("hold_back_chars", 96)
    if not (isinstance(chars, int) and LEAST_CHARS <= chars <= MOST_CHARS):
        raise UserError(f"{place}: hold_back_chars is {chars!r}; it must be {LEAST_CHARS} to {MOST_CHARS}")
    thresholds: dict[tuple[str, str, str], tuple[tuple[Action, float], ...]] = {
        (direction, source, detail): found
        for direction in DIRECTIONS
        for source, entry in table(place, direction, fields.get(direction, {})).items()
        for detail, found in read_source(place, direction, source, entry)
    }
    lists = tuple(read_list(place, entry) for entry in fields.get("lists", ()))
    return Policy(countries=countries, hold_back_chars=chars, lists=lists, thresholds=thresholds)


def table(place: Path, direction: str, entry: Any) -> Mapping[str, Any]:
    unknown = entry.keys() - set(SOURCES) if isinstance(entry, dict) else {str(entry)}
    if unknown:
        raise UserError(f"{place}: [{direction}.{min(unknown)}] is unknown; choose of {', '.join(SOURCES)}")
    return entry  # type: ignore[no-any-return]  # TOML gives any type, the line above took all but a table


def read_source(place: Path, direction: str, source: str, entry: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return thresholds by detail; a table within is a detail, the rest are thresholds for all others."""
    details = {name: value for name, value in entry.items() if isinstance(value, dict)}
    known = KINDS if source == "personal" else tuple(languages())
    unknown = details.keys() - set(known)
    if unknown:
        raise UserError(f"{place}: [{direction}.{source}.{min(unknown)}] is unknown; choose of {', '.join(known)}")
    others = {name: value for name, value in entry.items() if name not in details}
    named = [(name, f"{direction}.{source}.{name}", value) for name, value in details.items()]
    return [
        (name, read_thresholds(place, where, source, value))
        for name, where, value in [*named, ("", f"{direction}.{source}", others)]
    ]


def read_thresholds(place: Path, where: str, source: str, entry: Mapping[str, Any]) -> tuple[tuple[Action, float], ...]:
    actions = [name for name in ACTIONS if not (source == "offence" and name == "mask")]  # a sentence has no span to mask
    unknown = entry.keys() - set(actions)
    if unknown:
        raise UserError(f"{place}: {min(unknown)!r} in [{where}] is unknown; give a score for {', '.join(actions)}")
    for name, least in entry.items():
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 < least <= 1:
            raise UserError(f"{place}: {name} in [{where}] is {least!r}; it must be a score above 0 and up to 1")
    return tuple((ACTIONS[name], float(entry[name])) for name in actions if name in entry)


def read_list(place: Path, entry: Mapping[str, Any]) -> WordList:
    missing = {"file", "language"} - entry.keys()
    unknown = entry.keys() - {"file", "language", "category"}
    if missing or unknown or entry["language"] not in languages():
        raise UserError(f"{place}: a [[lists]] entry is {dict(entry)!r}; give file, language (a known code) and category")
    return WordList(path=place.parent / entry["file"], language=entry["language"], category=entry.get("category", "listed word"))
