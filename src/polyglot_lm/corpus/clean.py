"""The normal form of a text, and the two names a document has: its id, and the key that equal texts share."""

import re
import unicodedata

import xxhash

from polyglot_lm.corpus.sources import RawDocument
from polyglot_lm.tokenizer import ALIASES, SPECIAL_TOKENS

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
SPECIAL = re.compile("|".join(re.escape(token) for token in (*SPECIAL_TOKENS, *ALIASES.values())))


def normalize(text: str) -> tuple[str, int]:
    """Return NFC text without control characters, and how many literal special tokens were replaced by a space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub("", text)  # first: a control character between a letter and its accent keeps them apart
    text = text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
    text, replaced = SPECIAL.subn(" ", text) if "<|" in text else (text, 0)
    return text.strip(), replaced


def exact_key(text: str) -> str:
    """Fold case and white space away and hash: equal keys are exact duplicates."""
    return xxhash.xxh3_128_hexdigest(" ".join(text.casefold().split()).encode())


def document_id(source: str, document: RawDocument) -> str:
    return xxhash.xxh3_128_hexdigest(f"{source}\0{document.path}\0{document.position}".encode())
