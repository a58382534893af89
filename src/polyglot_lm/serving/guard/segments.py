"""Where a text may be cut: the guard reads, judges and lets through one segment at a time, a sentence or a line.

In: text as it comes. Out: ends of segments. A segment ends after a line, after a sentence, or, past `most` characters, after the
last space or between letters of a script without spaces. An end depends only on what stands before it and on one character
after, so a text falls into the same segments in whatever pieces it comes. No end is set where an identifier could go on: numbers
may hold up to four separators between two digits (`masking.zones`), addresses none of the places where we cut. What has no such
place in `HARD_MOST` characters is no prose and is cut there.
"""

import re
import unicodedata

HARD_MOST = 512  # longer than any e-mail address (320)
DIGIT_REACH = 5  # a number goes on past four separators at most
FULL_STOP_REACH = 3  # characters without a digit before a full stop: with it and the space after it five separators
ENDS = re.compile(rf"\n|[。！？]|[!?…][\"'”’)\]]*\s|(?<=\D{{{FULL_STOP_REACH}}}\.)[\"'”’)\]]*\s")
DIGIT = re.compile(r"\d")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u31ff\u3400-\u9fff\U00020000-\U000323af]")


def first_end(text: str, start: int, most: int) -> int:
    """Return where the segment from `start` ends, or -1 when more text is needed to tell."""
    found = ENDS.search(text, start, start + most + 1)
    if found and found.end() - start <= most:
        return found.end()
    if len(text) - start <= most:
        return -1
    for end in range(start + most, start, -1):
        if may_cut(text, start, end):
            return end
    for end in range(start + most + 1, min(len(text), start + HARD_MOST)):
        if may_cut(text, start, end) or ends_here(text, start, end):
            return end
    return start + HARD_MOST if len(text) > start + HARD_MOST else -1


def ends_here(text: str, start: int, end: int) -> bool:
    return text[end - 1] in "\n。！？"


def may_cut(text: str, start: int, end: int) -> bool:
    """Say whether a word ends before `end`, or a letter of an unspaced script, and no number may go on there."""
    before, after = text[end - 1], text[end]
    if DIGIT.search(text, max(start, end - DIGIT_REACH), end):
        return False
    return before.isspace() or (UNSPACED.match(before) is not None and not unicodedata.combining(after) and not is_mark(after))


def is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M") or letter in "ｰﾞﾟ"
