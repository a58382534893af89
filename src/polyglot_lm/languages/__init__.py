"""The one table of languages."""

from polyglot_lm.languages.supply import PublicText, public_text
from polyglot_lm.languages.syntax import syntactic_distance
from polyglot_lm.languages.table import Language, language, languages, select
from polyglot_lm.languages.words import Words, words

__all__ = ["Language", "PublicText", "Words", "language", "languages", "public_text", "select", "syntactic_distance", "words"]
