"""Load a tokenizer, encode a corpus into token shards, and know how many bytes each token stands for.

The corpus encoder parses the tokens of personal information that masking wrote, since ingest took every literal special token
out of the text before. Prompts of strangers are encoded as plain text, where a special token is just its letters.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.pipeline import CorruptFileError, Counters, Runtime, Task, UserError, stage, xxh3_128_file
from polyglot_lm.shards import EncodedDocument, read_documents, write_tokens
from polyglot_lm.tokenizer.special import ALIASES, END
from polyglot_lm.tokenizer.train import TOKENIZER_FILE

ENCODE_BATCH = 256  # documents handed to the library at once


class Tokenizer:
    """A trained tokenizer. `vocab_size` counts its tokens, `end_id` is `<|endoftext|>`, `hash` the xxh3-128 of its file."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer as Library

        path = folder / TOKENIZER_FILE
        if not path.exists():
            raise UserError(f"no {TOKENIZER_FILE} in {folder}; give the folder of a tokenizer or of an exported model")
        try:
            self.library: Any = Library.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for a file it cannot read
            raise CorruptFileError(path, str(error).splitlines()[0]) from error
        self.vocab_size: int = self.library.get_vocab_size()
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
        self.library.encode_special_tokens = not parse_special
        for ours, theirs in self.aliases.items() if parse_special else ():
            texts = [text.replace(ours, theirs) for text in texts]
        return [encoding.ids for encoding in self.library.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes the ids stand for; a special token stands for its letters."""
        return b"".join(self.token_bytes[token] for token in ids)

    @functools.cached_property
    def token_bytes(self) -> list[bytes]:
        """The raw bytes of every token. Never through text: a token may hold part of a character."""
        letters = byte_alphabet()
        tokens = sorted(self.library.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
        return [
            text.encode() if number in self.special_ids else bytes(letters[letter] for letter in text) for text, number in tokens
        ]

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


@stage(version=1)
def encode_corpus(
    out: Path,
    *,
    corpus: Path,
    tokenizer: Path,
    language: str,
    source: str,
    byte_premium: float,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write the training documents of one source of a corpus as token shards."""
    loaded = Tokenizer(tokenizer)
    rows = read_documents(corpus, ("id", "text", "source", "num_bytes", "cluster_size", "quality"), "train")
    description = {
        "lang": language,
        "source": source,
        "byte_premium": byte_premium,
        "tokenizer": loaded.hash,
        "upstream": [corpus.name, tokenizer.name],
    }
    chosen = (row for row in rows if row["source"] == source)
    with runtime.progress.task(f"tokens {language}", total=num_documents(corpus, source), unit="documents") as task:
        dataset = write_tokens(out, encoded(chosen, loaded, task), loaded.vocab_size, description)
    return {key: dataset[key] for key in ("documents", "tokens", "bytes", "english_bytes", "bytes_per_token")}


def num_documents(corpus: Path, source: str) -> int:
    return sum(row["source"] == source for row in read_documents(corpus, ("source",), "train"))


def encoded(rows: Iterator[dict[str, Any]], tokenizer: Tokenizer, task: Task) -> Iterator[EncodedDocument]:
    while batch := list(itertools.islice(rows, ENCODE_BATCH)):
        ids = tokenizer.encode_batch([row["text"] for row in batch], parse_special=True)
        for row, tokens in zip(batch, ids, strict=True):
            yield EncodedDocument(
                id=row["id"],
                tokens=[*tokens, tokenizer.end_id],
                num_bytes=row["num_bytes"],
                cluster_size=row["cluster_size"],
                quality=row["quality"],
            )
        task.advance(len(batch))
