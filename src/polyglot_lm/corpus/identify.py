"""In which language a whole document is written: script counts first, then an identifier, then words for near relatives.

A document and the count of its letters by script go in; a code and the confidence in it come out. Three steps, each
for what the one before leaves open:

1. Languages without rivals of the same script are decided by their letters, without reading the text. Letters are
   weighed as English ones (UTF-8 bytes over the byte premium), and a quarter of them is enough: code, names and
   addresses bring Latin letters into every text, while foreign scripts are rare in Latin ones.
2. The rest is read by CLD2 (165 languages), beside a count of function words: prose has them, code and names do not. A
   guest language (English in our table) must hold two thirds of a text: manuals in every language are full of it.
3. Two languages that are each other's first rival (Malay and Indonesian in our table) are told apart by CLD2's shares
   and by marker words, a known one in this document counted once, however often it is repeated.

The text looked at is bounded: `LOOK_CHARS` in two pieces. Which languages, scripts and words there are is data
(`languages/table.toml`, `languages/words.toml`). Source of step 2: CLD2 (github.com/CLD2Owners/cld2) through pycld2.
"""

import functools
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from polyglot_lm.corpus.kernels.scripts import SCRIPT_RANGES
from polyglot_lm.languages import languages, words

Counts = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

SCRIPTS = (*SCRIPT_RANGES, "other")
LOOK_CHARS = 1000  # per document: its beginning and its middle, half each
LOOK_SIGNS = 1000  # for marker characters of scripts without spaces
GUEST_SHARE = 0.25  # of the letters, weighed as English ones, in a script that is the language's own
SIGNATURE_SHARE = 0.05  # kana among kana and Han: Chinese documents have up to 0.002, Japanese 0.13 and more
SIGNATURE_FLOOR = 0.01  # less says no more than this: a heading or a list of names may have none at all
FEW_SIGNATURES = 0.15  # above it the marker characters are not asked
WORDS_TRUST = 0.5  # the most that function words weigh beside CLD2
PROSE_DENSITY = 0.15  # of function words among words; in running text 0.25-0.45, in code and lists near 0
SPARSE_DENSITY = 0.04  # fewer function words of the language that CLD2 finds, and it is doubted: romanised text, lists
MOST_DOUBT = 0.45  # keeps the language of a short clear text, with little confidence
MARKER_ODDS = 3.0  # log-odds that one marker adds
SHARE_ODDS = 2.5  # log-odds that CLD2's difference of shares adds, from 0.92 right on single sentences
GUEST_ODDS = 0.5  # of a guest language against any other: it must have two thirds of a text
SURE = 0.5  # of being written in scripts of its own; below it the text is read
DOUBTED_BYTES = 10  # CLD2 says little of a text this short: half of it counts as undetermined
UNDETERMINED = "und"  # ISO 639-2 for undetermined
PUNCTUATION = ".,;:!?()[]\"'“”‘’«»…–—*"
CODES = {  # CLD2's to ISO 639, where they differ
    "un": UNDETERMINED,
    "zzp": UNDETERMINED,
    "iw": "he",
    "jw": "jv",
    "zh-Hant": "zh",
    "xx-Bugi": "bug",
    "xx-Goth": "got",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What identification must know of a language; a copy of those fields of the table and no more, so that a corrected
    number of speakers re-runs no corpus."""

    code: str
    scripts: tuple[str, ...]
    signature: tuple[str, ...]
    rivals: tuple[str, ...]
    byte_premium: float
    guest: bool
    common: frozenset[str] = field(repr=False)
    markers: frozenset[str] = field(repr=False)

    def __post_init__(self) -> None:
        unknown = [script for script in (*self.scripts, *self.signature) if script not in SCRIPT_RANGES]
        if unknown:
            raise ValueError(f"{self.code}: no ranges for script {unknown[0]}; add them to SCRIPT_RANGES")

    @property
    def letter_weight(self) -> float:
        """English letters that say what one letter of this language says."""
        low, _ = SCRIPT_RANGES[self.scripts[0]][0]
        return len(chr(low).encode()) / self.byte_premium


@dataclass(frozen=True, slots=True)
class Identified:
    """The language found (a code of the table, another ISO 639 code, or "und") and how sure that is, in [0, 1]."""

    language: str
    confidence: float
    scores: Mapping[str, float]  # of every language considered

    def confidence_of(self, code: str) -> float:
        """Return the confidence that the document is in that language, found or not."""
        return self.scores.get(code, 0.0)


def profiles(code: str | None = None) -> tuple[Profile, ...]:
    """Return what the table says of every language; of a code, only of those that a document of it must be told from by more
    than its script, so that a new language of another script changes nothing for it."""
    known = languages()
    wanted = [code] if code else list(known)
    scripts = {script for one in wanted for script in known[one].scripts}
    near = [one for one in known if one in wanted or scripts & set(known[one].scripts) or set(wanted) & set(known[one].rivals)]
    return tuple(profile_of(one) for one in near)


def profile_of(code: str) -> Profile:
    entry, listed = languages()[code], words(code)
    return Profile(
        code=code,
        scripts=entry.scripts,
        signature=entry.signature,
        rivals=entry.rivals,
        byte_premium=entry.byte_premium,
        guest=listed.guest,
        common=listed.common,
        markers=listed.markers,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Languages that own their scripts together: at most one without signature letters and one with them."""

    scripts: frozenset[str]
    plain: Profile | None
    signed: Profile | None

    @property
    def letter_weight(self) -> float:
        weights = [profile.letter_weight for profile in (self.plain, self.signed) if profile]
        return sum(weights) / len(weights)

    @property
    def signature(self) -> tuple[str, ...]:
        return self.signed.signature if self.signed else ()

    def divide(self, signed_share: float, head: str) -> dict[str, float]:
        """Return the probability of each language, given the share of signature letters and the beginning of the text."""
        if self.signed is None or self.plain is None:
            return {profile.code: 1.0 for profile in (self.plain, self.signed) if profile}
        odds = 2 * math.log(max(signed_share, SIGNATURE_FLOOR) / SIGNATURE_SHARE)
        if signed_share < FEW_SIGNATURES:
            signs = set(head[:LOOK_SIGNS])
            odds += MARKER_ODDS * (len(signs & self.signed.markers) - len(signs & self.plain.markers))
        return {self.signed.code: logistic(odds), self.plain.code: logistic(-odds)}


class Identifier:
    """Identifies documents among the languages given and those CLD2 knows; counts have one column for each of `scripts`."""

    def __init__(self, known: Sequence[Profile], scripts: Sequence[str] = SCRIPTS) -> None:
        self.scripts = tuple(scripts)
        self.families = families([profile for profile in known if not profile.rivals])
        self.letters = self.columns([family.scripts for family in self.families])
        self.signatures = self.columns([family.signature for family in self.families])
        self.weights = np.array([family.letter_weight for family in self.families])
        self.guests = {profile.code for profile in known if profile.guest}
        self.relatives = relatives([profile for profile in known if profile.rivals])
        self.common = one_owner({codes: common for codes, (common, _) in self.relatives.items()})
        self.markers = one_owner({code: found for _, markers in self.relatives.values() for code, found in markers.items()})

    def columns(self, chosen: Sequence[Collection[str]]) -> Floats:
        """Return 1.0 where a script is chosen, [scripts, choices]."""
        table = [[script in scripts for scripts in chosen] for script in self.scripts]
        return np.array(table, dtype=np.float64).reshape(len(self.scripts), len(chosen))

    def identify(self, text: str, script_counts: Mapping[str, int]) -> Identified:
        """Identify one document from its text and the number of its letters by script."""
        counts = np.array([[script_counts.get(script, 0) for script in self.scripts]], dtype=np.int64)
        family, certain, signed = (column[0] for column in self.by_letters(counts))
        return self.decide(text, int(family), float(certain), float(signed))

    def identify_batch(self, texts: Sequence[str], script_counts: Counts) -> tuple[list[str], Floats]:
        """Identify documents, counts [n, scripts]: codes and confidences, float64 [n]. Texts may be cut by `look`."""
        if script_counts.shape != (len(texts), len(self.scripts)):
            raise ValueError(f"counts are {script_counts.shape} for {len(texts)} texts; give [{len(texts)}, {len(self.scripts)}]")
        columns = (column.tolist() for column in self.by_letters(script_counts))
        found = [self.decide(text, *row) for text, *row in zip(texts, *columns, strict=True)]
        return [each.language for each in found], np.array([each.confidence for each in found])

    def by_letters(self, counts: Counts) -> tuple[Counts, Floats, Floats]:
        """Return of each document its strongest family, how sure it is written in it (-1: there are no letters), and the
        share of signature letters in the family's."""
        rows, all_letters = np.arange(len(counts)), counts.sum(axis=1)
        if not self.families:
            return np.zeros_like(all_letters), np.where(all_letters == 0, -1.0, 0.0), np.zeros(len(counts))
        in_family = counts @ self.letters
        weighed = in_family * self.weights
        best = weighed.argmax(axis=1)
        total = weighed.sum(axis=1) + all_letters - in_family.sum(axis=1)
        share = weighed[rows, best] / np.maximum(total, 1)
        certain = share / (share + (1 - share) * GUEST_SHARE / (1 - GUEST_SHARE))
        signed = (counts @ self.signatures)[rows, best] / np.maximum(in_family[rows, best], 1)
        return best, np.where(all_letters == 0, -1.0, certain), signed

    def decide(self, text: str, family: int, certain: float, signed: float) -> Identified:
        if certain < 0:
            return Identified(UNDETERMINED, 0.0, {})
        divided = self.families[family].divide(signed, text) if certain > 0 else {}
        scores = {code: certain * share for code, share in divided.items()}
        if certain < SURE:
            for code, share in self.read(text).items():
                scores[code] = scores.get(code, 0.0) + (1 - certain) * share
        language = max(scores, key=lambda code: (scores[code], code))
        return Identified(language, scores[language], scores)

    def read(self, text: str) -> dict[str, float]:
        """Return the share of each language by CLD2, function words and, between relatives, marker words; the sum is 1."""
        prose = prose_of(look(text))
        shares = cld2_shares(prose)
        found = prose.split()
        hits = Counter(map(self.common.get, found))
        del hits[None]
        num_hits = hits.total()
        trust = WORDS_TRUST * min(1.0, num_hits / PROSE_DENSITY / max(1, len(found)))
        scores = {code: (1 - trust) * share for code, share in shares.items()}
        marks = Counter(self.markers[word] for word in self.markers.keys() & set(found))
        for codes in self.relatives:
            by_letters = sum(scores.get(code, 0.0) for code in codes)
            if not by_letters and not hits[codes]:
                continue
            doubted = by_letters * MOST_DOUBT * max(0.0, 1 - hits[codes] / SPARSE_DENSITY / max(1, len(found)))
            scores[UNDETERMINED] += doubted
            mass = by_letters - doubted + trust * hits[codes] / max(1, num_hits)
            scores |= dict.fromkeys(codes, mass)
            if len(codes) == 2:
                one, other = codes
                difference = shares.get(one, 0.0) - shares.get(other, 0.0)
                one_share = logistic(MARKER_ODDS * (marks[one] - marks[other]) + SHARE_ODDS * difference)
                scores |= {one: mass * one_share, other: mass * (1 - one_share)}
        scores |= {code: GUEST_ODDS * scores[code] for code in (self.guests | {UNDETERMINED}) & scores.keys()}
        total = sum(scores.values())
        return {code: score / total for code, score in scores.items()}


def families(owners: Sequence[Profile]) -> tuple[Family, ...]:
    """Group languages without rivals by the scripts they share; raises ValueError where their letters cannot decide."""
    groups: list[list[Profile]] = []
    for profile in owners:
        related = [group for group in groups if any(set(profile.scripts) & set(other.scripts) for other in group)]
        groups = [group for group in groups if group not in related] + [[profile, *(one for group in related for one in group)]]
    found = []
    for group in groups:
        plain, signed = [one for one in group if not one.signature], [one for one in group if one.signature]
        if len(plain) > 1 or len(signed) > 1:
            codes = ", ".join(sorted(profile.code for profile in group))
            raise ValueError(f"{codes} share a script and only letters could tell them apart; name them as rivals of each other")
        scripts = frozenset(script for profile in group for script in profile.scripts)
        found.append(Family(scripts=scripts, plain=next(iter(plain), None), signed=next(iter(signed), None)))
    return tuple(found)


def relatives(readers: Sequence[Profile]) -> dict[tuple[str, ...], tuple[frozenset[str], dict[str, frozenset[str]]]]:
    """Pair languages that are each other's first rival and have markers; the others stand alone. Returns, by the codes of
    the pair or the one, their common words and the markers of each."""
    by_code = {profile.code: profile for profile in readers}
    found = {}
    for profile in readers:
        rival = by_code.get(profile.rivals[0])
        paired = rival is not None and rival.rivals[0] == profile.code and profile.markers and rival.markers
        members = sorted((profile, rival), key=lambda one: one.code) if paired and rival else [profile]
        common = frozenset().union(*(one.common for one in members))
        found[tuple(one.code for one in members)] = common, {one.code: one.markers for one in members}
    return found


Owner = TypeVar("Owner")


def one_owner(words_of: Mapping[Owner, frozenset[str]]) -> dict[str, Owner]:
    """Return the owner of each word; a word of several owners tells nothing and is left out."""
    times = Counter(word for found in words_of.values() for word in found)
    return {word: owner for owner, found in words_of.items() for word in found if times[word] == 1}


def look(text: str) -> str:
    """Return the piece of a text that is read: whole up to LOOK_CHARS, else half from its beginning, half from its middle."""
    if len(text) <= LOOK_CHARS:
        return text
    half, middle = LOOK_CHARS // 2, len(text) // 2
    return f"{text[:half]} {text[middle : middle + half]}"


def prose_of(text: str) -> str:
    """Keep words, in lower case: code, addresses and numbers (ASCII with anything but letters in it) go, and what does not
    print, which CLD2 refuses."""
    stripped = [word.strip(PUNCTUATION) for word in text.lower().split()]
    line = " ".join([word for word in stripped if word.isalpha() or not word.isascii()])
    return line if line.isprintable() else "".join(filter(str.isprintable, line))


def cld2_shares(text: str) -> dict[str, float]:
    """Return the share of the text in each language; of short text much is undetermined."""
    import pycld2

    _, num_bytes, details = pycld2.detect(text, isPlainText=True, bestEffort=True)
    trust = num_bytes / (num_bytes + DOUBTED_BYTES) / 100
    shares = {UNDETERMINED: 1.0}
    for _, name, percent, _ in details:
        if percent:
            code = CODES.get(name, name)
            shares[code] = shares.get(code, 0.0) + trust * percent
            shares[UNDETERMINED] -= trust * percent
    return shares


def logistic(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))


@functools.cache
def identifier() -> Identifier:
    """Return the identifier of all languages of the table; 5 ms and 3 MB the first time, CLD2 included."""
    return Identifier(profiles())


def identify(text: str, script_counts: Mapping[str, int]) -> Identified:
    """Identify one document from its text and the number of its letters by script."""
    return identifier().identify(text, script_counts)


def identify_batch(texts: Sequence[str], script_counts: Counts) -> tuple[list[str], Floats]:
    """Identify documents, counts [n, len(SCRIPTS)]: codes and confidences, float64 [n]."""
    return identifier().identify_batch(texts, script_counts)


def count_scripts(texts: Sequence[str]) -> Counts:
    """Count letters by script, int64 [n, len(SCRIPTS)], code point by code point; the corpus has a kernel for this."""
    table = script_of_code_points()
    points = (np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32) for text in texts)
    counts = [np.bincount(table[found], minlength=len(SCRIPTS) + 1)[: len(SCRIPTS)] for found in points]
    return np.array(counts, dtype=np.int64).reshape(len(texts), len(SCRIPTS))


@functools.cache
def script_of_code_points() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the column of every code point's script, len(SCRIPTS) for what is no letter."""
    table = np.full(0x110000, len(SCRIPTS), dtype=np.uint8)
    letters = [point for point in range(0x32400) if unicodedata.category(chr(point))[0] in "LM"]  # above: no letters yet
    table[letters] = SCRIPTS.index("other")
    for column, ranges in enumerate(SCRIPT_RANGES.values()):
        for low, high in ranges:
            inside = table[low : high + 1]
            inside[inside < len(SCRIPTS)] = column
    return table
