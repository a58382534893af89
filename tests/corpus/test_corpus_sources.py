"""Sources: formats and layouts are read alike, bad records are counted, bad files are named."""

import gzip
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyglot_lm.corpus.clean import normalize
from polyglot_lm.corpus.sources import RawDocument, Unreadable, local_files
from polyglot_lm.pipeline import UserError
from polyglot_lm.pipeline.identity import canonical, fingerprint

TEXTS = ("첫째 문서", "둘째 문서\n두 줄", "셋째")
ROWS = [{"text": text, "url": f"https://example.org/{k}", "license": "CC0"} for k, text in enumerate(TEXTS)]


def jsonl(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def records(folder: Path, code: str = "ko") -> list[RawDocument | Unreadable]:
    return [record for task in local_files(folder, code).tasks() for record in task.records()]


def test_json_lines_plain_or_compressed_and_parquet_are_read_alike(tmp_path: Path) -> None:
    write(tmp_path / "a/ko.jsonl", jsonl(ROWS))
    write(tmp_path / "b/ko.jsonl.gz", gzip.compress(jsonl(ROWS)))
    (tmp_path / "c").mkdir()
    with pa.output_stream(str(tmp_path / "c/ko.jsonl.zst"), compression="zstd") as file:
        file.write(jsonl(ROWS))
    (tmp_path / "d").mkdir()
    pq.write_table(pa.Table.from_pylist([{**row, "extra": 1} for row in ROWS]), tmp_path / "d/ko.parquet")
    for folder, ending in zip("abcd", ("jsonl", "jsonl.gz", "jsonl.zst", "parquet"), strict=True):
        assert records(tmp_path / folder) == [RawDocument(path=f"*.{ending}", position=k, **row) for k, row in enumerate(ROWS)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_text_file_is_cut_at_blank_lines(tmp_path: Path, end: bytes) -> None:
    paragraphs = ["한 줄", "두 줄\n이어서", "셋"]
    content = "\n\n" + "\n \n\n".join(paragraphs)
    write(tmp_path / "ko.txt", content.encode().replace(b"\n", end))
    found = [record for record in records(tmp_path) if isinstance(record, RawDocument)]
    assert [normalize(record.text)[0] for record in found] == paragraphs
    assert [record.position for record in found] == [0, 1, 2]


def test_a_line_longer_than_a_read_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "ko.jsonl", jsonl([{"text": "가" * 800_000}, {"text": "끝"}])[:-1])
    assert [len(record.text) for record in records(tmp_path) if isinstance(record, RawDocument)] == [800_000, 1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "half', "no JSON"),
        (b"\xff\xfe\xff", "no JSON"),
        (b'{"text": ' + b"[" * 100_000, "no JSON"),
        (b'{"body": "a"}', "no field 'text'"),
        (b'{"text": 5}', "no field 'text'"),
        (b'{"text": null}', "no field 'text'"),
        (b'["a"]', "no field 'text'"),
    ],
    ids=lambda value: value[:20],
)
def test_a_record_that_holds_no_document_stops_nothing(tmp_path: Path, line: bytes, reason: str) -> None:
    write(tmp_path / "ko.jsonl", b"\n".join([jsonl([{"text": "앞"}]), line, b"", jsonl([{"text": "뒤"}])]))
    before, bad, after = records(tmp_path)
    assert isinstance(bad, Unreadable)
    assert bad.reason.startswith(reason)
    assert (before.position, bad.position, after.position) == (0, 2, 4)


def test_parquet_without_texts_and_text_that_is_no_utf_8_stop_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["a", "b"]}), tmp_path / "ko-1.parquet")
    write(tmp_path / "ko-2.txt", b"good\n\n\xff\xfe\n\nafter")
    found = records(tmp_path)
    assert [isinstance(record, Unreadable) for record in found] == [True, True, False, True, False]
    assert isinstance(found[3], Unreadable)
    assert found[3].reason.startswith("no UTF-8")


def test_files_are_found_by_language(tmp_path: Path) -> None:
    for name in ("ko/a.jsonl", "ko/deep/b.txt", "ko.jsonl", "ko-news.txt.gz", "ko/.hidden.jsonl", "ko/readme.md", "kok.jsonl"):
        write(tmp_path / name, b"")
    for name in ("en/ko.jsonl", "all/ko/a.jsonl", "en-ko.jsonl", "kor/a.jsonl"):
        write(tmp_path / name, b"")
    paths = [file.path for file in local_files(tmp_path, "ko").files]
    assert paths == ["*/a.jsonl", "*/deep/b.txt", "*-news.txt.gz", "*.jsonl"]
    assert local_files(tmp_path, "ko").name == tmp_path.name
    assert local_files(tmp_path, "ko", name="news").name == "news"


@pytest.mark.parametrize("layout", ["{}/news/a.jsonl", "{}.jsonl", "{}-news.jsonl"])
def test_parallel_layouts_get_the_same_paths_in_every_language(tmp_path: Path, layout: str) -> None:
    for code in ("ko", "th"):
        write(tmp_path / layout.format(code), jsonl(ROWS))
    assert records(tmp_path, "ko") == records(tmp_path, "th")


def test_identity_is_what_the_files_hold_and_not_where_they_lie(tmp_path: Path) -> None:
    def identity(folder: Path) -> str:
        return fingerprint(canonical(local_files(folder, "ko", name="news"), "source"))

    write(tmp_path / "here/ko/a.jsonl", b"abc\n")
    first = identity(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert identity(tmp_path / "there") == first
    write(tmp_path / "there/ko/a.jsonl", b"abd\n")
    assert identity(tmp_path / "there") != first
    write(tmp_path / "there/ko/a.jsonl", b"abc\n")
    (tmp_path / "there/ko/a.jsonl").rename(tmp_path / "there/ko/b.jsonl")
    assert identity(tmp_path / "there") != first


def test_a_folder_without_the_language_is_said_in_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "en.jsonl", b"")
    with pytest.raises(UserError, match=r"no file of language 'ko' in .*; expected ko/\*\.jsonl or ko\.jsonl"):
        local_files(tmp_path, "ko")
    for nowhere in (tmp_path / "nowhere", tmp_path / "en.jsonl"):
        with pytest.raises(UserError, match=f"source '{nowhere}' is no folder"):
            local_files(nowhere, "ko")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ko.jsonl.gz", gzip.compress(jsonl(ROWS))[:-9]),
        ("ko.jsonl.gz", jsonl(ROWS)),
        ("ko.txt.zst", b"no zstd at all"),
        ("ko.parquet", b"no parquet at all"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    write(tmp_path / name, content)
    with pytest.raises(UserError, match=rf"{tmp_path / name} cannot be read .* mend it or take it out") as caught:
        records(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_reader_travels_to_another_process(tmp_path: Path) -> None:
    write(tmp_path / "ko.jsonl", jsonl(ROWS))
    (task,) = local_files(tmp_path, "ko").tasks()
    assert list(pickle.loads(pickle.dumps(task)).records()) == list(task.records())
