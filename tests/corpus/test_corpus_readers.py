"""Readers: what a slow twin reads is what they read, bad records are counted, and damage costs no document before it."""

import gzip
import json
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports.zstd import compress
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.clean import normalize
from polyglot_lm.corpus.sources import RawDocument, Unreadable, files_of

BOM = b"\xef\xbb\xbf"
GOOD = b'{"text": "\xea\xb8\x80"}\n'


def read(folder: Path, name: str, content: bytes, max_document_bytes: int = 10**6) -> list[RawDocument | Unreadable]:
    (folder / name).write_bytes(content)
    source = files_of(folder, "ko", max_document_bytes=max_document_bytes)
    return [record for task in source.tasks() for record in task.records()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_text_file_is_cut_at_blank_lines(tmp_path: Path, end: bytes) -> None:
    paragraphs = ["한 줄", "두 줄\n이어서", "셋"]
    content = "\n\n" + "\n \n\n".join(paragraphs)
    found = read(tmp_path, "ko.txt", content.encode().replace(b"\n", end))
    assert [normalize(record.text)[0] for record in found if isinstance(record, RawDocument)] == paragraphs
    assert [record.position for record in found] == [0, 1, 2]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.sampled_from(["a", "가", "\n", " ", "\n\n", "\r\n", "\t"]), max_size=40).map("".join))
def test_paragraphs_are_those_of_a_regular_expression(tmp_path: Path, content: str) -> None:
    found = [record.text for record in read(tmp_path, "ko.txt", content.encode()) if isinstance(record, RawDocument)]
    twin = re.split(r"(?:^|\n)(?:[ \t\r]*\n)+", content)
    assert [text.split() for text in found] == [text.split() for text in twin if text.strip()]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.sampled_from(["text", "url"]), inner))
    )
)
def test_json_lines_are_those_of_the_standard_library(tmp_path: Path, values: list[object]) -> None:
    content = "".join(json.dumps(value) + "\n" for value in values).encode()
    found = read(tmp_path, "ko.jsonl", content)
    texts = [value.get("text") if isinstance(value, dict) else None for value in values]
    assert [record.text if isinstance(record, RawDocument) else None for record in found] == [
        text if isinstance(text, str) else None for text in texts
    ]


@pytest.mark.parametrize("name", ["ko.jsonl", "ko.jsonl.gz", "ko.jsonl.zst"])
def test_a_line_longer_than_a_read_is_whole(tmp_path: Path, name: str) -> None:
    content = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in ("가" * 1_500_000, "끝")).encode()[:-1]
    found = read(tmp_path, name, packed(name, content), max_document_bytes=10**7)
    assert [len(record.text) for record in found if isinstance(record, RawDocument)] == [1_500_000, 1]


def packed(name: str, content: bytes) -> bytes:
    return gzip.compress(content) if name.endswith(".gz") else compress(content) if name.endswith(".zst") else content


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "half', "no JSON"),
        (b"\xff\xfe\xff", "no JSON"),
        (b'{"text": "\xff"}', "no JSON"),
        (b'{"text": "a\x00"}', "no JSON"),
        (b'{"text": ' + b"[" * 100_000, "no JSON"),
        (b'{"text": "\\ud800"}', "half a surrogate pair"),
        (b'{"text": "a", "url": "\\udc00"}', "half a surrogate pair"),
        (b'{"text": "' + b"a" * 200_000 + b'"}', "longer than 150,000 bytes"),
        (b'{"body": "a"}', "no field 'text'"),
        (b'{"text": 5}', "no field 'text'"),
        (b'{"text": null}', "no field 'text'"),
        (b'["a"]', "no field 'text'"),
        (b"5", "no field 'text'"),
    ],
    ids=lambda value: value[:20],
)
def test_a_record_that_holds_no_document_stops_nothing(tmp_path: Path, line: bytes, reason: str) -> None:
    before, bad, after = read(tmp_path, "ko.jsonl", GOOD + line + b"\n\n" + GOOD, max_document_bytes=150_000)
    assert isinstance(bad, Unreadable)
    assert bad.reason.startswith(reason)
    assert (before.position, bad.position, after.position) == (0, 1, 3)


def test_what_python_writes_and_json_forbids_is_read(tmp_path: Path) -> None:
    content = json.dumps({"text": "글", "score": float("nan")}).encode()
    assert read(tmp_path, "ko.jsonl", content) == [RawDocument("*.jsonl", 0, "글")]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", BOM, BOM + b"\r\n", b" \n\n\t\n"])
@pytest.mark.parametrize("name", ["ko.jsonl", "ko.txt", "ko.jsonl.gz", "ko.txt.zst"])
def test_a_file_of_nothing_holds_no_record(tmp_path: Path, name: str, content: bytes) -> None:
    assert read(tmp_path, name, packed(name, content)) == []


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read(tmp_path, "ko.jsonl", BOM + GOOD) == [RawDocument("*.jsonl", 0, "글")]
    (tmp_path / "ko.jsonl").unlink()
    assert read(tmp_path, "ko.txt", BOM + "글\n\n둘".encode()) == [RawDocument("*.txt", 0, "글"), RawDocument("*.txt", 1, "둘")]


@pytest.mark.parametrize(
    ("paragraph", "reason"),
    [(b"\xff\xfe", "no UTF-8"), (b"a\0b", "NUL byte"), (b"a\n" * 40, "longer than 50 bytes"), (b"a" * 51, "longer")],
)
def test_a_paragraph_that_holds_no_text_stops_nothing(tmp_path: Path, paragraph: bytes, reason: str) -> None:
    before, bad, after = read(tmp_path, "ko.txt", b"good\n\n" + paragraph + b"\n\nafter", max_document_bytes=50)
    assert isinstance(bad, Unreadable)
    assert bad.reason.startswith(reason)
    assert (before.position, bad.position, after.position) == (0, 1, 2)


@pytest.mark.parametrize("name", ["ko.jsonl.gz", "ko.jsonl.zst"])
@pytest.mark.parametrize("members", [1, 5])
def test_compressed_files_of_many_members_are_read_whole_and_cut_ones_to_the_cut(tmp_path: Path, name: str, members: int) -> None:
    rows = [GOOD * 400 for _ in range(members)]
    whole = b"".join(packed(name, content) for content in rows)
    assert len(read(tmp_path, name, whole + b"\0" * 512)) == 400 * members
    for cut in (1, len(whole) // 2, len(whole) - 1):
        *before, last = read(tmp_path, name, whole[:cut])
        assert isinstance(last, Unreadable)
        assert last.reason.startswith("truncated")
        assert all(isinstance(record, RawDocument) for record in before)
        assert last.position == len(before)
        assert len(before) >= 400 * (members * cut // len(whole))


@pytest.mark.parametrize("name", ["ko.jsonl.gz", "ko.txt.zst", "ko.parquet"])
@pytest.mark.parametrize("content", [b"nothing of the kind", b"", BOM])
def test_a_foreign_file_is_one_record(tmp_path: Path, name: str, content: bytes) -> None:
    found = read(tmp_path, name, content)
    empty = not content and name != "ko.parquet"  # an empty stream is a stream of no members
    assert [type(record) for record in found] == ([] if empty else [Unreadable])
    assert all(isinstance(record, Unreadable) and record.reason.startswith("damaged") for record in found)


def test_damage_in_the_middle_keeps_what_is_before(tmp_path: Path) -> None:
    content = gzip.compress(GOOD * 400) + b"no gzip" + gzip.compress(GOOD)
    *before, last = read(tmp_path, "ko.jsonl.gz", content)
    assert (len(before), last.position) == (400, 400)
    assert isinstance(last, Unreadable)
    assert last.reason.startswith("damaged gz")


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def test_parquet_without_text_is_one_record(tmp_path: Path) -> None:
    assert read(tmp_path, "ko.parquet", parquet(pa.table({"body": ["a", "b"]}))) == [Unreadable("*.parquet", 0, "no column 'text'")]


def test_parquet_values_that_hold_no_text_stop_nothing(tmp_path: Path) -> None:
    binary = pa.array([b"good", b"\xff", None, "글".encode(), b"a" * 99])
    for kind in (pa.binary(), pa.string(), pa.large_string()):
        column = pa.Array.from_buffers(pa.binary(), 5, binary.buffers()).cast(
            pa.large_binary() if kind == pa.large_string() else pa.binary()
        )
        text = pa.Array.from_buffers(kind, 5, column.buffers())
        found = read(
            tmp_path, "ko.parquet", parquet(pa.table({"text": text, "url": ["u", None, None, "", "v"]})), max_document_bytes=50
        )
        assert found[0] == RawDocument("*.parquet", 0, "good", url="u")
        assert found[3] == RawDocument("*.parquet", 3, "글")
        reasons = [record.reason[:9] for record in found if isinstance(record, Unreadable)]
        assert reasons == ["no UTF-8:", "no field ", "longer th"]
    numbers = read(tmp_path, "ko.parquet", parquet(pa.table({"text": [1, 2]})))
    assert [type(record) for record in numbers] == [Unreadable, Unreadable]


def test_a_damaged_page_costs_its_row_group_alone(tmp_path: Path) -> None:
    texts = [f"{number:05d}" * 300 for number in range(300)]
    options = {"row_group_size": 100, "use_dictionary": False, "compression": "none", "write_page_checksum": True}
    content = bytearray(parquet(pa.table({"text": texts}), **options))
    at = content.index(b"00150" * 300)
    content[at] ^= 1
    found = read(tmp_path, "ko.parquet", bytes(content))
    (bad,) = [record for record in found if isinstance(record, Unreadable)]
    assert bad.reason.startswith("damaged parquet")
    assert bad.position == 100
    assert [record.position for record in found if isinstance(record, RawDocument)] == [*range(100), *range(200, 300)]


@pytest.mark.parametrize("name", ["ko.jsonl", "ko.txt", "ko.jsonl.gz", "ko.jsonl.zst"])
def test_a_document_too_long_is_never_held(tmp_path: Path, name: str) -> None:
    long = b"a" * 60_000_000 + (b"\n" + b"b" * 1000) * (20_000 if ".txt" in name else 0)
    content = packed(name, GOOD + b"\n" + long + b"\n\n" + GOOD)
    (tmp_path / name).write_bytes(content)
    del long, content
    (task,) = files_of(tmp_path, "ko", max_document_bytes=1_000_000).tasks()
    tracemalloc.start()
    before, bad, after = task.records()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(bad, Unreadable)
    assert bad.reason == "longer than 1,000,000 bytes"
    assert (before.position, after.position) == ((0, 2) if ".txt" in name else (0, 4))
    assert peak < 12_000_000


def test_a_million_empty_documents_are_a_million_records(tmp_path: Path) -> None:
    (tmp_path / "ko.jsonl").write_bytes(b'{"text":""}\n' * 1_000_000)
    (task,) = files_of(tmp_path, "ko").tasks()
    last, count = None, 0
    for record in task.records():
        last, count = record, count + 1
    assert (last, count) == (RawDocument("*.jsonl", 999_999, ""), 1_000_000)
