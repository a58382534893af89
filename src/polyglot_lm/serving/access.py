"""API keys: printed once, stored as hashes.

A key is 256 random bits, so its SHA-256 tells nothing and needs no salt and no slow hash (those protect what people choose).
The file is read again when it changes: a key that is removed is refused from the next request on, without a restart.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import UserError, read_json, write_json
from polyglot_lm.serving.errors import RequestError

NAME = re.compile(r"[\w.@-]{1,64}")
PREFIX = "plg-"
KEYS_FILE = Path("keys.json")


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def add_key(path: Path, name: str) -> str:
    """Write a new key's hash under `name` and return the key, which is stored nowhere."""
    if not NAME.fullmatch(name):
        raise UserError(f"the name of a key is {name!r}; use up to 64 letters, digits and . _ - @")
    keys = dict(read_json(path)) if path.exists() else {}
    if name in keys:
        raise UserError(f"{path} has a key named {name!r}; remove it first or choose another name")
    key = PREFIX + secrets.token_urlsafe(32)
    keys[name] = {"sha256": hashed(key), "created": time.strftime("%Y-%m-%d", time.gmtime())}
    write_private(path, keys)
    return key


def remove_key(path: Path, name: str) -> None:
    keys = dict(read_keys(path))
    if keys.pop(name, None) is None:
        raise UserError(f"{path} has no key named {name!r}; it has {', '.join(keys) or 'none'}")
    write_private(path, keys)


def read_keys(path: Path) -> Mapping[str, Any]:
    """Return name → hash and day of making."""
    if not path.exists():
        raise UserError(f"there is no file of keys at {path}; make one with `polyglot keys add NAME --file {path}`")
    return read_json(path)


def write_private(path: Path, keys: Mapping[str, Any]) -> None:
    write_json(path, keys)
    path.chmod(0o600)


class Keys:
    """The keys of a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp = 0
        self.names: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        stamp = self.path.stat().st_mtime_ns if self.path.exists() else -1
        if stamp != self.stamp:
            self.names = {str(entry["sha256"]): name for name, entry in read_keys(self.path).items()}
            self.stamp = stamp

    def client(self, authorization: str | None) -> str:
        """Return the name of the key in an `Authorization` header, or raise RequestError (401)."""
        self.refresh()
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise RequestError(
                "this server needs a key; send the header `Authorization: Bearer KEY`", status=401, code="missing_api_key"
            )
        name = self.names.get(hashed(key.strip()))
        if name is None:
            raise RequestError("this key is not known here; ask for a new one", status=401, code="invalid_api_key")
        return name
