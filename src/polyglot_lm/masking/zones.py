"""Where identifiers may be: the few stretches of a text that rules look at, in plain digits, each with the way back.

In: a text. Out: windows. One linear pass of re2 over the UTF-8 bytes finds stretches of seven or more digits with light
separators, and the shapes that have fewer digits (IPv4, IPv6, passports, e-mail); a text without them is done at the speed of that
pass. A window is then normalised for the rules, one byte a character: every decimal digit of Unicode becomes an ASCII digit,
full-width letters and signs become ASCII, all dashes `-`, all spaces of one line a space, other letters `?`; invisible characters
and the spaces of ` - ` between digits are dropped. `offsets` leads each byte back to its place in the text, so spans stay exact and
nothing outside them is ever rewritten.
"""

import bisect
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import re2

INVISIBLE = (
    r"\x{00AD}\x{034F}\x{061C}\x{180E}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FE00}-\x{FE0F}\x{FEFF}"
)
SEPARATOR = rf"[ .\-()·/（）．－＋ー−～~\x{{00A0}}\x{{2000}}-\x{{200A}}\x{{2010}}-\x{{2015}}\x{{202F}}\x{{3000}}{INVISIBLE}]"
HEX = "[0-9A-Fa-f]{1,4}"
ZONES = re2.compile(
    rf"(?:\p{{Nd}}(?:{SEPARATOR}{{0,4}}\p{{Nd}}){{6,}})"
    r"|(?:\p{Nd}{1,3}(?:[.．]\p{Nd}{1,3}){3})"
    r"|(?:[A-Za-zＡ-Ｚ][A-Za-z0-9Ａ-Ｚ]?\p{Nd}{2,6}[A-Z]?\p{Nd}{4,8})"
    rf"|(?:{HEX}(?::{HEX}){{7}}|(?:{HEX}:){{1,6}}:(?:{HEX}(?::{HEX}){{0,5}})?)"
    r"|(?:[0-9A-Za-z._%+\-]{1,64}[@＠][0-9A-Za-z．.\-]{3,255})"
)
MARGIN = 4  # what may stand before the first digit: a plus, a bracket, letters
BEFORE, AFTER = 8, 14  # characters of margin: what bounds a number on the left, a tail of letters on the right
SPACED_DASH = re.compile(r"(?<=[0-9)]) (-) (?=[0-9(])")
SIGNS = {"−": "-", "ー": "-", "·": ".", "～": "~"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A normalised stretch of text. Hits start in `data[first:last]`; `offsets[i]` is the place of byte i in the text."""

    data: bytes
    first: int
    last: int
    offsets: range | list[int]


class Normal(dict[str, str]):
    """What a character becomes in a window, worked out once."""

    def __missing__(self, letter: str) -> str:
        category = unicodedata.category(letter)
        if category == "Nd":
            found = str(unicodedata.decimal(letter))
        elif letter in SIGNS:
            found = SIGNS[letter]
        elif "！" <= letter <= "～":
            found = unicodedata.normalize("NFKC", letter)
        elif category in ("Cf", "Mn") and (category == "Cf" or "\ufe00" <= letter <= "\ufe0f" or letter == "\u034f"):
            found = ""
        else:
            found = {"Pd": "-", "Zs": " "}.get(category, letter)
        self[letter] = found
        return found


NORMAL = Normal()


def windows(text: str) -> Iterator[Window]:
    """Yield the windows of a text, left to right."""
    data = text.encode("utf-8", "surrogatepass")
    ascii_only = len(data) == len(text)
    byte = char = 0
    for match in ZONES.finditer(data):
        start, end = match.span()
        if not ascii_only:
            first = char + len(data[byte:start].decode("utf-8", "surrogatepass"))
            last = first + len(data[start:end].decode("utf-8", "surrogatepass"))
            byte, char = end, last
            start, end = first, last
        yield window(text, start, end)


def window(text: str, start: int, end: int) -> Window:
    """Normalise text[start:end] with its margins, and a line's end on both sides; a character that is dropped belongs to none."""
    begin = max(0, start - BEFORE)
    raw = text[begin : end + AFTER]
    if raw.isascii() and " - " not in raw:
        places: range | list[int] = range(begin - 1, begin + len(raw) + 2)
        plain = raw
    else:
        letters = [NORMAL[letter] for letter in raw]
        kept = list(itertools.compress(range(begin, begin + len(raw)), letters))
        plain = "".join(letters)
        for dash in reversed(list(SPACED_DASH.finditer(plain))) if " - " in plain else ():
            plain = f"{plain[: dash.start()]}-{plain[dash.end() :]}"
            del kept[dash.end() - 1], kept[dash.start()]
        places = [begin - 1, *kept, begin + len(raw), begin + len(raw)]
    first = bisect.bisect_left(places, start - MARGIN)
    data = f"\n{plain}\n\n".encode("ascii", "replace")
    return Window(data=data, first=max(1, first), last=bisect.bisect_left(places, end), offsets=places)
