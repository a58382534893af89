"""The words that tell languages of one script apart: data in `words.toml`, read once, looked up by code."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

WORDS = Path(__file__).with_name("words.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """`guest`, `common` and `markers` as explained at the head of `words.toml`; empty for a language that needs none."""

    guest: bool = False
    common: frozenset[str] = frozenset()
    markers: frozenset[str] = frozenset()


@functools.cache
def word_lists() -> dict[str, dict[str, str | bool]]:
    return tomllib.loads(WORDS.read_text(encoding="utf-8"))


def words(code: str) -> Words:
    """Return the words of a language, none where the file has none."""
    entry = word_lists().get(code, {})
    fields = {name: frozenset(value.split()) if isinstance(value, str) else value for name, value in entry.items()}
    return Words(**fields)  # type: ignore[arg-type]  # a wrong field name raises
