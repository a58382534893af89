"""Where raw documents come from: files of the user's, here or in an object store, or a folder that a step wrote.

A source knows two things: its identity (what it holds, not where it lies) and how to list its tasks, each of which yields
raw documents in a fixed order. Files are found by language: `<folder>/<code>/...`, `<folder>/<code>.<ending>` or
`<folder>/<code>-....<ending>`, where the ending is one of `FORMATS`, with `.gz` or `.zst` after it if compressed; the folder
`mul` is read for every language, and identification sorts it.

One task is one slice: about `slice_bytes` of a plain file, cut at a line's end (JSON lines) or a blank line (plain text), a
range of row groups of a Parquet file, or a whole compressed file, which cannot be entered in the middle. Slices depend on
the files and `slice_bytes` alone, so the number of workers may change between runs. Numbering lines and paragraphs costs
one pass over each large plain file, at the speed of the disk and once (see `remembered`).

Paths that differ only in the language's code are the same path to us (`*` stands for the code), so parallel texts laid
out alike get equal document ids, and fall to the same split.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pyarrow as pa
import xxhash

from polyglot_lm.corpus.places import (
    File,
    blocks,
    compression,
    file_system,
    first_line,
    local_file,
    opened,
    raw_blocks,
    remote_stamp,
)
from polyglot_lm.corpus.readers import (
    JsonLines,
    Paragraphs,
    RawDocument,
    Reader,
    Record,
    RowGroups,
    Unreadable,
    is_unicode,
    open_parquet,
    paragraphs,
    text_bytes,
)
from polyglot_lm.corpus.remembered import remembered
from polyglot_lm.pipeline import UserError

__all__ = ["FORMATS", "File", "Files", "RawDocument", "Reader", "Record", "Source", "Unreadable", "files_of"]

COMPRESSIONS = (".gz", ".zst")
FORMATS = (".jsonl", ".txt", ".parquet")
EVERY_LANGUAGE = "mul"  # ISO 639-2 for several languages: a folder that is read for each
SLICE_BYTES = 128_000_000
MAX_DOCUMENT_BYTES = 64_000_000
REMEMBERED_BYTES = 16_000_000  # smaller files are read again as fast as they are looked up
PARQUET_RATIO = 16  # a Parquet file this many times smaller than a slice is one, and its footer not read to plan


class Source(Protocol):
    """What `ingest` reads."""

    @property
    def name(self) -> str: ...

    def identity(self) -> Any: ...

    def tasks(self) -> Sequence[Reader]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """Files of one language.

    Identity: relative path, size and xxh3-128 of each (in an object store, the store's own checksum), never the folder they lie
    in; and the two bounds, which decide where parts begin and which documents are too long.
    """

    name: str
    files: tuple[File, ...]
    slice_bytes: int = SLICE_BYTES
    max_document_bytes: int = MAX_DOCUMENT_BYTES

    def __post_init__(self) -> None:
        for name in ("slice_bytes", "max_document_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def identity(self) -> Any:
        described = [{"path": file.path, "bytes": file.size, **content_of(file)} for file in self.files]
        bounds = {"slice_bytes": self.slice_bytes, "max_document_bytes": self.max_document_bytes}
        return {"name": self.name, "files": described, **bounds}

    def tasks(self) -> Sequence[Reader]:
        """List the slices of all files, in order; raises UserError when a file cannot be read or has changed."""
        return [reader for file in self.files for reader in self.slices(file)]

    def slices(self, file: File) -> Iterator[Reader]:
        kind = READERS[file_format(PurePosixPath(file.address))]
        cuts = self.cuts(file, kind)
        for (start, position), following in zip(cuts, [*cuts[1:], None], strict=True):
            stop = following[0] if following else None
            yield kind(file=file, max_document_bytes=self.max_document_bytes, start=start, stop=stop, position=position)

    def cuts(self, file: File, kind: type[Reader]) -> list[tuple[int, int]]:
        """Return where each slice starts (byte, or row group) and the number of its first record."""
        least = self.slice_bytes // PARQUET_RATIO if kind is RowGroups else self.slice_bytes
        if file.size <= least or compression(file):
            return [(0, 0)]
        if kind is RowGroups:
            return cuts_of(row_groups(file), self.slice_bytes)

        def find() -> str:
            if kind is JsonLines:
                return json.dumps(cut_lines(file, self.slice_bytes))
            return json.dumps(cut_paragraphs(file, self.slice_bytes, self.max_document_bytes))

        bounds = f"{self.slice_bytes}" if kind is JsonLines else f"{self.slice_bytes}/{self.max_document_bytes}"
        found = remembered_of(file, f"cuts/{kind.__name__}/{bounds}", find)
        return [(start, position) for start, position in json.loads(found)]


READERS: dict[str, type[JsonLines] | type[Paragraphs] | type[RowGroups]] = {
    ".jsonl": JsonLines,
    ".txt": Paragraphs,
    ".parquet": RowGroups,
}


def remembered_of(file: File, what: str, compute: Callable[[], str]) -> str:
    if file.size < REMEMBERED_BYTES or not file.is_settled:
        return compute()
    return remembered(f"{what}\0{file.key}", compute)


def content_of(file: File) -> dict[str, str]:
    if file.is_remote:
        return {"version": file.stamp}
    return {"xxh3": remembered_of(file, "xxh3-128", lambda: digest(file))}


def digest(file: File) -> str:
    content = xxhash.xxh3_128()
    for block in raw_blocks(file):
        content.update(block)
    return content.hexdigest()


def cut_lines(file: File, slice_bytes: int) -> list[tuple[int, int]]:
    """Cut after the first line end that lies at least `slice_bytes` behind the last cut."""
    cuts, offset, lines = [(0, 0)], 0, 0
    for block in blocks(file):
        counted = 0
        while (search := max(cuts[-1][0] + slice_bytes - 1 - offset, counted)) < len(block):
            end = block.find(b"\n", search) + 1
            if not end:
                break
            lines += block.count(b"\n", counted, end)
            counted = end
            cuts.append((offset + end, lines))
        lines += block.count(b"\n", counted)
        offset += len(block)
    return [cut for cut in cuts if cut[0] < offset or cut == (0, 0)]


def cut_paragraphs(file: File, slice_bytes: int, max_document_bytes: int) -> list[tuple[int, int]]:
    """Cut before the first paragraph that begins at least `slice_bytes` behind the last cut."""
    cuts = [(0, 0)]
    for number, (start, _) in enumerate(paragraphs(file, 0, None, max_document_bytes)):
        if start - cuts[-1][0] >= slice_bytes:
            cuts.append((start, number))
    return cuts


def row_groups(file: File) -> list[tuple[int, int]]:
    """Return rows and bytes of text of each row group; none of a file that is no Parquet (its reader will say what is wrong)."""

    def find() -> str:
        with opened(file) as stream:
            try:
                metadata = open_parquet(stream).metadata
            except (pa.ArrowException, OSError):
                return "[]"
            groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
            return json.dumps([(group.num_rows, text_bytes(group)) for group in groups])

    return [(rows, size) for rows, size in json.loads(remembered_of(file, "row groups", find))]


def cuts_of(groups: list[tuple[int, int]], slice_bytes: int) -> list[tuple[int, int]]:
    """Cut before the row group with which a slice would hold over `slice_bytes` of text."""
    cuts, row, held = [(0, 0)], 0, 0
    for number, (rows, size) in enumerate(groups):
        if held and held + size > slice_bytes:
            cuts.append((number, row))
            held = 0
        held, row = held + size, row + rows
    return cuts


def files_of(
    address: str | Path,
    code: str,
    *,
    name: str | None = None,
    slice_bytes: int = SLICE_BYTES,
    max_document_bytes: int = MAX_DOCUMENT_BYTES,
) -> Files:
    """Find the files of a language in a folder, or below an address such as s3://bucket/folder.

    Raises UserError when there is none, one cannot be opened, or the address needs a package that is not installed.
    """
    found = find_files(address, lambda path: belongs(path, code))
    if not found:
        raise UserError(
            f"no file of language {code!r} in {address}; expected {code}/*.jsonl or {code}.jsonl "
            f"(also {', '.join(FORMATS[1:])}, {', '.join(COMPRESSIONS)})"
        )
    given = PurePosixPath(str(address)).name if is_remote(address) else local_folder(address).resolve().name
    files = tuple(dataclasses.replace(file, path=without_code(file.path)) for file in found)
    return Files(name=name or given, files=files, slice_bytes=slice_bytes, max_document_bytes=max_document_bytes)


def find_files(address: str | Path, wanted: Callable[[PurePosixPath], bool]) -> tuple[File, ...]:
    """List the files below a folder or an address whose relative path is wanted, in the order of their paths."""
    return remote_files(str(address), wanted) if is_remote(address) else local_files(local_folder(address), wanted)


def is_remote(address: str | Path) -> bool:
    return "://" in str(address) and not str(address).startswith("file://")


def local_folder(address: str | Path) -> Path:
    return Path(str(address).removeprefix("file://")).expanduser()


def local_files(folder: Path, wanted: Callable[[PurePosixPath], bool]) -> tuple[File, ...]:
    if not folder.is_dir():
        raise UserError(f"source {str(folder)!r} is no folder; give 'chromium', an existing folder or hub:OWNER/NAME")
    paths = sorted(place.relative_to(folder) for place in folder.rglob("*") if place.is_file())
    mine = [path.as_posix() for path in paths if wanted(PurePosixPath(path.as_posix()))]
    for path in mine:
        if not is_unicode(path):
            raise UserError(f"{str(folder / path)!r} has a name that is no UTF-8; rename it")
        if not os.access(folder / path, os.R_OK):
            raise UserError(f"{folder / path} cannot be read (permission denied); mend its permissions or take it out")
    return tuple(local_file(folder / path, path) for path in mine)


def remote_files(address: str, wanted: Callable[[PurePosixPath], bool]) -> tuple[File, ...]:
    system, root = file_system(address)
    try:
        listed: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except Exception as error:  # every store's client has errors of its own
        raise UserError(f"{address} cannot be listed ({first_line(error)}); check its name, your rights and the network") from error
    prefix = root.rstrip("/") + "/"
    below = {place.removeprefix(prefix): (place, info) for place, info in sorted(listed.items())}
    return tuple(
        File(address=system.unstrip_protocol(place), path=path, size=info["size"], stamp=remote_stamp(info))
        for path, (place, info) in below.items()
        if wanted(PurePosixPath(path))
    )


def belongs(path: PurePosixPath, code: str) -> bool:
    first, is_file = path.parts[0], len(path.parts) == 1
    mine = first.split(".")[0].split("-")[0] == code if is_file else first in (code, EVERY_LANGUAGE)
    return mine and not path.name.startswith(".") and file_format(path) in FORMATS


def file_format(path: PurePosixPath) -> str:
    plain = path.with_suffix("") if path.suffix in COMPRESSIONS else path
    return plain.suffix


def without_code(path: str) -> str:
    """Put `*` in the place of the code that a path of ours begins with."""
    return "*" + path[len(re.split(r"[-./]", path, maxsplit=1)[0]) :]
