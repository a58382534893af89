"""A tokenizer that was trained, by us or by others: its ids, and the bytes that each of them stands for.

In: a folder with `tokenizer.json` (Hugging Face tokenizers). The ids are those of the reference library; only the encoder of
corpora has a faster one (see `encode`). Everything that follows from a tokenizer (bits per byte, streaming, embedding size) rests
on bytes, so a file that is not byte-level BPE is refused. Prompts of strangers are encoded as plain text, where a special token is
just its letters.
"""

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.pipeline import CorruptFileError, UserError, read_json, xxh3_128_file
from polyglot_lm.tokenizer.special import ALIASES, END

TOKENIZER_FILE = "tokenizer.json"


class Tokenizer:
    """A trained tokenizer. `vocab_size` counts its tokens, `end_id` is `<|endoftext|>`, `hash` the xxh3-128 of its file."""

    def __init__(self, folder: Path) -> None:
        path = folder / TOKENIZER_FILE
        if not path.exists():
            raise UserError(f"no {TOKENIZER_FILE} in {folder}; give the folder of a tokenizer or of an exported model")
        self.library = read_library(path)
        description = read_json(path)
        require_byte_level(path, description["model"])
        self.path = path
        self.is_normalizing = description.get("normalizer") == {"type": "NFC"}
        self.vocab_size: int = max(self.library.get_vocab(with_added_tokens=True).values()) + 1  # ids may have holes
        end = self.library.token_to_id(END)
        if end is None:
            raise UserError(f"{path} has no token {END}; Polyglot needs one to end documents")
        self.end_id: int = end
        self.hash = xxh3_128_file(path)
        known = self.library.token_to_id
        self.aliases = {ours: theirs for ours, theirs in ALIASES.items() if known(ours) is None and known(theirs) is not None}
        self.special_ids = frozenset(self.library.get_added_tokens_decoder())

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """Encode one text without its end; with `parse_special` a literal special token, or its alias here, becomes its id."""
        return self.encode_batch([text], parse_special=parse_special)[0]

    def encode_batch(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        """Encode texts by the reference library, after NFC of today where they are to be in NFC: the library's is of Unicode 9,
        which leaves 98 rarer marks in the order they came in. Corpora are in NFC already."""
        self.library.encode_special_tokens = not parse_special
        if self.is_normalizing:
            texts = [unicodedata.normalize("NFC", text) for text in texts]
        spelled = self.respell(texts) if parse_special else list(texts)
        return [encoding.ids for encoding in self.library.encode_batch_fast(spelled, add_special_tokens=False)]

    def respell(self, texts: Sequence[str]) -> list[str]:
        """Write our special tokens as this tokenizer spells them."""
        for ours, theirs in self.aliases.items():
            texts = [text.replace(ours, theirs) for text in texts]
        return list(texts)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes the ids stand for; a special token stands for its letters."""
        return b"".join(self.token_bytes[token] for token in ids)

    @functools.cached_property
    def token_bytes(self) -> list[bytes]:
        """The raw bytes of every token, none for an id without one. Never through text: a token may hold part of a character."""
        letters = byte_alphabet()
        raw = [b""] * self.vocab_size
        for text, number in self.library.get_vocab(with_added_tokens=True).items():
            raw[number] = text.encode() if number in self.special_ids else bytes(letters[letter] for letter in text)
        return raw

    @functools.cached_property
    def token_lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of text a token stands for; `<|endoftext|>` stands for none."""
        lengths = np.array([len(raw) for raw in self.token_bytes], dtype=np.int64)
        lengths[self.end_id] = 0
        return lengths


def byte_alphabet() -> dict[str, int]:
    """Return the byte behind each letter of the byte-level alphabet (GPT-2: printable bytes stand for themselves, the
    rest are numbered from U+0100)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def read_library(path: Path) -> Any:
    """Load a `tokenizer.json` of any kind by the reference library."""
    from tokenizers import Tokenizer as Library

    try:
        return Library.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for a file it cannot read
        raise CorruptFileError(path, str(error).splitlines()[0]) from error


def require_byte_level(path: Path, model: Mapping[str, Any]) -> None:
    """Raise UserError unless every text is encoded by merging its bytes."""
    if model.get("type", "BPE") != "BPE":
        raise UserError(f"{path} is a {model['type']} tokenizer; Polyglot trains on byte-level BPE, so choose one of that kind")
    if missing := sorted(byte_alphabet().keys() - model["vocab"].keys()):
        raise UserError(
            f"{path} is not byte-level: {len(missing)} of the 256 bytes have no token; choose a tokenizer of byte-level BPE"
        )
