"""Evaluation sets as files: which there are, their identity, and the texts of every item.

In: folders laid out `<task>/<split>.jsonl`, or single files `<task>_<split>.jsonl` (parallel text: one key a language); JSON lines,
plain or `.gz` or `.zst`. Out: for every item the strings in it, in the order written, those in lists and objects too.

No table says which field of which task is text: any string may be one. Fields named in `excluded_fields` (ids, addresses) are not,
nor are labels, which `decontaminate` knows by their shortness and repetition.
"""

import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyglot_lm.pipeline import UserError, xxh3_128_file

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
LINES = ".jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One file: the items of one split of one task."""

    place: Path
    path: str
    task: str
    split: str

    def items(self, excluded_fields: frozenset[str]) -> Iterator[list[tuple[str, str]]]:
        """Yield the (field, text) pairs of every item, an empty line being none; raises UserError when the file cannot be read."""
        number = 0
        try:
            with pa.input_stream(str(self.place), compression=COMPRESSIONS.get(self.place.suffix)) as stream:
                for number, line in enumerate(stream.read().splitlines(), 1):  # noqa: B007 - named in the error
                    if line.strip():
                        yield list(strings(json.loads(line), excluded_fields))
        except OSError as error:
            raise UserError(f"{self.place} cannot be read ({first_line(error)}); mend it or take it out of the folder") from error
        except (ValueError, RecursionError) as error:
            reason = f"line {number} is no JSON: {first_line(error)}"
            raise UserError(f"{self.place} cannot be read ({reason}); mend it or take it out of the folder") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmarks:
    """Evaluation sets. Identity: relative path, size and xxh3-128 of each file, never the folder they lie in."""

    splits: tuple[Split, ...]

    def identity(self) -> Any:
        return [{"path": s.path, "bytes": s.place.stat().st_size, "xxh3": xxh3_128_file(s.place)} for s in self.splits]


def benchmarks_of(*folders: Path) -> Benchmarks:
    """Find the evaluation sets in folders; raises UserError when there is none or one cannot be opened, or two bear one name."""
    splits: dict[tuple[str, str], Split] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{str(folder)!r} is no folder; give folders of evaluation sets, <task>/<split>{LINES}")
        for place in sorted(path for path in folder.rglob("*") if path.is_file() and is_lines(path)):
            split = split_of(place, folder)
            if not os.access(place, os.R_OK):
                raise UserError(f"{place} cannot be read (permission denied); mend its permissions or take it out")
            if other := splits.get((split.task, split.split)):
                raise UserError(f"{place} and {other.place} are both {split.task} {split.split}; take one of them out")
            splits[split.task, split.split] = split
    if not splits:
        named = ", ".join(map(str, folders)) or "no folder"
        raise UserError(f"no evaluation set in {named}; expected <task>/<split>{LINES} (also {', '.join(COMPRESSIONS)})")
    return Benchmarks(splits=tuple(splits[key] for key in sorted(splits)))


def is_lines(path: Path) -> bool:
    plain = path.with_suffix("") if path.suffix in COMPRESSIONS else path
    return plain.suffix == LINES and not path.name.startswith(".")


def split_of(place: Path, folder: Path) -> Split:
    path = place.relative_to(folder)
    stem = path.name.partition(LINES)[0]
    if path.parent.parts:
        task, split = path.parent.as_posix(), stem
    else:
        task, _, split = stem.rpartition("_")
        task, split = (task, split) if task else (stem, "all")
    return Split(place=place, path=path.as_posix(), task=task, split=split)


def strings(value: Any, excluded_fields: frozenset[str], field: str = "") -> Iterator[tuple[str, str]]:
    """Yield the strings in a JSON value, in NFC as the corpus is, each with the name of the outermost field it lies in."""
    if isinstance(value, str):
        yield field, unicodedata.normalize("NFC", value.encode("utf-8", "replace").decode())  # a lone surrogate becomes "?"
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in excluded_fields:
                yield from strings(inner, excluded_fields, field or name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, excluded_fields, field)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
