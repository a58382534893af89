"""Slow twins of the corpus kernels, in plain Python over strings: what the compiled code is compared with."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from hypothesis import strategies as st

from polyglot_lm.corpus.kernels.scripts import ENDS_SENTENCE, OTHER_UNSPACED, SCRIPT_RANGES, kinds
from polyglot_lm.corpus.kernels.tokens import LETTERS_PER_WORD, OTHER_LETTERS_PER_WORD
from polyglot_lm.corpus.kernels.units import HASH_FACTOR, MIX_FACTOR

UNSPACED = [*(SCRIPT_RANGES[name] for name in ("Hira", "Kana", "Hani", "Thai")), OTHER_UNSPACED]
# Small on purpose: what is drawn often repeats. Each script, marks, digits of two kinds, every sort of punctuation and space.
ALPHABET = "aBé̈ßİ한글ひカー漢字々〇กั็เ\U00020000ЖعाདລကΣσ1२Ⅳ.…#-•!?。,|😀❤\ufe0f \t\u3000\u200b\n"
few_letters = st.text(st.sampled_from(ALPHABET), max_size=80)
words = st.lists(
    st.sampled_from(["the", "The", "kód", "漢字", "กิน", "시험", "2024", "...", "-", "\n", "\n\n", " ", "。"]), max_size=120
)
any_text = st.one_of(few_letters, words.map(" ".join), words.map("".join), st.text(max_size=60))


def unspaced(character: str) -> bool:
    inside = any(low <= ord(character) <= high for ranges in UNSPACED for low, high in ranges)
    return inside and (unicodedata.category(character)[0] in "LM" or character == "〇")


def is_letter(character: str) -> bool:
    """Say whether it can stand for itself: a letter, or a mark that lies among a script's own letters."""
    of_script = any(low <= ord(character) <= high for ranges in (*SCRIPT_RANGES.values(), OTHER_UNSPACED) for low, high in ranges)
    category = unicodedata.category(character)[0]
    return category == "L" or (category == "M" and of_script) or character == "〇"


def is_plain_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" and not is_letter(character)


def units(text: str) -> list[str]:
    """Return the units of a text: a word's letters, marks and digits, or one character of a script without spaces."""
    found, word = [], ""
    for character in f"{text} ":
        of_word = unicodedata.category(character)[0] in "LMN" and not unspaced(character)
        if of_word and (word or not is_plain_mark(character)):
            word += character
        elif not of_word:
            found += [word] * bool(word) + [character] * unspaced(character)
            word = ""
    return found


def in_word(character: str) -> bool:
    return is_letter(character) or unicodedata.category(character)[0] == "N"


def cut_between(before: str, character: str) -> bool:
    """Say whether a run of a script without spaces is cut before this character."""
    value = (ord(before) << 32 | ord(character)) * int(HASH_FACTOR) % 2**64
    value = (value ^ value >> 32) * int(MIX_FACTOR) % 2**64
    letters = next(
        (n for name, n in LETTERS_PER_WORD.items() if any(low <= ord(character) <= high for low, high in SCRIPT_RANGES[name])),
        OTHER_LETTERS_PER_WORD,
    )
    return (value ^ value >> 32) >> 32 < int(2**32 / letters)


def tokens(text: str) -> list[str]:
    """Return words, pieces of runs without spaces, and symbols, a run of one symbol once."""
    found, word, base, before = [], "", "", ""
    for character in f"{text} ":
        if is_plain_mark(character):
            word += character if word else ""
            before = character
            continue
        together = in_word(character) and bool(word) and unspaced(base) == unspaced(character)
        if not together or (unspaced(character) and cut_between(before, character)):
            found += [word] * bool(word)
            word = ""
        if in_word(character):
            word += character
        elif visible(character) and character != base:
            found.append(character)
        base = before = character
    return found


def token_counts(text: str) -> dict[str, float]:
    bare = "".join(c for c in text if not is_plain_mark(c))
    spaced = [token for token in tokens(text) if in_word(token[0]) and not unspaced(token[0])]
    pieces = "".join(" " if unspaced(c) else c for c in bare).split()
    around: Counter[str] = Counter()
    for before, symbol, after in zip(f" {bare}", bare, f"{bare} "[1:], strict=False):
        if visible(symbol) and not in_word(symbol):
            sides = ("alone", "before", "after", "between")
            around["repeated" if before == symbol else sides[2 * in_word(before) + in_word(after)]] += 1
    with_letters = [piece for piece in pieces if alphabetic(piece)]
    with_digits = [piece for piece in pieces if not alphabetic(piece) and any(map(in_word, piece))]
    return {
        "spaced_words": sum(map(alphabetic, spaced)),
        "spaced_numbers": len(spaced) - sum(map(alphabetic, spaced)),
        **{f"symbols_{side}": around[side] for side in ("between", "after", "before", "alone", "repeated")},
        "pieces_with_letters": len(with_letters),
        "pieces_with_digits": len(with_digits),
        "pieces_of_symbols": len(pieces) - len(with_letters) - len(with_digits),
    }


def folded(text: str) -> list[str]:
    return ["".join(c.lower() if len(c.lower()) == 1 and ord(c) < 0x10000 else c for c in unit) for unit in units(text)]


def shingles(text: str, length: int) -> set[tuple[str, ...]]:
    parts = folded(text)
    if len(parts) < length:
        return {tuple(parts) if parts else (text,)}
    return {tuple(parts[at : at + length]) for at in range(len(parts) - length + 1)}


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


def top_gram(parts: Sequence[str], gram: int) -> int:
    counts = Counter(tuple(parts[at : at + gram]) for at in range(len(parts) - gram + 1))
    return sum(count * len(" ".join(key)) for key, count in counts.most_common(1))


def duplicate_gram(parts: Sequence[str], gram: int) -> int:
    met: set[tuple[str, ...]] = set()
    chars = at = 0
    while at <= len(parts) - gram:
        key = tuple(parts[at : at + gram])
        repeats = key in met
        chars += repeats * sum(map(len, key))
        met.add(key)
        at += gram if repeats else 1
    return chars


def repeats(items: Sequence[str]) -> list[str]:
    return [item for at, item in enumerate(items) if item in items[:at]]


def share(part: float, whole: float) -> float:
    return part / max(1, whole)


def visible(character: str) -> bool:
    return not character.isspace()


def alphabetic(unit: str) -> bool:
    return any(map(is_letter, unit))


def symbols(text: str) -> int:
    return sum(visible(c) and unicodedata.category(c)[0] not in "LMN" for c in text)


def line_shares(text: str) -> dict[str, float]:
    every = text.split("\n")[: -1 if text.endswith("\n") or not text else None]
    full = [line for line in every if line]
    content = [line for line in full if any(map(visible, line))]
    paragraphs = [part.strip("\n") for part in re.split(r"\n\n+", text) if part.strip("\n")]
    strip = str.strip
    return {
        "bullet_line_ratio": share(sum(strip(line).startswith(("-", "•")) for line in content), len(every)),
        "ellipsis_line_ratio": share(sum(strip(line).endswith(("...", "…")) for line in content), len(every)),
        "ended_line_ratio": share(sum(bool(kinds()[ord(line[-1])] & ENDS_SENTENCE) for line in content), len(content)),
        "short_line_ratio": share(sum(len(line) <= 30 for line in content), len(content)),
        "line_char_duplicates": share(sum(map(len, repeats(content))), len(text.replace("\n", ""))),
        "dup_line_frac": share(len(repeats(full)), len(full)),
        "dup_line_char_frac": share(sum(map(len, repeats(full))), len(text)),
        "dup_paragraph_frac": share(len(repeats(paragraphs)), len(paragraphs)),
        "dup_paragraph_char_frac": share(sum(map(len, repeats(paragraphs))), len(text)),
    }


def script_letters(text: str, ranges: Sequence[tuple[int, int]]) -> int:
    inside = [c for c in text if any(low <= ord(c) <= high for low, high in ranges)]
    return sum(unicodedata.category(c)[0] in "LM" or c == "〇" for c in inside)


def statistics(text: str) -> dict[str, float]:
    """Return the columns of one text but `stop_words`, which has a test of its own."""
    parts = units(text)
    num_tokens = len(parts) + symbols(text)
    seen = sum(map(visible, text))
    letters = sum(unicodedata.category(c)[0] in "LM" or c == "〇" for c in text)
    digits = sum(unicodedata.category(c)[0] == "N" and c != "〇" for c in text)
    scripts = {f"script_{name}": script_letters(text, ranges) for name, ranges in SCRIPT_RANGES.items()}
    scripts["script_other"] = letters - sum(map(is_plain_mark, text)) - sum(scripts.values())
    counted: dict[str, float] = {
        **token_counts(text),
        "num_chars": len(text),
        "num_visible": seen,
        "num_letters": letters,
        "num_digits": digits,
        "num_units": len(parts),
        "num_symbols": symbols(text),
        "num_newlines": text.count("\n"),
        "num_lines": text.count("\n") + (bool(text) and not text.endswith("\n")),
        "letter_share": share(letters, seen),
        "digit_share": share(digits, seen),
        "mean_unit_chars": share(sum(map(len, parts)), len(parts)),
        "hash_ratio": share(text.count("#"), num_tokens),
        "ellipsis_ratio": share(text.count("...") + text.count("…"), num_tokens),
        "alphabetic_ratio": share(sum(map(alphabetic, parts)), num_tokens),
        "newline_ratio": share(text.count("\n"), num_tokens),
    }
    said = tokens(text)
    tops = {f"top_{gram}_gram": share(top_gram(said, gram), len(text)) for gram in range(2, 5)}
    again = {f"dup_{gram}_gram": share(duplicate_gram(said, gram), len(text)) for gram in range(5, 11)}
    return {**counted, **{name: share(count, letters) for name, count in scripts.items()}, **line_shares(text), **tops, **again}
