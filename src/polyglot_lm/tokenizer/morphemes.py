"""Morpheme boundaries as walls that merges may not cross while they are learned, as Polyglot-Ko did (arXiv 2306.02254).

In: texts of a language that has an analyser here. Out: the same texts with `WALL` at every boundary inside a word. The trainer's
pre-tokeniser takes the walls out again, so that no merge is counted across one; the finished tokenizer has no walls, and encoding
needs no analyser: mecab-ko reads 0.3 MB/s, fastokens 30.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from polyglot_lm.pipeline import UserError

WALL = "\ue000"  # of the private use area: no normal form changes it, and no analyser joins it to a letter
Boundaries = Callable[[str], Iterable[int]]


def walled(texts: Iterable[str], language: str) -> Iterator[str]:
    """Yield the texts with a wall at every morpheme boundary; raises UserError for a language or machine without an analyser."""
    boundaries = analyser(language)
    for text in texts:
        plain = text.replace(WALL, "")
        cuts = sorted({0, len(plain), *boundaries(plain)})
        yield WALL.join(plain[start:end] for start, end in itertools.pairwise(cuts))


def require_analysers(languages: Iterable[str]) -> None:
    """Raise UserError for the first language that has no analyser, before any text is read."""
    for language in languages:
        analyser(language)


def analyser(language: str) -> Boundaries:
    if language not in ANALYSERS:
        raise UserError(f"there is no morpheme analyser for {language!r}; there is one for {', '.join(ANALYSERS)}")
    return ANALYSERS[language]()


def mecab_ko() -> Boundaries:
    """Return the analyser of mecab-ko: positions where a morpheme follows another without a space between them."""
    mecab = mecab_ko_library()

    def boundaries(text: str) -> list[int]:
        cuts, before = [], 0
        for morpheme in mecab.parse(text):
            start, end = morpheme.span
            if start == before:
                cuts.append(start)
            before = end
        return cuts

    return boundaries


@functools.cache
def mecab_ko_library() -> Any:
    try:
        from mecab import MeCab
    except ImportError as error:
        raise UserError("Korean morphemes need python-mecab-ko; install it with pip install 'polyglot-lm[morphemes]'") from error
    return MeCab()


ANALYSERS: Mapping[str, Callable[[], Boundaries]] = {"ko": mecab_ko}
