"""Labelled sentences in eight languages, and what a masker makes of them: recall, precision, text destroyed.

Sentences stand in `sentences/`, one file a country, and fall to `dev` or `heldout` by position, so no rule is measured on a
sentence it was written from. Numbers are invented anew in each (`numbers`). `carriers`, pieces of real text without digits
given at run time, may surround a sentence; nothing of them is kept. A masker under test is a function from text and country to
(start, end, kind), so that foreign ones are measured the same way.
"""

import itertools
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from polyglot_lm.masking.numbers import EVERYWHERE, MAKERS, digits, fill

SENTENCES = Path(__file__).parent / "sentences"
Split = Literal["dev", "heldout"]
Masker = Callable[[str, str], Sequence[tuple[int, int, str]]]
NO_KIND = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A text with one identifier at [start, end), or with none (kind `none`, an empty span)."""

    text: str
    country: str
    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Score:
    """Counts for one kind and country. `destroyed` are masked characters outside all labels."""

    labels: int = 0
    found: int = 0
    spans: int = 0
    right: int = 0
    destroyed: int = 0
    missed: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.labels if self.labels else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.spans if self.spans else 1.0


def labelled(country: str, split: Split, *, seed: int, repeats: int, carriers: Sequence[str] = ()) -> Iterator[Labelled]:
    """Yield each sentence of a split `repeats` times, with new numbers; the same seed gives the same sentences."""
    rng = Random(f"{country} {split} {seed}")
    makers = {**MAKERS[country], **EVERYWHERE}
    for kind, templates in read_sentences(country).items():
        for template in templates[split == "heldout" :: 2]:
            for _ in range(repeats):
                yield place(template, makers[kind](rng), country, kind, rng, carriers)
    for template in read_sentences(NO_KIND)[country][split == "heldout" :: 2]:
        for _ in range(repeats):
            text = template.format_map({name: make(rng) for name, make in NEGATIVES.items()})
            yield place(text, "", country, NO_KIND, rng, carriers)


def read_sentences(name: str) -> dict[str, list[str]]:
    return dict(tomllib.loads((SENTENCES / f"{name}.toml").read_text(encoding="utf-8")))


def place(template: str, number: str, country: str, kind: str, rng: Random, carriers: Sequence[str]) -> Labelled:
    """Put a number into a sentence and, half of the time, the sentence between two carriers."""
    before, found, after = template.partition("{}") if kind != NO_KIND else (template, "", "")
    if carriers and rng.random() < 0.5:
        before, after = f"{rng.choice(carriers)}\n{before}", f"{after} {rng.choice(carriers)}"
    del found
    return Labelled(text=before + number + after, country=country, kind=kind, start=len(before), end=len(before) + len(number))


def barcode(rng: Random, prefixes: Sequence[str]) -> str:
    body = rng.choice(prefixes)
    body += digits(rng, 12 - len(body))
    return body + str(-sum(int(letter) * (1 + 2 * (place % 2)) for place, letter in enumerate(body)) % 10)


def isbn(rng: Random) -> str:
    number = barcode(rng, ("9788", "9787", "9784", "9780"))
    return "-".join((number[:3], number[3:5], number[5:9], number[9:12], number[12])) if rng.random() < 0.7 else number


def day(rng: Random) -> str:
    sign = rng.choice("-./")
    return f"{rng.randint(1950, 2026)}{sign}{rng.randint(1, 12):02d}{sign}{rng.randint(1, 28):02d}"


def law(rng: Random) -> str:
    year, congress = rng.randint(1980, 2025), rng.randint(90, 118)
    return rng.choice((digits(rng, 5), f"{rng.randint(1, 40)}/{year}", f"{congress}-{rng.randint(1, 400)}"))


def table(rng: Random) -> str:
    cells = (f"{rng.randint(0, 9_999_999):,}" if rng.random() < 0.5 else str(rng.randint(0, 99_999)) for _ in range(8))
    return " | ".join(cells)


NEGATIVES: dict[str, Callable[[Random], str]] = {
    "date": day,
    "datetime": lambda rng: f"{day(rng)} {rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}",
    "law": law,
    "amount": lambda rng: f"{rng.randint(10**6, 10**11):,}",
    "order": lambda rng: fill(rng, rng.choice(("###########", "##############", "20220918-######", "####-###-######"))),
    "version": lambda rng: ".".join(str(rng.randint(0, 30)) for _ in range(rng.choice((3, 4)))),
    "isbn": isbn,
    "ean": lambda rng: barcode(rng, ("880", "690", "490", "899", "955", "893", "885", "012")),
    "latitude": lambda rng: f"{rng.uniform(-90, 90):.7f}",
    "longitude": lambda rng: f"{rng.uniform(90, 180):.7f}",
    "product": lambda rng: fill(rng, rng.choice(("AB-###-####", "X###-####-##", "###-####B"))),
    "years": lambda rng: f"{rng.randint(1500, 1800)}-{rng.randint(1801, 1999)}",
    "table": table,
}


def score(masker: Masker, examples: Sequence[Labelled], *, same_kind: bool) -> dict[tuple[str, str], Score]:
    """Return scores by country and kind. A label is found when spans (of its kind, if `same_kind`) cover all its digits."""
    scores: dict[tuple[str, str], Score] = {}
    for example in examples:
        spans = masker(example.text, example.country)
        labels = {place for place in range(example.start, example.end) if example.text[place].isalnum()}
        if example.kind != NO_KIND:
            entry = scores.setdefault((example.country, example.kind), Score())
            entry.labels += 1
            chosen = [span for span in spans if span[2] == example.kind or not same_kind]
            covered = set(itertools.chain.from_iterable(range(start, end) for start, end, _ in chosen))
            entry.found += labels <= covered
            if not labels <= covered:
                entry.missed.append(example.text)
        for start, end, kind in spans:
            entry = scores.setdefault((example.country, kind), Score())
            right = bool(labels & set(range(start, end))) and (kind == example.kind or not same_kind)
            entry.spans += 1
            entry.right += right
            entry.destroyed += sum(not example.start <= place < example.end for place in range(start, end))
            if not right:
                entry.missed.append(f"false {kind} {example.text[start:end]!r} in {example.text}")
    return scores


def by_kind(scores: dict[tuple[str, str], Score]) -> dict[str, float]:
    """Return the recall of each kind over all countries."""
    labels: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for (_, kind), entry in scores.items():
        labels[kind] += entry.labels
        found[kind] += entry.found
    return {kind: found[kind] / labels[kind] for kind in sorted(labels) if labels[kind]}
