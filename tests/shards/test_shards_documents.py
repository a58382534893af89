"""Documents on disk: what was written is read, and damage is named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import tiny_texts, write_corpus

from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.shards import (
    DOCUMENT_SCHEMA,
    REASON,
    DocumentWriter,
    documents,
    part_path,
    read_documents,
    require_documents,
    texts,
)


def write(path: Path, count: int) -> None:
    with DocumentWriter(path) as writer:
        for number in range(count):
            writer.write({"id": f"{number:032x}", "text": f"문서 {number}", "split": ["train", "test", None][number % 3]})


def test_what_was_written_is_read_over_parts_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROWS_PER_GROUP", 4)
    write(part_path(tmp_path, 1), 3)
    write(part_path(tmp_path, 0), 10)
    assert pq.ParquetFile(part_path(tmp_path, 0)).num_row_groups == 3
    found = list(read_documents(tmp_path, ("text", "id")))
    assert [row["text"] for row in found] == [f"문서 {number}" for number in [*range(10), *range(3)]]
    assert list(found[0]) == ["text", "id"]
    assert list(texts(tmp_path, "test")) == [f"문서 {number}" for number in (1, 4, 7, 1)]
    assert list(read_documents(tmp_path, ("split",), "train")) == [{"split": "train"}] * 5


def test_every_column_comes_back_and_missing_ones_are_null(tmp_path: Path) -> None:
    row = {
        "id": "a",
        "text": "글",
        "cluster_size": 2,
        "pii_counts": [("acc", 1), ("tell", 2)],
        "quality": 0.5,
        "reason": "too_short",
    }
    schema = DOCUMENT_SCHEMA.append(REASON)
    with DocumentWriter(part_path(tmp_path, 0), schema) as writer:
        writer.write(row)
    (found,) = read_documents(tmp_path, schema.names)
    assert found == {**dict.fromkeys(schema.names), **row}


def test_rows_and_tables_come_back_in_the_order_written(tmp_path: Path) -> None:
    table = pa.table({"id": ["b", "c"]}, schema=pa.schema([DOCUMENT_SCHEMA.field("id")]))
    with DocumentWriter(part_path(tmp_path, 0), table.schema) as writer:
        for rows in (table.slice(0, 0), table):
            writer.write({"id": "a"})
            writer.write_table(rows)
        assert writer.num_rows == 4
    assert [row["id"] for row in read_documents(tmp_path, ("id",))] == ["a", "a", "b", "c"]


def test_a_corpus_without_documents_of_a_split_is_named(tmp_path: Path) -> None:
    write(part_path(tmp_path / "ko", 0), 3)
    require_documents({"ko": tmp_path / "ko"}, "test")
    with pytest.raises(UserError, match="language 'th' has no documents for 'test'"):
        require_documents({"ko": tmp_path / "ko", "th": tmp_path / "th"}, "test")


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    with DocumentWriter(part_path(tmp_path, 0)):
        pass
    assert list(tmp_path.iterdir()) == []
    assert list(read_documents(tmp_path, ("id",))) == []


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    first, second = (part_path(write_corpus(tmp_path / name, "th"), 0) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROWS_PER_GROUP", 2)
    with pytest.raises(ValueError, match="cut"), DocumentWriter(part_path(tmp_path, 0)) as writer:
        for _ in range(3):
            writer.write({"id": "a"})
        raise ValueError("cut")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_the_last_rows_are_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), DocumentWriter(part_path(tmp_path, 0)) as writer:
        writer.write({"id": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", ["id", "text", "num_bytes", "split"])
def test_a_flipped_byte_in_a_page_is_named(tmp_path: Path, column: str) -> None:
    path = part_path(write_corpus(tmp_path, "ko"), 0)
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = next(group.column(k) for k in range(group.num_columns) if group.column(k).path_in_schema == column)
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=f"{path} is damaged .* delete the folder {tmp_path}"):
        list(read_documents(tmp_path, (column,)))


@pytest.mark.parametrize("kept", [0, 3, 500, -1])
def test_a_cut_part_is_named(tmp_path: Path, kept: int) -> None:
    path = part_path(write_corpus(tmp_path, "ko"), 0)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptFileError, match=f"{path} is damaged"):
        list(read_documents(tmp_path, ("text",)))


def test_a_part_without_a_needed_column_is_named(tmp_path: Path) -> None:
    path = part_path(write_corpus(tmp_path, "ko"), 0)
    path.write_bytes(path.read_bytes().replace(b"\x04text", b"\x04tent"))  # the footer has no checksum of its own
    with pytest.raises(CorruptFileError, match=f"{path} is damaged"):
        list(read_documents(tmp_path, ("text",)))


def test_the_tiny_corpus_of_the_tests_is_a_corpus(tiny_corpora: dict[str, Path]) -> None:
    assert [row["text"] for row in read_documents(tiny_corpora["ja"], ("text",))] == tiny_texts("ja", 60)
