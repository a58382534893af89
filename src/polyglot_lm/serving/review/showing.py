"""How texts, times and reasons look on the curators' pages.

A text comes apart into plain stretches and marks: what the mask replaced (`<|tell|>` shows as a pill "telephone"), and
characters that nobody sees but that turn or break a line (U+202E, U+200B), which is how word lists are evaded. The
templates escape every stretch; nothing here makes HTML.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from polyglot_lm.languages import languages
from polyglot_lm.masking import TOKENS
from polyglot_lm.serving.guard.verdict import Action, Reason
from polyglot_lm.serving.review.database import Finding, Item

KIND_NAMES = {
    "acc": "bank account",
    "rrn": "resident number",
    "tell": "telephone",
    "card": "card number",
    "email": "e-mail",
    "ip": "network address",
    "passport": "passport",
    "tax": "tax number",
}
MASKS = {token: KIND_NAMES.get(kind, kind) for kind, token in TOKENS.items()} | {"<|tel|>": "telephone"}  # Polyglot-Ko's own
UNSEEN = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"  # joiners belong to scripts and emoji
MARKS = re.compile("|".join([*map(re.escape, MASKS), UNSEEN]))
EXCERPT_LETTERS = 160


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a text: as it stands, or a mark in its place."""

    kind: Literal["text", "masked", "unseen"]
    text: str


def stretches(text: str) -> Iterator[Stretch]:
    """Yield a text's pieces in their order."""
    at = 0
    for match in MARKS.finditer(text):
        if match.start() > at:
            yield Stretch("text", text[at : match.start()])
        sign = match.group()
        yield Stretch("masked", MASKS[sign]) if sign in MASKS else Stretch("unseen", f"U+{ord(sign):04X}")
        at = match.end()
    if at < len(text):
        yield Stretch("text", text[at:])


def excerpt(item: Item) -> str:
    """Return the beginning of what the guard stopped, on one line."""
    words = " ".join((item.completion or item.prompt)[: 4 * EXCERPT_LETTERS].split())
    return words if len(words) <= EXCERPT_LETTERS else f"{words[:EXCERPT_LETTERS].rstrip()} …"


def category_name(category: str) -> str:
    """Write a category of the guard's: a kind of identifier by its name, others as they are."""
    return KIND_NAMES.get(category, category)


def reason(finding: Finding) -> Reason:
    """Return the guard's reason as it was, with its category written out."""
    return Reason(
        category=category_name(finding.category),
        source=finding.source,  # type: ignore[arg-type]  # one of the three, as the guard wrote it
        language=finding.language,
        action=Action(finding.action),
        score=finding.score,
        threshold=finding.threshold,
    )


def clock(seconds: float) -> str:
    """Write a moment, such as 3 Nov 2026, 18:25 UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def span(seconds: float) -> str:
    """Write a length of time in its largest unit, such as 4 min."""
    for unit, length in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}s" if unit == "day" and count > 1 else f"{count} {unit}"
    return "a moment"


def language_name(code: str) -> str:
    entry = languages().get(code)
    return entry.english_name if entry else code or "language unknown"
