"""A data set on the Hugging Face hub as a source, streamed up to a byte budget; nothing is kept on disk.

Written `hub:OWNER/NAME[:CONFIG][@REVISION]`; `{code}`, `{iso639_3}` and `{script}` in it are filled from the table of languages,
as in `hub:wikimedia/wikipedia:20231101.{code}`. Without a configuration, the one that the table names for the language and the data
set is taken (`hub:HuggingFaceFW/fineweb-2`). Without a revision the current commit is looked up once, when the recipe is built,
and becomes part of the identity.

Data sets named in `hub.toml`, and any that is Parquet, are read file by file with the readers of local files: Parquet in slices,
which share the budget by the sizes that the files themselves state, JSON lines as one stream. What is left (CSV, Arrow) is one
stream of the `datasets` library.
"""

import functools
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from polyglot_lm.corpus.places import File, file_system, first_line, local_file, remote_stamp
from polyglot_lm.corpus.readers import RawDocument, Reader, Record, RowGroups, record_from
from polyglot_lm.corpus.sources import MAX_DOCUMENT_BYTES, READERS, SLICE_BYTES, cuts_of, file_format, row_groups
from polyglot_lm.languages import Language
from polyglot_lm.pipeline import UserError

PREFIX = "hub:"
ROOT = "hf://datasets"
ADDRESS = re.compile(r"(?P<dataset>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>\S+))?")
LAYOUTS = Path(__file__).with_name("hub.toml")
FOOTERS_AT_ONCE = 16  # each is two requests of about 0.1 s


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDataset:
    """The first `max_bytes` of text of one configuration of a data set at one revision."""

    dataset: str
    config: str | None
    revision: str
    max_bytes: int

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes is {self.max_bytes}; it must be at least 1")

    @property
    def name(self) -> str:
        return self.dataset.rsplit("/", 1)[-1]

    @property
    def path(self) -> str:
        return f"{self.dataset}@{self.revision}"

    def identity(self) -> Any:
        fields = ("dataset", "config", "revision", "max_bytes")
        return {field: getattr(self, field) for field in fields}

    def tasks(self) -> Sequence[Reader]:
        """List slices that hold the budget; raises UserError without network or data set."""
        layout = layouts().get(self.dataset, {})
        addresses = self.named_files(layout["files"]) if layout else self.parquet_files()
        escaped = bool(layout.get("escaped_newlines"))
        if not addresses:
            return (HubStream(source=self),)
        if all(is_parquet(address) for address in addresses):
            shares = parquet_shares(addresses, self.file, self.max_bytes)
            return [HubSlice(readers=(reader,), max_bytes=share, escaped_newlines=escaped) for reader, share in shares]
        readers = tuple(reader_of(self.file(address)) for address in addresses)
        return (HubSlice(readers=readers, max_bytes=self.max_bytes, escaped_newlines=escaped),)

    def named_files(self, pattern: str) -> list[str]:
        """Find the files of a pattern of `hub.toml`; raises UserError when there is none."""
        if self.config is None:
            raise UserError(f"hub data set {self.path} needs a configuration; write hub:{self.dataset}:CONFIG")
        filled = pattern.format(config=self.config)
        system, place = file_system(f"{ROOT}/{self.path}/{filled}")
        try:
            found = [system.unstrip_protocol(path) for path in sorted(system.glob(place))]
        except Exception as error:  # the hub's client raises its HTTP library's errors
            raise self.unreadable(error) from error
        if not found:
            raise UserError(f"hub data set {self.path} has no files {filled}; check its configuration")
        return found

    def parquet_files(self) -> list[str]:
        """Ask `datasets` for the files of the training split; none unless all are Parquet."""
        try:
            files = builder_of(self.dataset, self.config, self.revision).config.data_files or {}
        except (OSError, ValueError, RuntimeError) as error:
            raise self.unreadable(error) from error
        found = [str(file) for file in files.get("train", ())]
        return found if all(is_parquet(file) for file in found) else []

    def file(self, address: str) -> File:
        """Describe a file, named in ids by its path in the repository."""
        if "://" not in address:
            return local_file(Path(address), f"{self.path}/{Path(address).relative_to(self.dataset)}")
        system, place = file_system(address)
        try:
            info = system.info(place)
        except Exception as error:  # as above
            raise self.unreadable(error) from error
        below = address.partition("@")[2].partition("/")[2]
        return File(address=address, path=f"{self.path}/{below}", size=info["size"], stamp=remote_stamp(info))

    def unreadable(self, error: Exception) -> UserError:
        return UserError(
            f"hub data set {self.path} cannot be read ({first_line(error)}); check its name, your rights and the network"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSlice:
    """Files or row groups of a data set, one after another, until `max_bytes` of text are read."""

    readers: tuple[Reader, ...]
    max_bytes: int
    escaped_newlines: bool = False

    def records(self) -> Iterator[Record]:
        for record in bounded(itertools.chain.from_iterable(reader.records() for reader in self.readers), self.max_bytes):
            if self.escaped_newlines and isinstance(record, RawDocument):
                yield record._replace(text=record.text.replace("\\n", "\n"))
            else:
                yield record


@dataclass(frozen=True, kw_only=True, slots=True)
class HubStream:
    """A data set as the `datasets` library streams it."""

    source: HubDataset

    def records(self) -> Iterator[Record]:
        source = self.source
        try:
            rows = iter(builder_of(source.dataset, source.config, source.revision).as_streaming_dataset(split="train"))
            found = (record_from(row, source.path, position) for position, row in enumerate(rows))
            yield from bounded(found, source.max_bytes)
        except (OSError, ValueError) as error:
            raise source.unreadable(error) from error


def bounded(records: Iterator[Record], max_bytes: int) -> Iterator[Record]:
    """Yield records up to the one that fills the budget."""
    read = 0
    for record in records:
        yield record
        read += len(record.text.encode()) if isinstance(record, RawDocument) else 0
        if read >= max_bytes:
            return


def is_parquet(address: str) -> bool:
    return file_format(PurePosixPath(address)) == ".parquet"


def reader_of(file: File) -> Reader:
    return READERS[file_format(PurePosixPath(file.path))](file=file, max_document_bytes=MAX_DOCUMENT_BYTES)


def parquet_shares(addresses: Sequence[str], describe: Callable[[str], File], max_bytes: int) -> Iterator[tuple[Reader, int]]:
    """Yield slices of Parquet files and each one's share, until the text that their row groups state fills the budget."""
    left = max_bytes
    for file, groups in with_footers(addresses, describe):
        cuts = cuts_of(groups, SLICE_BYTES)
        for (start, position), following in zip(cuts, [*cuts[1:], None], strict=True):
            stop = following[0] if following else None
            yield RowGroups(file=file, max_document_bytes=MAX_DOCUMENT_BYTES, start=start, stop=stop, position=position), left
            left -= sum(size for _, size in groups[start:stop])
            if left <= 0:
                return


def with_footers(addresses: Sequence[str], describe: Callable[[str], File]) -> Iterator[tuple[File, list[tuple[int, int]]]]:
    """Yield each file with its row groups; footers are read a few ahead, and no more than a budget needs."""

    def read(address: str) -> tuple[File, list[tuple[int, int]]]:
        file = describe(address)
        return file, row_groups(file)

    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        ahead = 1  # a small budget ends in the first file
        while addresses:
            yield from pool.map(read, addresses[:ahead])
            addresses, ahead = addresses[ahead:], FOOTERS_AT_ONCE


@functools.cache
def layouts() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(LAYOUTS.read_text(encoding="utf-8"))


def hub_dataset(source: str, language: Language, max_bytes: int) -> HubDataset:
    """Read an address for one language; raises UserError when it is no address or its revision cannot be looked up."""
    filled = source.removeprefix(PREFIX)
    for field in ("code", "iso639_3", "script"):
        filled = filled.replace(f"{{{field}}}", getattr(language, field))
    found = ADDRESS.fullmatch(filled)
    if found is None:
        raise UserError(f"source {source!r} is no hub address; write hub:OWNER/NAME:CONFIG@REVISION")
    revision = found["revision"] or current_revision(found["dataset"])
    config = found["config"] or named_config(found["dataset"], language)
    return HubDataset(dataset=found["dataset"], config=config, revision=revision, max_bytes=max_bytes)


def named_config(dataset: str, language: Language) -> str | None:
    """Return the configuration that the table of languages names for a data set, None where it names none."""
    named = dict(source.split(":", 1) for source in language.sources)
    return named.get(dataset)


def current_revision(dataset: str) -> str:
    try:
        from huggingface_hub import HfApi

        revision = HfApi().dataset_info(dataset).sha
    except Exception as error:  # the hub's client raises its HTTP library's errors (httpx2's are no OSError)
        raise UserError(
            f"the revision of {dataset} cannot be looked up ({first_line(error)}); connect, or pin it with @REVISION"
        ) from error
    return str(revision)


def builder_of(dataset: str, config: str | None, revision: str) -> Any:
    try:
        from datasets import load_dataset_builder
    except ImportError as error:
        raise UserError("hub sources need the 'datasets' package; install polyglot-lm[hub]") from error
    return load_dataset_builder(dataset, config, revision=revision)
