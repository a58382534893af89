"""Web archives in, documents out: WARC pages by extraction of their main text, WET as it is.

In: files of Common Crawl's or any crawler's, here or in an object store. Out: `mul/part-00017.parquet` (url, text, date), one
part a file, which `ingest` reads as a folder of every language, since a crawl is of all; and what cannot be read in
`quarantine/`. Extraction is a stage of its own because it costs ten times all others together and never changes.

Archives are damaged in the middle more often than other files: crawlers are killed, transfers cut. A damaged region is one
unreadable record, and reading goes on at the next record behind it: the next gzip member that begins with a WARC header.
Format: ISO 28500 (WARC/1.1); reader: FastWARC.
"""

import functools
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from polyglot_lm.corpus.page import Extractor, PageError, check_installed
from polyglot_lm.corpus.places import DamagedError, File, GzipMember, decompressed, first_line, opened, raw_blocks
from polyglot_lm.corpus.sources import EVERY_LANGUAGE, content_of, find_files
from polyglot_lm.pipeline import Counters, Outcome, Runtime, UserError, counted, run_tasks, stage
from polyglot_lm.shards import QUARANTINE_SCHEMA, DocumentWriter, part_path

ENDINGS = (".warc", ".warc.gz", ".wet", ".wet.gz")
WEB_SCHEMA = pa.schema([("url", pa.string()), ("text", pa.string()), ("date", pa.string())])
HTML_TYPES = ("text/html", "application/xhtml+xml")
GROUP_BYTES = 8 << 20  # of text, held before it is written
GZIP_HEADER = b"\x1f\x8b\x08"
PLAIN_HEADER = re.compile(rb"(?<=\r\n)WARC/1\.[01]\r\n")
SEARCH_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class WebFiles:
    """Archives below one address. Identity: relative path, size and checksum of each, as of other files."""

    name: str
    files: tuple[File, ...]

    def identity(self) -> Any:
        return {"name": self.name, "files": [{"path": f.path, "bytes": f.size, **content_of(f)} for f in self.files]}


@dataclass(frozen=True, kw_only=True, slots=True)
class WebTask:
    """One archive to extract."""

    number: int
    file: File
    out: Path
    max_page_bytes: int
    max_page_seconds: float

    @property
    def name(self) -> str:
        return part_path(self.out, self.number).stem


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that cannot be read."""

    reason: str


@dataclass(frozen=True, slots=True)
class Damage(Broken):
    """A region of the archive itself, rather than what one record holds."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is whole, but no page of text: a picture, an error, a redirection."""

    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    url: str
    date: str
    body: bytes
    charset: str | None
    is_html: bool


def web_files(address: str | Path) -> WebFiles:
    """Find the archives in a folder or below an address; raises UserError when there is none."""
    found = find_files(address, lambda path: path.name.endswith(ENDINGS))
    if not found:
        raise UserError(f"no web archive in {address}; expected {', '.join('*' + ending for ending in ENDINGS)}")
    return WebFiles(name=PurePosixPath(str(address)).name, files=found)


@stage(version=1, resumable=True)
def extract_web(
    out: Path, *, files: WebFiles, max_page_bytes: int, max_page_seconds: float, runtime: Runtime = Runtime()
) -> Counters:
    """Extract the text of archives; counts records, documents, those skipped by reason, and unreadable ones.

    Raises UserError when the extractors are not installed or a file cannot be read.
    """
    check_installed()
    make = functools.partial(WebTask, out=out, max_page_bytes=max_page_bytes, max_page_seconds=max_page_seconds)
    tasks = [make(number=number, file=file) for number, file in enumerate(files.files)]
    manifests = run_tasks(runtime, out, extract_part, tasks, label=f"pages {files.name}", unit="archives")
    return dict(sorted(sum((counted(manifest) for manifest in manifests), Counter[str]()).items()))


def extract_part(task: WebTask) -> Outcome:
    """Carry out one task; a function of its input alone, so a second attempt writes the same bytes."""
    total: Counter[str] = Counter()
    files = [part_path(task.out / folder, task.number) for folder in (EVERY_LANGUAGE, "quarantine")]
    held = 0
    with (
        Extractor(task.max_page_seconds) as extractor,
        DocumentWriter(files[0], WEB_SCHEMA) as kept,
        DocumentWriter(files[1], QUARANTINE_SCHEMA) as quarantine,
    ):
        for position, record in enumerate(read_archive(task.file, task.max_page_bytes)):
            total["records"] += 1
            found = text_of(record, extractor) if isinstance(record, Page) else record
            if isinstance(found, Broken):
                quarantine.write({"origin": task.file.path, "position": position, "reason": found.reason})
                total["documents_quarantined"] += 1
            elif isinstance(found, Skipped):
                total[f"skipped_{found.reason}"] += 1
            elif isinstance(record, Page):
                kept.write({"url": record.url, "text": found, "date": record.date})
                size = len(found.encode())
                total.update(documents=1, bytes=size, bytes_of_pages=len(record.body))
                held += size
                if held > GROUP_BYTES:
                    kept.flush()
                    held = 0
    return Outcome(files=files, counters=total)


def text_of(page: Page, extractor: Extractor) -> str | Broken | Skipped:
    try:
        text = extractor.extract(page.body, page.charset) if page.is_html else page.body.decode()
    except PageError as error:
        return Broken(str(error))
    except UnicodeDecodeError as error:
        return Broken(f"no UTF-8: {error}")
    return text or Skipped("without_text")


def read_archive(file: File, max_page_bytes: int) -> Iterator[Page | Broken | Skipped]:
    """Yield the pages of an archive; each damaged region is one Broken, behind which reading goes on."""
    start: int | None = 0
    place, found = 0, None
    while start is not None:
        place = start
        with opened(file) as stream:
            stream.seek(start)
            try:
                for record in archive(stream):
                    place, found = start + record.stream_pos, read_record(record, max_page_bytes)
                    yield found
                break
            except OSError as error:
                if error.errno is not None:
                    raise
                if not isinstance(found, Damage):
                    found = Damage(f"damaged archive: {first_line(error)}")
                    yield found
        start = next_record(file, place + 1)
    if not isinstance(found, Damage) and not ends_well(file, place):
        yield Damage("truncated: the archive ends in the middle of a record")


def ends_well(file: File, place: int) -> bool:
    """Say whether the file is whole from the last record on, which FastWARC does not."""
    if not file.address.endswith(".gz"):
        return file.size == 0 or b"".join(raw_blocks(file, max(0, file.size - 4))) == b"\r\n\r\n"
    try:
        for _ in decompressed(raw_blocks(file, place), GzipMember, "gz"):
            pass
    except DamagedError:
        return False
    return True


def archive(stream: IO[bytes]) -> Iterator[Any]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    kinds = WarcRecordType.response | WarcRecordType.conversion
    return iter(ArchiveIterator(stream, record_types=kinds, parse_http=True, auto_decode="none", fsspec_args=False))


def read_record(record: Any, max_page_bytes: int) -> Page | Broken | Skipped:
    from fastwarc.warc import WarcRecordType

    url, length = record.headers.get("WARC-Target-URI"), record.content_length
    if not url:
        return Damage("truncated: a record without address")
    if length > max_page_bytes:
        return Broken(f"longer than {max_page_bytes:,} bytes")
    is_response = record.record_type == WarcRecordType.response
    if is_response and (reason := no_page(record)):
        return Skipped(reason)
    body = record.reader.read(max_page_bytes + 1)
    if len(body) < length:
        return Damage(f"truncated: {len(body):,} of {length:,} bytes")
    charset, is_html = (record.http_charset, record.http_content_type != "text/plain") if is_response else (None, False)
    if is_response:
        try:
            body = decode_body(body, record.http_headers, max_page_bytes)
        except PageError as error:
            return Broken(str(error))
    return Page(url, record.headers.get("WARC-Date") or "", body, charset, is_html)


def no_page(record: Any) -> str | None:
    """Return why a response is no page of text, None when it is one."""
    if record.http_headers is None:
        return "not_http"
    if record.http_headers.status_code != 200:
        return "status"
    if record.http_content_type not in (*HTML_TYPES, "text/plain"):
        return "content_type"
    return None


def decode_body(body: bytes, headers: Any, max_bytes: int) -> bytes:
    """Undo transfer and content encodings that the crawler left; raises PageError for a body that does not hold them."""
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        body = unchunked(body)
    encoding = (headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding in ("identity", ""):
        return body
    if encoding in ("gzip", "x-gzip", "deflate"):
        plain, is_whole = inflate(body, max_bytes + 1)
    elif encoding == "br":
        plain, is_whole = unbrotli(body, max_bytes + 1)
    else:
        raise PageError(f"unknown content encoding {encoding[:20]!r}")
    if len(plain) > max_bytes:
        raise PageError(f"longer than {max_bytes:,} bytes")
    if not is_whole:
        raise PageError(f"truncated {encoding} body")
    return plain


def inflate(body: bytes, max_bytes: int) -> tuple[bytes, bool]:
    """Decompress gzip or zlib, say whether the end was reached."""
    engine = zlib.decompressobj(wbits=47)
    try:
        return engine.decompress(body, max_bytes), engine.eof
    except zlib.error as error:
        raise PageError(f"damaged body: {error}") from error


def unbrotli(body: bytes, max_bytes: int) -> tuple[bytes, bool]:
    import brotli

    engine = brotli.Decompressor()
    try:
        return engine.process(body, output_buffer_limit=max_bytes), engine.is_finished()
    except brotli.error as error:
        raise PageError(f"damaged body: {error}") from error


def unchunked(body: bytes) -> bytes:
    """Join HTTP chunks; a body that says it is chunked and is not (crawlers decode and keep the header) is returned as it is."""
    chunks, at = list[bytes](), 0
    while (end := body.find(b"\r\n", at)) >= 0:
        size = body[at:end].partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size):
            return body
        if not int(size, 16):
            break
        chunks.append(body[end + 2 : end + 2 + int(size, 16)])
        at = end + 2 + int(size, 16) + 2
    return b"".join(chunks) if chunks or end >= 0 else body


def next_record(file: File, start: int) -> int | None:
    """Return where the next record begins at or behind a place, None when none does."""
    is_gzip = file.address.endswith(".gz")
    overlap = 2048  # enough to see that a gzip member holds a WARC header
    with opened(file) as stream:
        offset, window = max(0, start - 2), b""
        stream.seek(offset)
        while block := stream.read(SEARCH_BYTES):
            window += block
            last = len(block) < SEARCH_BYTES
            places = gzip_members(window) if is_gzip else (found.start() for found in PLAIN_HEADER.finditer(window))
            for place in places:
                if offset + place >= start and (last or place < len(window) - overlap):
                    return offset + place
            cut = max(0, len(window) - overlap)
            offset, window = offset + cut, window[cut:]
    return None


def gzip_members(window: bytes) -> Iterator[int]:
    place = window.find(GZIP_HEADER)
    while place >= 0:
        try:
            if zlib.decompressobj(wbits=31).decompress(window[place : place + 1024], 5) == b"WARC/":
                yield place
        except zlib.error:
            pass
        place = window.find(GZIP_HEADER, place + 1)
