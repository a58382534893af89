"""Two views of a text in which word lists are looked up, each letter with the way back to the text.

`plain` writes alike what differs in form only: width, case, katakana, canonical forms, invisible characters, spaces, a letter
repeated more than twice. `uncovered` undoes on top what a writer does to get a word past a list, in the words where it is done:

    letters of other looks    sh1t, $ and @, Cyrillic and Greek look-alikes in a Latin word
    signs and digits between  b.a.d, 나1쁜, 坏*蛋; a comma or a full stop of Chinese or Japanese parts words and stays
    letters spaced out        b a d, 나 쁜
    jamo written apart        ㄴㅏ쁜: composed into syllables again
    repeated letters          baaaad: one of them

Both are functions of the whole text, so a text that goes on may read otherwise at its end: `Lexicon` says how far it is settled.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}  # katakana to hiragana
SPACE = " "
LOOKS = dict(zip("0134578@$!|+€аеорсухіѕԁкмтοεαıρτυκν", "oieastbasiiteaeopcyxisdkmtoeaiptukv", strict=True))
PARTING = frozenset('、。，,；;：:？?！!（）()「」『』《》〈〉“”"[]{}<>')
CLOSING = "!|+.,?;:"  # at the end of a word they are no letters
LEADING, VOWELS, TRAILING = (
    "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ",
    "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ",
    "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ",
)
FIRST_SYLLABLE, LAST_SYLLABLE = 0xAC00, 0xD7A3
APART = re.compile(r"[ㄱ-ㅎㅏ-ㅣ가-힣]*[ㅏ-ㅣ][ㄱ-ㅎㅏ-ㅣ가-힣]*")
LATIN = re.compile("[a-z]")
SPACED_OUT_LATIN, SPACED_OUT = 3, 2  # words of one letter that make a word: "I a" is common, 나 쁜 is not


DOUBLE = re.compile(r"([^\W\d_])\1")
UNEVEN = re.compile(r"^ |  |(\D)\1\1")
UNEVEN_RUN = re.compile(r"\A +| {2,}|(\D)\1\1+")
WORD = re.compile(f"[^{SPACE}]+")
CLUSTERS = re.compile(r"[^\0]?\0+")
TONES = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"  # of Thai, and vowels: marks that nearly every word has, and that hide nothing
PARTED = re.escape("".join(PARTING))
TONED, ORDINARY = re.compile(f"[{TONES}]"), re.compile(rf"(?:[^\W\d_a-z]|[{TONES}{PARTED}])*|[!-~{PARTED}]*")
DISGUISE = re.compile(
    rf"[@$€ㅏ-ㅣ]|[^\W\d]\d|\d[^\W\d]|[a-z][а-яіѕԁα-ω]|[а-яіѕԁα-ω][a-z]|[a-z][!|+]+[a-z]|\w[{TONES}]*[^\w\s{PARTED}{TONES}][^\w\s{PARTED}]*\w|_"
    rf"|([{TONES}])\1"
    r"|(?:^|\s)\W*\w\W*\s+\W*\w\W*(?:\s|$)"
)


@dataclass(frozen=True, slots=True)
class View:
    """A normalised text; letter i stands for the characters [starts[i], ends[i]) of the text."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


Letter = tuple[str, int, int]


def plain(text: str) -> View:
    """Fold what differs in form only."""
    found = aligned(text)
    return evened(found, 2) if UNEVEN.search(found.text) else found


def aligned(text: str) -> View:
    """Return all folded letters: clusters where one letter is not one as `letters` folds them, all between them one to one.

    A letter that is no NUL begins a cluster, so each run of NUL with the letter before it is a whole number of clusters.
    """
    quick = text.translate(ONE_TO_ONE)
    if "\0" not in quick:
        return View(quick, range(len(quick)), range(1, len(quick) + 1))
    signs, starts, ends = list(quick), list(range(len(quick))), list(range(1, len(quick) + 1))
    for run in reversed(list(CLUSTERS.finditer(quick))):  # from the end, so that places before stay what they are
        first, last = run.span()
        string, begin, end = cluster(text[first:last])
        signs[first:last] = string
        starts[first:last] = [first + place for place in begin]
        ends[first:last] = [first + place for place in end]
    return View("".join(signs), starts, ends)


@functools.lru_cache(maxsize=1 << 16)
def cluster(text: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    listed = tuple(letters(text))
    return (
        "".join(letter for letter, _, _ in listed),
        tuple(start for _, start, _ in listed),
        tuple(end for _, _, end in listed),
    )


def evened(of: View, kept: int) -> View:
    """Drop spaces at the beginning and after a space, and keep `kept` of a letter that is repeated more than twice."""
    pieces, starts, ends, at = list[str](), list[int](), list[int](), 0
    for run in UNEVEN_RUN.finditer(of.text):
        first, last = run.span()
        sign = of.text[first]
        if sign != SPACE and sign.isdigit():
            continue
        left = first + (kept if sign != SPACE else int(first > 0))
        pieces.append(of.text[at:left])
        starts += of.starts[at:left]
        ends += of.ends[at:left]
        if sign != SPACE:
            ends[-1] = of.ends[last - 1]
        at = last
    pieces.append(of.text[at:])
    return View("".join(pieces), [*starts, *of.starts[at:]], [*ends, *of.ends[at:]])


def may_be_disguised(of: View) -> bool:
    """Say whether `uncovered` could find more words than the plain view of a text; most text has nothing of the kind."""
    seconds = (double.end() - 1 for double in DOUBLE.finditer(of.text))
    if DISGUISE.search(of.text) or any(of.ends[at] - of.starts[at] > 1 for at in seconds):  # it stands for a longer run
        return True
    return TONED.search(of.text) is not None and not all(map(ORDINARY.fullmatch, of.text.split()))


def uncovered(text: str, *, spaced_out: int = SPACED_OUT_LATIN) -> View:
    """Undo disguises too; `spaced_out` Latin letters standing alone in a row make a word."""
    read = aligned(text)
    folded_letters = list(zip(read.text, read.starts, read.ends, strict=True))
    tokens = [bare(folded_letters[word.start() : word.end()]) for word in WORD.finditer(read.text)]
    found = view(itertools.chain.from_iterable(joined(tokens, spaced_out)))
    return evened(found, 1) if UNEVEN.search(found.text) else found


def view(found: Iterable[Letter]) -> View:
    listed = list(found)
    return View("".join(letter for letter, _, _ in listed), [start for _, start, _ in listed], [end for _, _, end in listed])


def letters(text: str) -> Iterable[Letter]:
    """Yield folded letters; marks are folded together with what they stand on."""
    at, size = 0, len(text)
    while at < size:
        end = at + 1
        while end < size and text[end] >= "\u0300" and continues(text[end]):
            end += 1
        for letter in folded(text[at:end]):
            yield letter, at, end
        at = end


@functools.lru_cache(maxsize=1 << 16)
def folded(cluster: str) -> str:
    """Return what a character (with its marks) becomes: nothing when it is invisible."""
    if cluster.isspace():
        return SPACE
    narrow = unicodedata.decomposition(cluster[0]) if "\uffa0" <= cluster[0] <= "\uffdc" else ""
    if narrow:  # a half-width jamo is the jamo, not the beginning of a syllable
        return chr(int(narrow.split()[1], 16))
    if "\u3131" <= cluster[0] <= "\u3163":
        return cluster[0]
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster).casefold()).translate(HIRAGANA)
    return "".join(SPACE if sign.isspace() else sign for sign in composed if not is_invisible(sign))


@functools.lru_cache(maxsize=1 << 16)
def continues(sign: str) -> bool:
    """A mark, a half-width voicing sign, or a jamo inside a syllable."""
    return unicodedata.category(sign)[0] == "M" or sign in "ﾞﾟ" or "\u1160" <= sign <= "\u11ff"


def is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cf", "Cc") or sign in "\u034f\u115f\u1160\u3164\u2800"


class OneToOne(dict[int, str]):
    """What a character becomes where that is one character; NUL where it is more, none, or hangs on its neighbours."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        found = folded(sign)
        self[code] = found if len(found) == 1 and not continues(sign) and found != "\0" else "\0"
        return self[code]


ONE_TO_ONE = OneToOne()


def bare(token: list[Letter]) -> list[Letter]:
    """Undo what was done inside one word."""
    word = "".join(letter for letter, _, _ in token)
    if word.isalpha() and not APART.search(word):
        return [(LOOKS.get(sign, sign), start, end) for sign, start, end in token] if mixed(word) else token
    if LATIN.search(word):
        looks = [(LOOKS.get(sign, sign), start, end) for sign, start, end in token[: len(word.rstrip(CLOSING))]]
        return [letter for letter in looks if letter[0].isalnum() or letter[0] in PARTING]
    kept = [letter for letter in token if letter[0].isalpha() or letter[0] in PARTING or continues(letter[0])]
    return composed(kept) if kept else token


def mixed(word: str) -> bool:
    return LATIN.search(word) is not None and not word.isascii()


def joined(tokens: list[list[Letter]], spaced_out: int) -> Iterable[list[Letter]]:
    """Join words of one letter that stand in a row; between other words one space is left."""
    for alone, run in itertools.groupby(tokens, lambda word: len(word) == 1 and word[0][0].isalpha()):
        listed = list(run)
        least = spaced_out if LATIN.match(listed[0][0][0]) else min(spaced_out, SPACED_OUT)
        if alone and len(listed) >= least:
            listed = [[word[0] for word in listed]]
        for word in listed:
            yield [*word, (SPACE, word[-1][2], word[-1][2])]


def composed(token: list[Letter]) -> list[Letter]:
    """Compose jamo that are written apart, with the syllables beside them."""
    word = "".join(letter for letter, _, _ in token)
    found, at = list[Letter](), 0
    for run in APART.finditer(word):
        found += token[at : run.start()]
        found += syllables([jamo for letter in token[run.start() : run.end()] for jamo in apart(letter)])
        at = run.end()
    return found + token[at:]


def apart(letter: Letter) -> Iterable[Letter]:
    """Yield the jamo of a syllable, each for all of it."""
    code, start, end = ord(letter[0]) - FIRST_SYLLABLE, letter[1], letter[2]
    if not 0 <= code <= LAST_SYLLABLE - FIRST_SYLLABLE:
        yield letter
        return
    leading, rest = divmod(code, len(VOWELS) * (len(TRAILING) + 1))
    vowel, trailing = divmod(rest, len(TRAILING) + 1)
    yield LEADING[leading], start, end
    yield VOWELS[vowel], start, end
    if trailing:
        yield TRAILING[trailing - 1], start, end


def syllables(jamo: list[Letter]) -> Iterable[Letter]:
    """Compose consonant and vowel, and a consonant after them that begins no syllable of its own."""
    signs = "".join(letter for letter, _, _ in jamo) + "\0\0"
    at = 0
    while at < len(jamo):
        if signs[at] not in LEADING or signs[at + 1] not in VOWELS:
            yield jamo[at]
            at += 1
            continue
        closes = signs[at + 2] in TRAILING and signs[at + 3 : at + 4] not in tuple(VOWELS)
        trailing = TRAILING.index(signs[at + 2]) + 1 if closes else 0
        number = (LEADING.index(signs[at]) * len(VOWELS) + VOWELS.index(signs[at + 1])) * (len(TRAILING) + 1) + trailing
        taken = 3 if closes else 2
        yield chr(FIRST_SYLLABLE + number), jamo[at][1], jamo[at + taken - 1][2]
        at += taken
