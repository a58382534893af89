"""What makes a raw document one of ours: normal form, length, letters, language. Each refusal has a reason.

Checks go from cheap to dear, and the first that fails names the reason. The language check is two-fold: the share of
letters in the language's own scripts decides most; only languages that share a script with a rival are then
told apart by py3langid, among those rivals alone (it knows 97 languages and would mistake short Malay for others).
"""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from polyglot_lm.corpus.sources import RawDocument
from polyglot_lm.tokenizer import SPECIAL_TOKENS

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
SPECIAL = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))
FOLDED_AWAY = re.compile(r"\s+")
IDENTIFY_CHARS = 2000  # more text does not change the answer, and py3langid reads 3-5 MB/s
SCRIPT_RANGES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "Latn": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0x1E00, 0x1EFF)),
    "Hang": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "Hira": ((0x3041, 0x309F),),
    "Kana": ((0x30A0, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Hani": ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
    "Thai": ((0xE01, 0xE3A), (0xE40, 0xE4E)),
    "Cyrl": ((0x400, 0x52F),),
    "Arab": ((0x620, 0x6D3), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "Deva": ((0x900, 0x963), (0x966, 0x97F)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Bounds of the checks. Shares lie between 0 and 1; lengths are characters after normalisation."""

    min_chars: int
    max_chars: int
    min_letter_share: float  # letters and marks among the characters that are no white space
    min_script_share: float  # letters of the language's scripts among all letters
    min_language_confidence: float  # of the language among its rivals, where it has such
    min_signature_share: float  # letters of its signature scripts among all letters, where it has such

    def __post_init__(self) -> None:
        if not 0 <= self.min_chars <= self.max_chars:
            raise ValueError(f"min_chars is {self.min_chars} and max_chars {self.max_chars}; give 0 <= min <= max")
        for name in ("min_letter_share", "min_script_share", "min_signature_share", "min_language_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What identification must know of a language; a copy of those fields of the table and no more, so that a corrected
    number of speakers re-runs no corpus."""

    code: str
    scripts: tuple[str, ...]
    signature: tuple[str, ...]
    rivals: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [script for script in (*self.scripts, *self.signature) if script not in SCRIPT_RANGES]
        if unknown:
            raise ValueError(f"{self.code}: no ranges for script {unknown[0]}; add them to SCRIPT_RANGES")


def normalize(text: str) -> tuple[str, int]:
    """Return NFC text without control characters, and how many literal special tokens were replaced by a space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub("", text)  # first: a control character between a letter and its accent keeps them apart
    text = text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
    text, replaced = SPECIAL.subn(" ", text)
    return text.strip(), replaced


def exact_key(text: str) -> str:
    """Fold case and white space away and hash: equal keys are exact duplicates."""
    return xxhash.xxh3_128_hexdigest(FOLDED_AWAY.sub(" ", text.casefold()).encode())


def document_id(source: str, document: RawDocument) -> str:
    return xxhash.xxh3_128_hexdigest(f"{source}\0{document.path}\0{document.position}".encode())


def judge(text: str, profile: Profile, filters: Filters) -> tuple[str | None, dict[str, float]]:
    """Return the reason to refuse the text, None to keep it, and the scores found on the way."""
    if len(text) < filters.min_chars:
        return "too_short", {}
    if len(text) > filters.max_chars:
        return "too_long", {}
    visible = sum(not letter.isspace() for letter in text)
    codepoints = np.array([ord(letter) for letter in text if unicodedata.category(letter)[0] in "LM"], dtype=np.uint32)
    letters = len(codepoints)
    if letters < filters.min_letter_share * visible:
        return "few_letters", {}
    scores = {"score_script_share": share_in(codepoints, profile.scripts, letters)}
    if scores["score_script_share"] < filters.min_script_share:
        return "wrong_script", scores
    if profile.signature and share_in(codepoints, profile.signature, letters) < filters.min_signature_share:
        return "wrong_script", scores
    if profile.rivals:
        scores["score_language"] = confidence(text, (profile.code, *profile.rivals))
        if scores["score_language"] < filters.min_language_confidence:
            return "wrong_language", scores
    return None, scores


def share_in(codepoints: np.ndarray[Any, np.dtype[np.uint32]], scripts: Sequence[str], letters: int) -> float:
    inside = sum(
        np.count_nonzero((codepoints >= low) & (codepoints <= high)) for script in scripts for low, high in SCRIPT_RANGES[script]
    )
    return float(inside / max(1, letters))


def confidence(text: str, codes: tuple[str, ...]) -> float:
    """Return the probability of the first of `codes` among them all."""
    return float(dict(identifier(codes).rank(text[:IDENTIFY_CHARS])).get(codes[0], 0.0))


@functools.cache
def identifier(codes: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(list(codes))
    return found
