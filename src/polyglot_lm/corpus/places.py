"""One file of a source, here or in an object store, as blocks of plain bytes.

In: a `File`, described when the run was planned. Out: its bytes, or those of a byte range, decompressed, at most
`BLOCK_BYTES` at a time, so memory does not grow with the file, nor with how well it was compressed.

Three things can go wrong, and each has its own end. What cannot be read now but may be later (permissions, a network) and
a file that is no longer the one that was planned stop the run with a UserError, since going on would lose the file's
documents without a trace. What is damaged (a truncated gzip) raises `DamagedError` after the last good byte: it is data, and
its reader counts it.
"""

import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from polyglot_lm.pipeline import UserError

BLOCK_BYTES = 1 << 20
REMOTE_BLOCK_BYTES = 8 << 20  # one request to an object store: at 50 ms each, 160 MB/s
COMPRESSED_BLOCK_BYTES = 1 << 16
SETTLED_NS = 2_500_000_000
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hf": "hub"}
STAMPS = ("ETag", "etag", "blob_id", "md5Hash", "checksum", "version_id", "LastModified", "mtime", "updated", "created")


class DamagedError(Exception):
    """A file whose bytes are not what its ending says, from here on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file as it was when the run was planned.

    `address` is a path or a URL; `path` is what the file is called in ids. `stamp` changes with the content: time of change and
    inode here, in an object store its ETag or what the store has of the kind.
    """

    address: str
    path: str
    size: int
    stamp: str

    @property
    def is_remote(self) -> bool:
        return "://" in self.address

    @property
    def key(self) -> str:
        """Name this very content for `remembered`."""
        address = self.address if self.is_remote else os.path.realpath(self.address)
        return f"{address}\0{self.size}\0{self.stamp}"

    @property
    def is_settled(self) -> bool:
        """Say whether a later change must show in the stamp: not within the clock's tick of the last one (FAT: two seconds)."""
        return self.is_remote or time.time_ns() - int(self.stamp.partition(":")[0]) > SETTLED_NS


def local_file(place: Path, path: str) -> File:
    status = place.stat()
    return File(address=str(place.absolute()), path=path, size=status.st_size, stamp=local_stamp(status))


def local_stamp(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}:{status.st_ino}"


def remote_stamp(info: dict[str, Any]) -> str:
    """Return what tells two contents of one address apart; raises UserError where the store has nothing of the kind."""
    for name in STAMPS:
        if value := info.get(name):
            return str(value.timestamp() if isinstance(value, datetime) else value)  # some list the one and tell the other
    raise UserError(f"{info['name']} has neither checksum nor time of change, so it cannot be told from another; copy it here")


def file_system(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL and the path in it; raises UserError when its package is missing."""
    import fsspec

    protocol = address.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(address)  # type: ignore[no-any-return]
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        fix = f"install polyglot-lm[{extra}]" if extra else "install the package it names"
        raise UserError(f"{address} cannot be opened ({first_line(error)}); {fix}") from error
    except ValueError as error:
        raise UserError(f"{address} cannot be opened ({first_line(error)}); give a folder, s3://, gs:// or hf://") from error


@contextmanager
def opened(file: File) -> Iterator[IO[bytes]]:
    """Open the file; raises UserError when it cannot be read, or is not the planned one (before or after)."""
    try:
        if file.is_remote:
            system, path = file_system(file.address)
            check_same(file, *remote_state(system, path))
            with system.open(path, "rb", block_size=REMOTE_BLOCK_BYTES, cache_type="readahead") as stream:
                yield stream
        else:
            with Path(file.address).open("rb", buffering=0) as stream:
                check_same(file, *local_state(stream))
                yield stream
                check_same(file, *local_state(stream))
    except OSError as error:
        raise UserError(f"{file.address} cannot be read ({first_line(error)}); mend it or take it out of the folder") from error


def local_state(stream: IO[bytes]) -> tuple[int, str]:
    status = os.fstat(stream.fileno())
    return status.st_size, local_stamp(status)


def remote_state(system: Any, path: str) -> tuple[int, str]:
    system.invalidate_cache()
    info = system.info(path)
    return info["size"], remote_stamp(info)


def check_same(file: File, size: int, stamp: str) -> None:
    if (size, stamp) != (file.size, file.stamp):
        raise UserError(f"{file.address} changed while it was read; run again")


def raw_blocks(file: File, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a range as they lie there."""
    left = (file.size if stop is None else stop) - start
    size = COMPRESSED_BLOCK_BYTES if compression(file) else BLOCK_BYTES
    with opened(file) as stream:
        stream.seek(start)
        while left > 0 and (block := stream.read(min(size, left))):
            yield block
            left -= len(block)


def blocks(file: File, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a range, decompressed as the ending says; raises DamagedError where they end early or make no sense."""
    raw = raw_blocks(file, start, stop)
    kind = compression(file)
    return decompressed(raw, DECOMPRESSORS[kind], kind.removeprefix(".")) if kind else raw


def compression(file: File) -> str:
    ending = PurePosixPath(file.address).suffix
    return ending if ending in DECOMPRESSORS else ""


class GzipMember:
    """zlib in the shape of the standard library's bz2, lzma and zstd: it keeps the input that it has no room for."""

    def __init__(self) -> None:
        self.engine = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self.engine.decompress(self.engine.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self.engine.eof

    @property
    def unused_data(self) -> bytes:
        return self.engine.unused_data


def zstd_frame() -> Any:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor
    else:
        from backports.zstd import ZstdDecompressor
    return ZstdDecompressor()


DECOMPRESSORS: dict[str, Callable[[], Any]] = {".gz": GzipMember, ".zst": zstd_frame}


def decompressed(raw: Iterable[bytes], begin: Callable[[], Any], kind: str) -> Iterator[bytes]:
    """Yield the content of all members (gzip) or frames (zstd), one after another; zeros between them are padding."""
    member = None
    for data in raw:
        rest: bytes | None = data
        while rest is not None:
            if member is None:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                member = begin()
            try:
                plain = member.decompress(rest, BLOCK_BYTES)
            except Exception as error:  # zlib.error or ZstdError, which share no other ancestor
                raise DamagedError(f"damaged {kind}: {first_line(error)}") from error
            if plain:
                yield plain
            if member.eof:
                rest, member = member.unused_data, None
            else:
                rest = b"" if len(plain) == BLOCK_BYTES else None  # a full block may have more behind it
    if member is not None:
        raise DamagedError(f"truncated {kind}: it ends in the middle")


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
