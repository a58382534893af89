"""Replace personal identifiers by one token each: `mask(text, countries=…)` returns the masked text and the spans.

Every rule looks at the same windows of the original text (`zones`); a hit carries its evidence, and where hits overlap the
best evidence wins, by sum: a word beside the number, a check digit (which one number in ten meets by chance), a
numbering plan, a date or place, a word near, shape; then the longer hit. The order of the rules decides nothing. What lies
between spans is kept character for character. A token is shorter than its number and so may free an edge or bring a word
near: masking goes on until nothing is found, so a masked text masks to itself. Distances are counted with every number as one
sign and past at most three numbers, so those rounds are few.
"""

import dataclasses
import functools
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from polyglot_lm.masking.rules import EVERYWHERE, KINDS, RIGHT, TOKENS, Rule, gate, rules
from polyglot_lm.masking.zones import Window, windows
from polyglot_lm.pipeline import UserError

WEIGHTS = {"beside": 8, "checksum": 6, "plan": 4, "structure": 3, "near": 3, "shape": 1}
BESIDE = 4  # characters between a word and its number
REFUSED_WITHIN = 20
RAW_CONTEXT = 160
MOST_NUMBERS = 3  # a word reaches past so many numbers
NUMBERS = re.compile(r"<\|[a-z]+\|>|\d[\d.\-]{5,40}\d|^[a-z]{0,8}\|>|<\|[a-z]{0,8}\|?$|^>|<$")
SHORTENED = re.compile(r"[-. ()]+\d+$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """An identifier: where it stands in the original text, in characters, and why it was taken for one."""

    start: int
    end: int
    kind: str
    country: str
    rule: str
    evidence: tuple[str, ...]

    @property
    def token(self) -> str:
        return TOKENS[self.kind]


class Masked(NamedTuple):
    """A masked text and what was masked in it."""

    text: str
    spans: tuple[Span, ...]

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(span.kind for span in self.spans).items()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A span before overlaps are settled."""

    span: Span
    score: int


def mask(text: str, *, countries: Sequence[str], kinds: Sequence[str] = KINDS) -> Masked:
    """Mask by the rules of these countries and by those for all countries; raises UserError for an unknown country or kind."""
    chosen = chosen_rules(tuple(countries), tuple(kinds))
    masked: Masked = Masked(text, ())
    while hits := settle(find(masked.text, chosen)):
        masked = replace(masked, hits)
    return masked


@functools.cache
def chosen_rules(countries: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[Rule, ...]:
    check_kinds(kinds)
    return tuple(rule for name in dict.fromkeys((*countries, EVERYWHERE)) for rule in rules(name) if rule.kind in kinds)


def check_kinds(kinds: Sequence[str]) -> None:
    unknown = [kind for kind in kinds if kind not in TOKENS]
    if unknown:
        raise UserError(f"unknown kind of identifier {unknown[0]!r}; known are {', '.join(KINDS)}")


def replace(masked: Masked, hits: Sequence[Span]) -> Masked:
    """Replace the hits, and say where they stood in the original text."""
    pieces, at, shift, earlier = [], 0, 0, deque(masked.spans)
    moved = []
    for hit in hits:
        while earlier and earlier[0].start - shift < hit.start:
            done = earlier.popleft()
            shift += done.end - done.start - len(done.token)
        pieces += [masked.text[at : hit.start], hit.token]
        at = hit.end
        moved.append(dataclasses.replace(hit, start=hit.start + shift, end=hit.end + shift))
    spans = sorted([*masked.spans, *moved], key=lambda span: span.start)
    return Masked("".join([*pieces, masked.text[at:]]), tuple(spans))


def find(text: str, chosen: tuple[Rule, ...]) -> Iterator[Hit]:
    """Yield the hits of all rules, overlaps included."""
    if not chosen:
        return
    matching = gate(chosen)
    for window in windows(text):
        for number in matching.Match(window.data) or ():
            yield from hits_of(chosen[number], window, text)


def hits_of(rule: Rule, window: Window, text: str) -> Iterator[Hit]:
    """Yield a rule's hits in a window, left to right and apart; what is refused hides no hit inside it."""
    at = window.first - 1  # a pattern begins with the sign before a number
    while match := rule.pattern.search(window.data, at):
        start, end = match.span(1)
        if start >= window.last:
            return
        hit = None
        if rule.left.match(window.data, start) and RIGHT.match(window.data, end):
            hit = judge(text, window, rule, start, end)
        if hit:
            yield hit
        at = end if hit else start


def judge(text: str, window: Window, rule: Rule, start: int, end: int) -> Hit | None:
    """Weigh one match: None when a check that must hold fails, a word refuses it, or nothing that is needed is there."""
    number = window.data[start:end].decode("ascii")
    while not all(check(number) for _, _, check in rule.must):
        shorter = SHORTENED.search(number) if rule.shorten else None
        if shorter is None:
            return None
        number = number[: shorter.start()]
    first, last = window.offsets[start], window.offsets[start + len(number) - 1] + 1
    passed: list[tuple[str, str]] = [(name, strength) for name, strength, check in rule.must if strength != "shape"]
    passed += [(name, strength) for name, strength, check in rule.may if check(number)]
    before = near(text[max(0, first - RAW_CONTEXT) : first])
    word = context(rule, before, text[last : last + RAW_CONTEXT] if rule.after else "")
    if word:
        passed.append(word)
    names = {name for name, _ in passed} | ({"context", word[1]} if word else set())
    if rule.needs and not rule.needs & names:
        return None
    if refused(rule, before, word):
        return None
    evidence = tuple(f"{strength}: {name}" if strength != "shape" else name for name, strength in passed) or ("shape",)
    span = Span(start=first, end=last, kind=rule.kind, country=rule.country, rule=rule.name, evidence=evidence)
    return Hit(span=span, score=sum(WEIGHTS[strength] for _, strength in passed))


def near(raw: str) -> str:
    """Return what stands before a number, in small letters, every other number as one sign, and of those the last few."""
    parts = NUMBERS.sub("\0", raw.lower()).split("\0")
    return "\0".join(parts[-MOST_NUMBERS - 1 :])


def context(rule: Rule, before: str, after: str) -> tuple[str, str] | None:
    """Return the word that speaks for the number and how close it is."""
    if rule.words is None:
        return None
    found = list(rule.words.finditer(before, max(0, len(before) - rule.before)))  # not a slice, which would cut words
    if found:
        last = found[-1]
        between = before[last.end() :]
        return last.group(), "beside" if len(between) <= BESIDE and "\n\n" not in between else "near"
    following = rule.words.search(NUMBERS.sub("\0", after.lower())[: rule.after]) if after else None
    return (following.group(), "beside" if following.start() < BESIDE else "near") if following else None


def refused(rule: Rule, before: str, word: tuple[str, str] | None) -> bool:
    """A word for something else stands closer before the number than the word for it."""
    if rule.refusal is None or (word and word[1] == "beside"):
        return False
    return rule.refusal.search(before, max(0, len(before) - REFUSED_WITHIN)) is not None


def settle(hits: Iterator[Hit]) -> list[Span]:
    """Keep the hits that win their overlaps, in text order: by evidence, then the longer, then the earlier."""
    order = sorted(outermost(hits), key=lambda hit: (-hit.score, hit.span.start - hit.span.end, hit.span.start))
    taken: dict[int, Span] = {}
    for hit in order:
        places = range(hit.span.start, hit.span.end)
        if not any(place in taken for place in places):
            taken.update(dict.fromkeys(places, hit.span))
    return sorted({span.start: span for span in taken.values()}.values(), key=lambda span: span.start)


def outermost(hits: Iterator[Hit]) -> Iterator[Hit]:
    """Drop hits inside a longer one of their kind: of +86 139 0522 6399 the national part is a number too, and not all of it."""
    reach: dict[str, tuple[int, int]] = {}
    for hit in sorted(hits, key=lambda hit: (hit.span.start, -hit.span.end)):
        start, end = reach.get(hit.span.kind, (-1, -1))
        if hit.span.end > end or (hit.span.start, hit.span.end) == (start, end):
            reach[hit.span.kind] = hit.span.start, hit.span.end
            yield hit
