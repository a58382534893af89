"""Public text of a language: data in `supply.toml`, by data set, each with its licence and the place where its size was read."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.languages.table import Language

SUPPLY = Path(__file__).with_name("supply.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicText:
    """What one data set has of a language; `num_bytes` and `num_tokens` are None where it states none."""

    name: str
    license: str
    figures: str
    num_bytes: int | None
    num_tokens: int | None
    readable: bool


@functools.cache
def data_sets() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(SUPPLY.read_text(encoding="utf-8"))


def public_text(language: Language) -> tuple[PublicText, ...]:
    """Return the data sets that have the language: those that state a size, and those whose configuration the table names."""
    named = {source.split(":", 1)[0] for source in language.sources}
    return tuple(
        PublicText(
            name=name,
            license=fields["license"],
            figures=fields["figures"],
            num_bytes=fields.get("bytes", {}).get(language.code),
            num_tokens=fields.get("tokens", {}).get(language.code),
            readable=name in named,
        )
        for name, fields in data_sets().items()
        if name in named or language.code in fields.get("bytes", {}) or language.code in fields.get("tokens", {})
    )
