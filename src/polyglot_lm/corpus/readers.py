"""Slices of files, read: each reader is one slice of one file and yields its records in the order of the file.

A reader is small and picklable, so any process can carry it out; the records of all slices of a file, one after another,
are the records of the file, with the same positions, wherever it was cut. A position is a line (JSON lines, from 0, blank
ones counted), a paragraph (plain text) or a row (Parquet).

Nothing in a file stops a reader. A record that holds no document is `Unreadable` with its reason; so is, once, the rest of
a damaged file. A document longer than `max_document_bytes` is counted and let go while it is read: memory stays below two
such documents. (Parquet is the exception: its smallest unit is a page, which is held whole.)
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.places import DamagedError, File, blocks, first_line, opened

BOM = b"\xef\xbb\xbf"
BATCH_BYTES = 4 << 20  # of a Parquet file, held as Python objects at a time
MAX_BATCH_ROWS = 4096
COLUMNS = ("text", "url", "license")


class RawDocument(NamedTuple):
    """Text as found; `path` and `position` say where, the language's code in the path replaced by `*`."""

    path: str
    position: int
    text: str
    url: str | None = None
    license: str | None = None


class Unreadable(NamedTuple):
    """A record that holds no document, and why."""

    path: str
    position: int
    reason: str


Record = RawDocument | Unreadable
Line = bytes | int  # of a line too long to hold, its length alone


class Reader(Protocol):
    """One task of a source; picklable, so that any process can carry it out."""

    def records(self) -> Iterator[Record]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """Part [start, stop) of a file, in bytes or row groups; `stop` None is its end. Its first record has the number `position`."""

    file: File
    max_document_bytes: int
    start: int = 0
    stop: int | None = None
    position: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonLines(Slice):
    """The lines that begin in [start, stop)."""

    def records(self) -> Iterator[Record]:
        path, position = self.file.path, self.position
        try:
            for line in lines(blocks(self.file, self.start, self.stop), self.max_document_bytes):
                if isinstance(line, int):
                    yield Unreadable(path, position, too_long(self.max_document_bytes))
                elif content := line.removeprefix(BOM).strip() if position == 0 else line.strip():
                    yield parse_line(content, path, position)
                position += 1
        except DamagedError as error:
            yield Unreadable(path, position, str(error))


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraphs(Slice):
    """The runs of lines between blank lines that begin in [start, stop) of a text file."""

    def records(self) -> Iterator[Record]:
        path, position = self.file.path, self.position
        try:
            for _, paragraph in paragraphs(self.file, self.start, self.stop, self.max_document_bytes):
                yield decode(paragraph, path, position, self.max_document_bytes)
                position += 1
        except DamagedError as error:
            yield Unreadable(path, position, str(error))


@dataclass(frozen=True, kw_only=True, slots=True)
class RowGroups(Slice):
    """The row groups [start, stop) of a Parquet file."""

    def records(self) -> Iterator[Record]:
        path, position = self.file.path, self.position
        with opened(self.file) as stream:
            try:
                parquet = open_parquet(stream)
            except (pa.ArrowException, OSError) as error:
                yield Unreadable(path, position, damaged_parquet(error))
                return
            if "text" not in parquet.schema_arrow.names:
                yield Unreadable(path, position, "no column 'text'")
                return
            for group in range(self.start, parquet.num_row_groups if self.stop is None else self.stop):
                yield from self.group(parquet, group, position)
                position += parquet.metadata.row_group(group).num_rows

    def group(self, parquet: pq.ParquetFile, group: int, position: int) -> Iterator[Record]:
        """Read one row group; its rows from a damaged page on are one Unreadable."""
        columns = [name for name in COLUMNS if name in parquet.schema_arrow.names]
        metadata = parquet.metadata.row_group(group)
        row_bytes = text_bytes(metadata) // max(1, metadata.num_rows)
        batch_rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // max(1, row_bytes)))
        try:
            for batch in parquet.iter_batches(batch_size=batch_rows, row_groups=[group], columns=columns, use_threads=False):
                values = {name: cells(batch.column(name)) for name in columns}
                absent = [None] * batch.num_rows
                rows = zip(*(values.get(name, absent) for name in COLUMNS), strict=True)
                for row in rows:
                    yield checked(row, self.file.path, position, self.max_document_bytes)
                    position += 1
        except (pa.ArrowException, OSError) as error:
            yield Unreadable(self.file.path, position, damaged_parquet(error))


def open_parquet(stream: Any) -> pq.ParquetFile:
    return pq.ParquetFile(stream, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 20)


def text_bytes(group: Any) -> int:
    """Return the uncompressed bytes of a row group's text column, from its metadata."""
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == "text")


def damaged_parquet(error: Exception) -> str:
    """Return the reason; raises the error itself when it is the disk's or the network's, and not the file's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return f"damaged parquet: {first_line(error)}"


def cells(column: pa.Array) -> list[Any]:
    """Return the values of a column; text that is no UTF-8 comes as bytes."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [cell.as_buffer().to_pybytes() if cell.is_valid else None for cell in column]


def checked(row: tuple[Any, Any, Any], path: str, position: int, max_bytes: int) -> Record:
    text, url, license = row
    if isinstance(text, bytes):
        record = decode(text, path, position, max_bytes)
        return record._replace(url=optional(url), license=optional(license)) if isinstance(record, RawDocument) else record
    if not isinstance(text, str):
        return no_text(path, position)
    if len(text) * 4 > max_bytes and len(text.encode()) > max_bytes:
        return Unreadable(path, position, too_long(max_bytes))
    return RawDocument(path, position, text, optional(url), optional(license))


def optional(value: Any) -> str | None:
    """Return a field that may be missing as text."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if value else None


def record_from(row: Mapping[str, Any], path: str, position: int) -> Record:
    text = row.get("text")
    if not isinstance(text, str):
        return no_text(path, position)
    return RawDocument(path, position, text, optional(row.get("url")), optional(row.get("license")))


def no_text(path: str, position: int) -> Unreadable:
    return Unreadable(path, position, "no field 'text' with text in it")


def too_long(max_bytes: int) -> str:
    return f"longer than {max_bytes:,} bytes"


def parse_line(line: bytes, path: str, position: int) -> Record:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return parse_lenient(line, path, position)
    return record_from(row, path, position) if isinstance(row, dict) else no_text(path, position)


def parse_lenient(line: bytes, path: str, position: int) -> Record:
    """Parse what Python writes and JSON forbids (NaN among the other fields), or say why it cannot be."""
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return Unreadable(path, position, f"no JSON: {first_line(error)}")
    record = record_from(row, path, position) if isinstance(row, dict) else no_text(path, position)
    if isinstance(record, RawDocument) and not all(is_unicode(value or "") for value in (record.text, record.url, record.license)):
        return Unreadable(path, position, "half a surrogate pair in the text")
    return record


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode(paragraph: Line, path: str, position: int, max_bytes: int) -> Record:
    if isinstance(paragraph, int) or len(paragraph) > max_bytes:
        return Unreadable(path, position, too_long(max_bytes))
    if b"\0" in paragraph:
        return Unreadable(path, position, "NUL byte in the text")
    try:
        return RawDocument(path, position, paragraph.decode())
    except UnicodeDecodeError as error:
        return Unreadable(path, position, f"no UTF-8: {error}")


def lines(chunks: Iterable[bytes], max_bytes: int) -> Iterator[Line]:
    """Yield lines without their ends; of a line over `max_bytes` its length alone, and never hold it."""
    pieces, held = list[bytes](), 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        held += len(first)
        if held <= max_bytes:
            pieces.append(first)
        else:
            pieces.clear()
        if not others:
            continue
        yield b"".join(pieces) if held <= max_bytes else held
        last = others.pop()
        for line in others:
            yield line if len(line) <= max_bytes else len(line)
        pieces, held = [last], len(last)
    if held:
        yield b"".join(pieces) if held <= max_bytes else held


def paragraphs(file: File, start: int, stop: int | None, max_bytes: int) -> Iterator[tuple[int, Line]]:
    """Yield the paragraphs of a byte range, each with its first byte's place in the (decompressed) file."""
    at = begin = start
    pieces, held = list[bytes](), 0
    for line in lines(blocks(file, start, stop), max_bytes):
        content, length = (line, len(line)) if isinstance(line, bytes) else (b"", line)
        if at == 0:
            content = content.removeprefix(BOM)
        if content.isspace() or (not content and length <= max_bytes):
            if held:
                yield begin, b"\n".join(pieces) if held <= max_bytes + 1 else held
                pieces, held = [], 0
        else:
            begin = begin if held else at
            held += length + 1
            if held <= max_bytes + 1:
                pieces.append(content)
            else:
                pieces.clear()
        at += length + 1
    if held:
        yield begin, b"\n".join(pieces) if held <= max_bytes + 1 else held
