"""Documents on disk: Parquet parts of one schema, whatever the source.

    <folder>/part-00000.parquet            documents
    <folder>/removed/part-00000.parquet    the same columns and `reason`
    <folder>/quarantine/part-00000.parquet `origin`, `position`, `reason`: input that could not be read

After the columns of the schema may come scores, `score_*`, which are for those who made them. Readers name the columns they
need. Bytes are equal for equal input (one writer, fixed row groups, zstd).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyglot_lm.pipeline import CorruptFileError, UserError, atomic_path

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # hex of xxh3-128 over source, path and position
        ("text", pa.string()),
        ("lang", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("license", pa.string()),
        ("num_bytes", pa.int64()),  # UTF-8 bytes of `text`
        ("exact_key", pa.string()),  # hex of xxh3-128 over the folded text
        ("cluster_id", pa.string()),  # smallest id among the duplicates
        ("cluster_size", pa.int32()),
        ("quality", pa.float32()),  # rank in [0, 1] within the language, null where no score was asked for
        ("pii_counts", pa.map_(pa.string(), pa.int32())),
        ("split", pa.string()),  # train, control, select or test
    ]
)
SCORE = "score_"
REASON = pa.field("reason", pa.string())
QUARANTINE_SCHEMA = pa.schema([("origin", pa.string()), ("position", pa.int64()), ("reason", pa.string())])
ROWS_PER_GROUP = 4096
SPLITS = ("train", "control", "select", "test")


class DocumentWriter:
    """Writes rows to one part in groups of `ROWS_PER_GROUP`; a column missing from a row is null. No rows, no file."""

    def __init__(self, path: Path, schema: pa.Schema = DOCUMENT_SCHEMA) -> None:
        self.path, self.schema = path, schema
        self.num_rows = 0
        self.pending: list[dict[str, Any]] = []
        self.stack = ExitStack()
        self.parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> "DocumentWriter":
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        self.pending.append({name: row.get(name) for name in self.schema.names})
        self.num_rows += 1
        if len(self.pending) == ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        if self.pending:
            self.write_group(pa.Table.from_pylist(self.pending, schema=self.schema))
            self.pending = []

    def write_table(self, table: pa.Table) -> None:
        """Write a table of the schema as row groups of its own, after the rows so far."""
        self.flush()
        if len(table):
            self.num_rows += len(table)
            self.write_group(table)

    def write_group(self, table: pa.Table) -> None:
        if self.parquet is None:
            temporary = self.stack.enter_context(atomic_path(self.path))
            writer = pq.ParquetWriter(temporary, self.schema, compression="zstd", compression_level=3, write_page_checksum=True)
            self.parquet = self.stack.enter_context(writer)
        self.parquet.write_table(table, row_group_size=ROWS_PER_GROUP)

    def __exit__(self, *failure: Any) -> None:
        if self.pending and failure[0] is None:
            with self.stack:  # which must see it if this last write fails, to leave no file
                self.flush()
        else:
            self.stack.__exit__(*failure)


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def read_documents(folder: Path, columns: Sequence[str], split: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the documents of a folder in order, of one split if given; raises CorruptFileError for a part that cannot be read."""
    needed = list(dict.fromkeys([*columns, *(["split"] if split else [])]))
    for path in sorted(folder.glob("part-*.parquet")):
        for batch in read_columns(path, needed):
            if split is not None:
                batch = batch.filter(pc.equal(batch.column("split"), split))
            yield from batch.select(list(columns)).to_pylist()


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the columns of one part, a row group at a time; raises CorruptFileError when it cannot be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            present = set(file.schema_arrow.names)
            missing = [name for name in columns if name not in present]
            if missing:
                raise CorruptFileError(path, f"no column {missing[0]!r}")
            for group in range(file.num_row_groups):  # over several at once the reader would hold `batch_size` rows, however large
                yield from file.iter_batches(batch_size=ROWS_PER_GROUP, row_groups=[group], columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise CorruptFileError(path, str(error).splitlines()[0]) from error


def require_documents(corpora: Mapping[str, Path], split: str) -> None:
    """Raise UserError for the first corpus, by language, that has no document of a split."""
    for code, folder in corpora.items():
        if next(read_documents(folder, ("split",), split), None) is None:
            raise UserError(
                f"language {code!r} has no documents for {split!r} in {folder}; add text or loosen the thresholds "
                "(refused documents and reasons are in removed/ there)"
            )


def count_documents(path: Path) -> int:
    """Return the rows of one part; raises CorruptFileError when its end cannot be read."""
    return int(read_end(path).num_rows)


def count_text_bytes(path: Path) -> int:
    """Return about how many bytes of text one part holds, by its end alone; raises CorruptFileError when that cannot be read."""
    end = read_end(path)
    columns = [number for number, name in enumerate(end.schema.names) if name == "text"]
    return sum(end.row_group(group).column(n).total_uncompressed_size for group in range(end.num_row_groups) for n in columns)


def read_end(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, str(error).splitlines()[0]) from error


def texts(folder: Path, split: str) -> Iterable[str]:
    return (str(row["text"]) for row in read_documents(folder, ("text",), split))
