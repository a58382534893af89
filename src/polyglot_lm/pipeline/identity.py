"""What a step computes, as a JSON value that is the same tomorrow and on another machine.

Arguments are reduced to plain JSON; a value without a stable identity (a path, a function, an open file) raises,
because `str()` of it would fork or merge folders silently. Data on disk enters through an `identity()` method of
its own (file names, sizes and checksums, not places).
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

ABSENT = "absent"


@runtime_checkable
class Identified(Protocol):
    """A value that knows its own identity: a step, a set of source files, a hub data set at a revision."""

    def identity(self) -> Any: ...


def canonical(value: Any, where: str) -> Any:
    """Reduce `value` to JSON; raises TypeError naming `where` when it has no stable identity."""
    if isinstance(value, Identified) and not isinstance(value, type):
        return canonical(value.identity(), where)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where} is {value}; an argument must be finite")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **{k: canonical(v, f"{where}.{k}") for k, v in fields.items()}}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{where} has keys that are not text")
        return {key: canonical(value[key], f"{where}[{key}]") for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted((canonical(item, where) for item in value), key=fingerprint)
    if isinstance(value, (tuple, list)):
        return [canonical(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}, which has no stable identity; pass plain data or a step")


def fingerprint(identity: Any) -> str:
    """Eight hex digits of SHA-256 over the canonical JSON."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(old: Any, new: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """List (field, old, new) for every leaf in which two canonical values differ; ABSENT stands for no such field."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [
            row
            for key in keys
            for row in differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{where}.{key}" if where else key)
        ]
    return [] if fingerprint(old) == fingerprint(new) else [(where, old, new)]
