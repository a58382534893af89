"""One text read from left to right, whole or as it comes: segments, what is found in each, and what may be shown so far.

Whole texts and streams go through the same reading, segment after segment, so whatever pieces a text comes in, the findings are
those of the whole. Each segment is scored by a classifier by itself; listed words are looked up from where the text before was
settled, so a word may run over any border; identifiers are looked for in the segment with the words before it. Text is settled when
its segment is judged and no listed word has begun in it that could still go on.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from polyglot_lm.masking import mask
from polyglot_lm.serving.guard.classifier import Trained
from polyglot_lm.serving.guard.lexicon import Lexicon
from polyglot_lm.serving.guard.policy import Direction, Policy
from polyglot_lm.serving.guard.segments import first_end
from polyglot_lm.serving.guard.verdict import Action, Reason

CONTEXT_CHARS = 200  # before a segment: words speak for a number from at most 160 characters off
MAY_IDENTIFY = re.compile(r"[\d@＠:]")
STRUCK = "***"  # stands for a listed word that the policy masks


@dataclass(frozen=True, slots=True)
class Mask:
    """Characters [start, end) of the text, and what stands there instead."""

    start: int
    end: int
    token: str


class Reading:
    """The state of one text; `settled` is up to where it may be shown."""

    def __init__(self, policy: Policy, lexicon: Lexicon, trained: Trained, direction: Direction) -> None:
        self.policy, self.lexicon, self.trained, self.direction = policy, lexicon, trained, direction
        self.text = ""
        self.judged = 0
        self.settled = 0
        self.masks: list[Mask] = []

    def read(self, piece: str, *, last: bool = False) -> Iterator[tuple[Reason, ...]]:
        """Take a piece and yield the reasons of each segment that it completes; `last` completes them all."""
        self.text += piece
        ends, at = [self.judged], self.judged
        while (end := first_end(self.text, at, self.policy.hold_back_chars)) != -1:
            ends.append(at := end)
        if last and at < len(self.text):
            ends.append(len(self.text))
        segments = [self.text[start:end] for start, end in itertools.pairwise(ends)]
        for end, score in zip(ends[1:], self.trained.scores(segments), strict=True):
            yield self.judge(end, score, last=last and end == len(self.text))

    def judge(self, end: int, score: tuple[str, float] | None, *, last: bool) -> tuple[Reason, ...]:
        """Judge the segment up to `end` and settle what can be."""
        reasons = [*self.offence(score), *self.words(end, last=last), *self.identifiers(end)]
        self.judged = end
        crossing = [found.start for found in self.masks if found.start < self.settled < found.end]
        self.settled = min([self.settled, *crossing])
        return tuple(reasons)

    def offence(self, score: tuple[str, float] | None) -> Iterator[Reason]:
        if score is not None:
            language, value = score
            action, threshold = self.policy.judge(self.direction, "offence", language, value)
            if action > Action.ALLOW:
                yield Reason("offence", "classifier", language, action, value, threshold)

    def words(self, end: int, *, last: bool) -> Iterator[Reason]:
        """Look words up in what is not settled; those that ended before this segment are known already."""
        start = self.settled
        found, settled = self.lexicon.read(self.text[start:end])
        self.settled = end if last else start + settled
        for word in found:
            if start + word.end > self.judged:
                action, threshold = self.policy.judge(self.direction, "words", word.entry.language)
                if action == Action.MASK:
                    self.hide(Mask(start + word.start, start + word.end, STRUCK))
                yield Reason(word.entry.category, "word list", word.entry.language, action, 1.0, threshold)

    def identifiers(self, end: int) -> Iterator[Reason]:
        if not MAY_IDENTIFY.search(self.text, self.judged, end):
            return
        start = max(0, self.judged - CONTEXT_CHARS)
        for span in mask(self.text[start:end], countries=self.policy.countries).spans:
            if start + span.start >= self.judged:
                action, threshold = self.policy.judge(self.direction, "personal", span.kind)
                if action == Action.MASK:
                    self.hide(Mask(start + span.start, start + span.end, span.token))
                yield Reason(span.kind, "personal information", "", action, 1.0, threshold)

    def hide(self, new: Mask) -> None:
        """Add a mask; where it overlaps others it takes their place."""
        over = [old for old in self.masks if old.start < new.end and new.start < old.end]
        start, end = min([new.start, *(old.start for old in over)]), max([new.end, *(old.end for old in over)])
        kept = [old for old in self.masks if old not in over]
        self.masks = sorted([*kept, Mask(start, end, new.token)], key=lambda found: found.start)

    def shown(self, start: int, end: int) -> str:
        """Return the text from `start` to `end`, neither inside a mask, as it may be shown."""
        pieces, at = [], start
        for found in self.masks:
            if start <= found.start and found.end <= end:
                pieces += [self.text[at : found.start], found.token]
                at = found.end
        return "".join([*pieces, self.text[at:end]])
