"""The words that tell languages of one script apart: data in `words.toml`, read once, looked up by code."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

WORDS = Path(__file__).with_name("words.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """`common` and `markers` as explained at the head of `words.toml`; empty for a language that needs none."""

    common: frozenset[str] = frozenset()
    markers: frozenset[str] = frozenset()


@functools.cache
def word_lists() -> dict[str, dict[str, str]]:
    return tomllib.loads(WORDS.read_text(encoding="utf-8"))


def words(code: str) -> Words:
    """Return the words of a language, none where the file has none."""
    entry = word_lists().get(code, {})
    return Words(**{name: frozenset(text.split()) for name, text in entry.items()})
