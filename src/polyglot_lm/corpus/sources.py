"""Where raw documents come from: files of the user's, a data set on the Hugging Face hub, or a folder a step wrote.

A source knows two things: its identity (what it holds, not where it lies) and how to list its tasks, each of which yields
raw documents in a fixed order. Files are found by language: `<folder>/<code>/...`, `<folder>/<code>.<ending>` or
`<folder>/<code>-....<ending>`, where the ending is one of `FORMATS`.

Paths that differ only in the language's code are the same path to us (`*` stands for the code), so parallel texts laid
out alike get equal document ids, and fall to the same split.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.pipeline import UserError, xxh3_128_file

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
FORMATS = (".jsonl", ".txt", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class RawDocument:
    """Text as found; `path` and `position` say where, the language's code in the path replaced by `*`."""

    path: str
    position: int
    text: str
    url: str | None = None
    license: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A record that holds no document, and why."""

    path: str
    position: int
    reason: str


Record = RawDocument | Unreadable


class Source(Protocol):
    """What `ingest` reads."""

    @property
    def name(self) -> str: ...

    def identity(self) -> Any: ...

    def tasks(self) -> Sequence["Reader"]: ...


class Reader(Protocol):
    """One task of a source; picklable, so that any process can carry it out."""

    def records(self) -> Iterator[Record]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file: where it is, and what it is called in ids."""

    place: Path
    path: str

    def records(self) -> Iterator[Record]:
        """Read the file; raises UserError when it cannot be read as its ending says."""
        try:
            yield from FILE_READERS[file_format(self.place)](self)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{self.place} cannot be read ({error}); mend it or take it out of the folder") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalFiles:
    """Files of one language. Identity: relative path, size and xxh3-128 of each, never the folder they lie in."""

    name: str
    files: tuple[File, ...]

    def identity(self) -> Any:
        described = [{"path": f.path, "bytes": f.place.stat().st_size, "xxh3": xxh3_128_file(f.place)} for f in self.files]
        return {"name": self.name, "files": described}

    def tasks(self) -> Sequence[Reader]:
        return self.files


def local_files(folder: Path, code: str, name: str | None = None) -> LocalFiles:
    """Find the files of a language in a folder; raises UserError when there is none or one cannot be opened."""
    if not folder.is_dir():
        raise UserError(f"source {str(folder)!r} is no folder; give 'chromium', an existing folder or hub:OWNER/NAME")
    places = sorted(place for place in folder.rglob("*") if place.is_file() and belongs(place.relative_to(folder), code))
    if not places:
        raise UserError(
            f"no file of language {code!r} in {folder}; expected {code}/*.jsonl or {code}.jsonl "
            f"(also {', '.join(FORMATS[1:])}, .gz, .zst)"
        )
    for place in places:
        if not os.access(place, os.R_OK):
            raise UserError(f"{place} cannot be read (permission denied); mend its permissions or take it out")
    files = tuple(File(place=place, path=without_code(place.relative_to(folder), code)) for place in places)
    return LocalFiles(name=name or folder.resolve().name, files=files)


def belongs(path: Path, code: str) -> bool:
    first, is_file = path.parts[0], len(path.parts) == 1
    mine = first.split(".")[0].split("-")[0] == code if is_file else first == code
    return mine and not path.name.startswith(".") and file_format(path) in FORMATS


def file_format(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix in COMPRESSIONS else path
    return plain.suffix


def without_code(path: Path, code: str) -> str:
    return "*" + path.as_posix()[len(code) :]


def open_bytes(file: File) -> pa.NativeFile:
    return pa.input_stream(str(file.place), compression=COMPRESSIONS.get(file.place.suffix))


def lines(file: File) -> Iterator[bytes]:
    """Yield the lines of a file without holding it."""
    with open_bytes(file) as stream:
        rest = b""
        while block := stream.read(1 << 20):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
        if rest:
            yield rest


def read_jsonl(file: File) -> Iterator[Record]:
    for position, line in enumerate(lines(file)):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Unreadable(path=file.path, position=position, reason=f"no JSON: {error}")
            continue
        yield record_from(row if isinstance(row, dict) else {}, file.path, position)


def record_from(row: dict[str, Any], path: str, position: int) -> Record:
    text = row.get("text")
    if not isinstance(text, str):
        return Unreadable(path=path, position=position, reason="no field 'text' with text in it")
    if not is_unicode(text):
        return Unreadable(path=path, position=position, reason="half a surrogate pair in the text")
    known = {key: str(row[key]) for key in ("url", "license") if row.get(key)}
    return RawDocument(path=path, position=position, text=text, url=known.get("url"), license=known.get("license"))


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_text(file: File) -> Iterator[Record]:
    """Cut a text file into documents at blank lines."""
    position, paragraph = 0, list[bytes]()
    for line in itertools.chain(lines(file), [b""]):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            try:
                yield RawDocument(path=file.path, position=position, text=b"\n".join(paragraph).decode())
            except UnicodeDecodeError as error:
                yield Unreadable(path=file.path, position=position, reason=f"no UTF-8: {error}")
            position, paragraph = position + 1, []


def read_parquet(file: File) -> Iterator[Record]:
    position = 0
    with pq.ParquetFile(file.place) as parquet:
        columns = [name for name in ("text", "url", "license") if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(batch_size=1024, columns=columns):
            for row in batch.to_pylist():
                yield record_from(row, file.path, position)
                position += 1


FILE_READERS = {".jsonl": read_jsonl, ".txt": read_text, ".parquet": read_parquet}
