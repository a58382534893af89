"""What a sentence costs in every language: figures of any tokenizer on the same parallel sentences.

In: tokenizers (a folder, a `tokenizer.json`, a name on the Hugging Face hub, an encoding of tiktoken) and parallel text, JSON lines
with a sentence a language. Out: one JSON value a tokenizer, which `parity_page` draws. Tokens are counted on parallel sentences and
never on bytes: a Thai character takes three and an English one takes one, so equal bytes are not equal content (Petrov et al.,
arXiv 2305.15425).
"""

import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.tokenizer.vocabulary import TOKENIZER_FILE, byte_alphabet, read_library

CONTEXT = 2048  # tokens, as the released Polyglot-Ko models have
PARTIAL, NO_LETTERS, SPECIAL = "part of a character", "no letters", "special"
WIDTHS = ("FULLWIDTH", "HALFWIDTH")
TIKTOKEN = "tiktoken:"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(?<!\.json)")
COMPRESSION = {".zst": "zstd", ".gz": "gzip"}
Parallel = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurable:
    """Any tokenizer: texts to ids, special tokens being just their letters, and the bytes of its tokens, None for a special one."""

    encode: Callable[[Sequence[str]], list[list[int]]]
    token_bytes: Mapping[int, bytes | None]


def of_library(library: Any) -> Measurable:
    """Make a tokenizer of Hugging Face's library measurable."""
    library.encode_special_tokens = True
    library.no_truncation()
    library.no_padding()
    special = set(library.get_added_tokens_decoder())
    letters = byte_alphabet()
    vocab = library.get_vocab(with_added_tokens=True)
    raw_bytes = bytes_of_letters if letters.keys() <= vocab.keys() else bytes_of_piece
    return Measurable(
        encode=lambda texts: [found.ids for found in library.encode_batch_fast(list(texts), add_special_tokens=False)],
        token_bytes={number: None if number in special else raw_bytes(token, letters) for token, number in vocab.items()},
    )


def of_tiktoken(encoding: Any) -> Measurable:
    """Make an encoding of tiktoken measurable."""
    special = {encoding.encode_single_token(token) for token in encoding.special_tokens_set}
    known = {encoding.encode_single_token(raw): raw for raw in encoding.token_byte_values()}
    return Measurable(
        encode=lambda texts: encoding.encode_ordinary_batch(list(texts)), token_bytes={**known, **dict.fromkeys(special)}
    )


def bytes_of_letters(token: str, letters: Mapping[str, int]) -> bytes:
    return b"".join(bytes([letters[letter]]) if letter in letters else letter.encode() for letter in token)


def bytes_of_piece(token: str, _: Mapping[str, int]) -> bytes:
    """Return the bytes of a SentencePiece token: `<0xEA>` is a byte and U+2581 a space."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()


def read_measurable(name: str) -> Measurable:
    """Load a folder with `tokenizer.json`, such a file, `tiktoken:ENCODING`, or a tokenizer of the hub by its name.

    Raises UserError where there is none.
    """
    path = Path(name)
    if path.is_dir():
        path = path / TOKENIZER_FILE
    if path.exists():
        return of_library(read_library(path))
    if name.startswith(TIKTOKEN):
        return read_tiktoken(name.removeprefix(TIKTOKEN))
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"there is no tokenizer at {name}; give a folder with {TOKENIZER_FILE}, such a file, or a name on the hub")
    from tokenizers import Tokenizer as Library

    try:
        return of_library(Library.from_pretrained(name))
    except Exception as error:  # the library raises bare Exception for whatever went wrong
        raise UserError(f"{name} is neither a file nor a tokenizer that the hub gives out: {first_line(error)}") from error


def read_tiktoken(name: str) -> Measurable:
    try:
        import tiktoken
    except ImportError as error:
        raise UserError(f"encoding {name!r} needs tiktoken; install it with pip install tiktoken") from error
    try:
        return of_tiktoken(tiktoken.get_encoding(name))
    except (ValueError, OSError) as error:  # its file comes from the network
        raise UserError(f"tiktoken cannot give its encoding {name!r}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_parallel(path: Path, languages: Sequence[str] = ()) -> dict[str, list[str]]:
    """Read parallel sentences by language, all languages of the file unless some are named; raises UserError where one misses."""
    try:
        with pa.input_stream(str(path), compression=COMPRESSION.get(path.suffix)) as stream:
            rows = [json.loads(line) for line in io.BytesIO(stream.read())]
    except FileNotFoundError as error:
        raise UserError(f"there is no parallel text at {path}; give JSON lines with one sentence a language") from error
    except (OSError, ValueError) as error:
        raise CorruptFileError(path, str(error).splitlines()[0]) from error
    if not rows:
        raise UserError(f"{path} has no sentences")
    chosen = list(languages) or [key for key, value in rows[0].items() if isinstance(value, str)]
    for number, row in enumerate(rows, start=1):
        if missing := [code for code in chosen if not isinstance(row.get(code), str)]:
            raise UserError(
                f"line {number} of {path} has no sentence in {missing[0]!r}; parallel text needs all languages in every line"
            )
    return {code: [row[code] for row in rows] for code in chosen}


def measure(tokenizer: Measurable, parallel: Parallel, reference: str) -> dict[str, Any]:
    """Return all figures of one tokenizer; premiums are against `reference`, null where the text has no such language."""
    ids = {code: tokenizer.encode(texts) for code, texts in parallel.items()}
    num_bytes = {code: sum(len(text.encode()) for text in texts) for code, texts in parallel.items()}
    counts = {code: sum(map(len, sentences)) for code, sentences in ids.items()}
    base = {"tokens": counts.get(reference), "bytes": num_bytes.get(reference)}
    used = {code: Counter(number for sentence in sentences for number in sentence) for code, sentences in ids.items()}
    languages = {
        code: {
            "tokens_per_sentence": counts[code] / len(parallel[code]),
            "premium": counts[code] / base["tokens"] if base["tokens"] else None,
            "byte_premium": num_bytes[code] / base["bytes"] if base["bytes"] else None,
            "bytes_per_token": num_bytes[code] / counts[code],
            "single_byte_share": share(used[code], tokenizer.token_bytes, is_single_byte),
            "partial_share": share(used[code], tokenizer.token_bytes, is_partial),
            "context_english_bytes": CONTEXT * base["bytes"] / counts[code] if base["bytes"] else None,
            "vocabulary_used": len(used[code]),
        }
        for code in parallel
    }
    costs = [counts[code] / len(parallel[code]) for code in parallel]
    return {
        "vocab_size": len(tokenizer.token_bytes),
        "mean_tokens_per_sentence": fmean(costs),
        "gini": gini(costs),
        "max_min": max(costs) / min(costs),
        "vocabulary_used": len(set().union(*used.values())),
        "partial_tokens": sum(is_partial(raw) for raw in tokenizer.token_bytes.values() if raw is not None),
        "vocabulary_by_script": dict(Counter(map(script, tokenizer.token_bytes.values())).most_common()),
        "languages": languages,
    }


def gini(costs: Sequence[float]) -> float:
    """Return the Gini coefficient: 0 where all cost the same, (n - 1)/n where one bears everything."""
    differences = sum(abs(one - other) for one in costs for other in costs)
    return differences / (2 * len(costs) ** 2 * fmean(costs))


def share(used: Counter[int], token_bytes: Mapping[int, bytes | None], what: Callable[[bytes], bool]) -> float:
    """Return the share of produced tokens that are of a kind; a special token (unknown) is of none."""
    found = sum(count for number, count in used.items() if (raw := token_bytes[number]) is not None and what(raw))
    return found / max(1, used.total())


def is_single_byte(raw: bytes) -> bool:
    """Tell whether a token is one byte of a longer character."""
    return len(raw) == 1 and raw[0] >= 0x80


def is_partial(raw: bytes) -> bool:
    """Tell whether a token holds part of a character, so that it is no text on its own."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def script(raw: bytes | None) -> str:
    """Return the script of a token's first letter, by the first word of its Unicode name."""
    if raw is None:
        return SPECIAL
    if is_partial(raw):
        return PARTIAL
    for letter in raw.decode():
        if unicodedata.category(letter)[0] in "LM":
            words = unicodedata.name(letter, "unnamed").split()
            word = words[words[0] in WIDTHS] if len(words) > 1 else words[0]
            return "Han" if word in ("CJK", "IDEOGRAPHIC") else word.capitalize()
    return NO_LETTERS
