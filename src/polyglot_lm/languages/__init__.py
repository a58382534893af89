"""The one table of languages."""

from polyglot_lm.languages.table import Language, language, languages, select

__all__ = ["Language", "language", "languages", "select"]
