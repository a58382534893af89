"""The table of languages: data in `table.toml`, read once, looked up by code.

Nothing elsewhere asks which language it has; it asks the table for a property.
"""

import difflib
import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from polyglot_lm.pipeline import UserError

TABLE = Path(__file__).with_name("table.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """One entry; the fields are explained at the head of `table.toml`."""

    code: str
    iso639_3: str
    script: str
    name: str
    english_name: str
    family: str
    speakers_millions: int
    writing_unit: str
    shingle_units: int
    byte_premium: float
    supply_bytes: int
    supply_source: str
    scripts: tuple[str, ...]
    signature: tuple[str, ...]
    rivals: tuple[str, ...]
    group: str
    countries: tuple[str, ...]
    sources: tuple[str, ...]
    prompt: str

    def __post_init__(self) -> None:
        if not self.byte_premium > 0:
            raise ValueError(f"{self.code}: byte_premium is {self.byte_premium}; it must be positive")
        if self.shingle_units < 1:
            raise ValueError(f"{self.code}: shingle_units is {self.shingle_units}; it must be 1 or more")

    @property
    def supply_english_bytes(self) -> float:
        """Public supply in English-equivalent bytes."""
        return self.supply_bytes / self.byte_premium


@functools.cache
def languages() -> Mapping[str, Language]:
    """Return all entries by code, in the order of the file."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {code: read_entry(code, fields) for code, fields in entries.items()}


def read_entry(code: str, fields: Mapping[str, object]) -> Language:
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return Language(code=code, **plain)  # type: ignore[arg-type]  # a wrong field name raises, a wrong type fails the tests


def language(code: str) -> Language:
    """Look a language up; raises UserError that lists the known codes."""
    try:
        return languages()[code]
    except KeyError:
        near = difflib.get_close_matches(code, languages(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join(languages())
        raise UserError(f"unknown language {code!r}{hint}; known are {known}, and {TABLE.name} takes more") from None


def select(codes: Iterable[str]) -> tuple[Language, ...]:
    """Look several up; raises UserError for an unknown, a repeated or no code."""
    wanted = tuple(codes)
    if not wanted:
        raise UserError(f"no language given; choose from {', '.join(languages())}")
    if len(set(wanted)) < len(wanted):
        twice = next(code for code in wanted if wanted.count(code) > 1)
        raise UserError(f"language {twice!r} is given twice; name each once")
    return tuple(language(code) for code in wanted)
