"""What a report may say of a masked identifier: kind, country, rule, and a hash that shows repetition and nothing else.

Numbers are few (10^8 mobile numbers in a country), so a bare hash is undone by trying them all. The hash is keyed; the key is
drawn once, lies beside the runs and never in a step's folder, and must not be published. With one key the records of a text are
the same in every run. Hashed are letters and digits alone, in plain form, so all ways of writing a number are one.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from polyglot_lm.masking.engine import Span
from polyglot_lm.masking.zones import NORMAL
from polyglot_lm.pipeline import UserError

KEY_FILE = "masking.key"
KEY_BYTES = 32


def span_records(text: str, spans: Sequence[Span], key: bytes) -> list[dict[str, str]]:
    """Return a record for each span of `text` (the text before masking) that holds nothing of the text."""
    return [
        {"kind": span.kind, "country": span.country, "rule": span.rule, "hash": number_hash(text[span.start : span.end], key)}
        for span in spans
    ]


def number_hash(number: str, key: bytes) -> str:
    plain = "".join(filter(str.isalnum, (NORMAL[letter] for letter in number))).lower()
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()


def report_key(root: Path) -> bytes:
    """Return the key of all runs below `root`, drawn at the first call; raises UserError when it was cut short."""
    path = root / KEY_FILE
    root.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{KEY_FILE}.{os.getpid()}.tmp")
    mine.touch(mode=0o600)
    mine.write_bytes(secrets.token_bytes(KEY_BYTES))
    try:
        os.link(mine, path)  # fails when another process was first: then its key counts
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise UserError(f"{path} has {len(key)} bytes, not {KEY_BYTES}; delete it and the hashes of new reports will differ")
    return key
