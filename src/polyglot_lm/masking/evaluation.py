"""Labelled sentences in eight languages, and what a masker makes of them: recall, precision, text destroyed.

Sentences stand in `sentences/<set>/<country>.toml`; a field is a kind of identifier (a label) or a look-alike (none). Rules were
written from `first`. A later set was written before it was run and is run once: its first result is the held-out figure, after
that it is seen like the first. Numbers are invented anew in each sentence and, in sets after the first, dressed: other dashes,
dots, full-width or Thai digits. `carriers`, pieces of real text without digits given at run time, may surround a sentence; nothing
of them is kept. A masker under test is a function from text and country to (start, end, kind), so foreign ones are measured alike.
"""

import itertools
import string
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from polyglot_lm.masking.lookalikes import LOOKALIKES
from polyglot_lm.masking.numbers import EVERYWHERE, MAKERS

SENTENCES = Path(__file__).parent / "sentences"
SETS = ("first", "second", "third", "fourth")
Masker = Callable[[str, str], Sequence[tuple[int, int, str]]]
DRESSED = frozenset(("rrn", "tell", "acc", "card"))
OWN_DIGITS = {"kr": "０１２３４５６７８９", "cn": "０１２３４５６７８９", "jp": "０１２３４５６７８９", "th": "๐๑๒๓๔๕๖๗๘๙"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """An identifier at [start, end), in characters."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A text and all identifiers in it; the number of its sentence tells which sentences fail."""

    text: str
    country: str
    sentence: int
    labels: tuple[Label, ...]


@dataclass(slots=True)
class Score:
    """Counts for one kind and country. `destroyed` are masked characters outside all labels."""

    labels: int = 0
    found: int = 0
    spans: int = 0
    right: int = 0
    destroyed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.labels if self.labels else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.spans if self.spans else 1.0


def labelled(country: str, name: str, *, seed: int, repeats: int, carriers: Sequence[str] = ()) -> Iterator[Labelled]:
    """Yield each sentence of a set `repeats` times, with new numbers; the same seed gives the same texts."""
    rng = Random(f"{country} {name} {seed}")
    for number, sentence in enumerate(read_sentences(name, country)):
        for _ in range(repeats):
            yield surround(write(sentence, number, country, rng, dressed=name != SETS[0]), rng, carriers)


def read_sentences(name: str, country: str) -> tuple[str, ...]:
    return tuple(tomllib.loads((SENTENCES / name / f"{country}.toml").read_text(encoding="utf-8"))["sentences"])


def write(sentence: str, number: int, country: str, rng: Random, *, dressed: bool) -> Labelled:
    """Fill the fields of a sentence; raises KeyError for an unknown one."""
    makers = {**MAKERS[country], **EVERYWHERE}
    text, labels = "", []
    for words, name, _, _ in string.Formatter().parse(sentence):
        text += words
        if name in makers:
            found = makers[name](rng)
            if dressed and name in DRESSED:
                found = dress(found, country, rng)
            labels.append(Label(start=len(text), end=len(text) + len(found), kind=name))
            text += found
        elif name:
            text += LOOKALIKES[name](rng)
    return Labelled(text=text, country=country, sentence=number, labels=tuple(labels))


def dress(number: str, country: str, rng: Random) -> str:
    """Write one number in four otherwise: with dots, spaces, another dash, or the digits of the country's script."""
    chance = rng.random()
    if chance < 0.15:
        return number.replace("-", rng.choice((".", " ", "–", "\u2011", " - ")))
    if chance < 0.25 and country in OWN_DIGITS:
        return number.translate(str.maketrans(string.digits, OWN_DIGITS[country]))
    return number


def surround(example: Labelled, rng: Random, carriers: Sequence[str]) -> Labelled:
    """Put half of the texts between two carriers."""
    if not carriers or rng.random() < 0.5:
        return example
    before, after = f"{rng.choice(carriers)}\n", f" {rng.choice(carriers)}"
    moved = (Label(start=label.start + len(before), end=label.end + len(before), kind=label.kind) for label in example.labels)
    text = before + example.text + after
    return Labelled(text=text, country=example.country, sentence=example.sentence, labels=tuple(moved))


def score(masker: Masker, examples: Sequence[Labelled], *, same_kind: bool) -> dict[tuple[str, str], Score]:
    """Return scores by country and kind. A label is found when spans (of its kind, if `same_kind`) cover all its digits."""
    scores: dict[tuple[str, str], Score] = {}
    for example in examples:
        spans = masker(example.text, example.country)
        places = {label: letters(example.text, label.start, label.end) for label in example.labels}
        for label, wanted in places.items():
            entry = scores.setdefault((example.country, label.kind), Score())
            chosen = (range(start, end) for start, end, kind in spans if kind == label.kind or not same_kind)
            found = wanted <= set(itertools.chain.from_iterable(chosen))
            entry.labels += 1
            entry.found += found
            if not found:
                entry.failures.append(f"{example.sentence} missed {example.text[label.start : label.end]!r} in {example.text!r}")
        inside = {place for label in example.labels for place in range(label.start, label.end)}
        for start, end, kind in spans:
            entry = scores.setdefault((example.country, kind), Score())
            covered = set(range(start, end))
            right = any(wanted & covered for label, wanted in places.items() if kind == label.kind or not same_kind)
            entry.spans += 1
            entry.right += right
            entry.destroyed += len(covered - inside)
            if not right:
                entry.failures.append(f"{example.sentence} false {example.text[start:end]!r} in {example.text!r}")
    return scores


def letters(text: str, start: int, end: int) -> set[int]:
    return {place for place in range(start, end) if text[place].isalnum()}
