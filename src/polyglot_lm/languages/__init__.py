"""The one table of languages."""

from polyglot_lm.languages.table import Language, language, languages, select
from polyglot_lm.languages.words import Words, words

__all__ = ["Language", "Words", "language", "languages", "select", "words"]
