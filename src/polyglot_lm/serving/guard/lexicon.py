"""Word lists in a text that may go on: which listed words stand where, and from where on a word could still be completed.

Entries and texts are read in the views of `normal`; where a word may stand is said by the borders of `corpus.lexicon` (whole words
between spaces, from the beginning of an eojeol in Hangul, anywhere in Han, kana and Thai), so one Aho-Corasick automaton finds
them all. A text that is streamed is settled up to the longest end of it that begins an entry: nothing after that is sent.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ahocorasick_rs
import numpy as np

from polyglot_lm.corpus.lexicon import BORDER, bordered_entry, code_points, is_mark, with_borders
from polyglot_lm.serving.guard.normal import SPACE, View, may_be_disguised, plain, uncovered

Array = np.ndarray[Any, Any]
BORDER_SIGN = chr(BORDER)
NEVER = sys.maxsize
LAST_ALONE = re.compile(r"(?:^|\s)[\W_]*\w[\W_]*$")  # the last word has one letter


@dataclass(frozen=True, slots=True)
class Entry:
    """A listed word as it is looked up, its category and the language of its list."""

    word: str
    category: str
    language: str


@dataclass(frozen=True, slots=True)
class Found:
    """An entry at [start, end) of a text, in characters."""

    start: int
    end: int
    entry: Entry


class Lexicon:
    """All entries of all lists; where two lists have a word, the first one names it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        marked = {bordered_entry(plain(entry.word).text.strip()): entry for entry in reversed(list(entries))}
        marked.pop("", None)
        self.entries: Sequence[Entry] = list(marked.values())
        self.automaton: Any = ahocorasick_rs.AhoCorasick(list(marked), store_patterns=False) if marked else None
        self.beginnings = frozenset(word[:length] for word in marked for length in range(1, len(word)))
        self.longest = max(map(len, marked), default=0)
        bare = {word.replace(BORDER_SIGN, "") for word in marked}
        self.anywhere: Any = ahocorasick_rs.AhoCorasick(list(bare), store_patterns=False) if bare else None
        self.bare_beginnings = frozenset(word[:length] for word in bare for length in range(1, len(word)))

    def read(self, text: str) -> tuple[list[Found], int]:
        """Return what is listed, and up to where the text is settled: past it an entry has begun and may go on.

        Words come in text order; of overlapping ones the first and longest.
        """
        if self.automaton is None or not text:
            return [], len(text)
        first = plain(text)
        views = [first, uncovered(text)] if may_be_disguised(first) else [first]
        if not (LAST_ALONE.search(first.text) or any(self.may_hold(view.text) for view in views)):
            return [], len(text)
        marked = Bordered.of(views)
        hits = sorted(self.hits(marked), key=lambda hit: (hit.start, -hit.end))
        kept = list[Found]()
        for hit in hits:
            if not kept or hit.start >= kept[-1].end:
                kept.append(hit)
        ends = [self.begun(marked, of) for of in marked.strings()]
        if LAST_ALONE.search(first.text):  # letters spaced out may go on: there the last space is no border
            opened = Bordered.of([uncovered(text, spaced_out=1)])
            ends.append(self.begun(opened, slice(0, len(opened.string.rstrip(f"\n{SPACE}{BORDER_SIGN}")))))
        return kept, min(len(text), *ends)

    def may_hold(self, text: str) -> bool:
        """Say, without looking at borders, whether an entry is in a view or begun at its end: mostly not, and then that is all."""
        longest = min(self.longest, len(text))
        begun = any(text[-length:] in self.bare_beginnings for length in range(1, longest + 1))
        return begun or bool(self.anywhere.find_matches_as_indexes(text))

    def hits(self, of: "Bordered") -> Iterator[Found]:
        """Yield the entries; one before a combining mark would end in another letter."""
        for number, start, end in self.automaton.find_matches_as_indexes(of.string, overlapping=True):
            if not is_mark()[ord(of.string[end])]:
                first, last = of.place[start], of.place[end - 1] - (of.string[end - 1] == BORDER_SIGN)
                yield Found(of.starts[first], of.ends[last], self.entries[number])

    def begun(self, of: "Bordered", view: slice) -> int:
        """Return where the longest beginning of an entry stands at the end of a view."""
        string = of.string[view]
        for length in range(min(self.longest, len(string)), 0, -1):
            if string[-length:] in self.beginnings:
                return int(of.starts[of.place[view.start + len(string) - length]])
        return NEVER


@dataclass(frozen=True, slots=True)
class Bordered:
    """Views with their borders, a line each; `place` is the letter that a sign is, for a border the one after it."""

    string: str
    place: Array
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def of(cls, views: Sequence[View]) -> "Bordered":
        marked = with_borders(code_points("".join(f"{view.text}\n" for view in views)))
        is_border = marked == BORDER
        return cls(
            marked.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass"),
            np.cumsum(~is_border) - ~is_border,
            [start for view in views for start in (*view.starts, NEVER)],
            [end for view in views for end in (*view.ends, NEVER)],
        )

    def strings(self) -> Iterator[slice]:
        """Yield where each view stands."""
        start = 0
        while (end := self.string.find("\n", start)) != -1:
            yield slice(start, end)
            start = end + 1
