"""Sources: formats and layouts are found and read alike, and cut into slices that say what the whole file says."""

import gzip
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.sources import RawDocument, Unreadable, files_of
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
    return [record for task in files_of(folder, code).tasks() for record in task.records()]


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


def test_files_are_found_by_language(tmp_path: Path) -> None:
    for name in ("ko/a.jsonl", "ko/deep/b.txt", "ko.jsonl", "ko-news.txt.gz", "ko/.hidden.jsonl", "ko/readme.md", "kok.jsonl"):
        write(tmp_path / name, b"")
    for name in ("en/ko.jsonl", "all/ko/a.jsonl", "en-ko.jsonl", "kor/a.jsonl"):
        write(tmp_path / name, b"")
    paths = [file.path for file in files_of(tmp_path, "ko").files]
    assert paths == ["*/a.jsonl", "*/deep/b.txt", "*-news.txt.gz", "*.jsonl"]
    assert files_of(tmp_path, "ko").name == tmp_path.name
    assert files_of(tmp_path, "ko", name="news").name == "news"


@pytest.mark.parametrize("layout", ["{}/news/a.jsonl", "{}.jsonl", "{}-news.jsonl"])
def test_parallel_layouts_get_the_same_paths_in_every_language(tmp_path: Path, layout: str) -> None:
    for code in ("ko", "th"):
        write(tmp_path / layout.format(code), jsonl(ROWS))
    assert records(tmp_path, "ko") == records(tmp_path, "th")


def test_identity_is_what_the_files_hold_and_not_where_they_lie(tmp_path: Path) -> None:
    def identity(folder: Path) -> str:
        return fingerprint(canonical(files_of(folder, "ko", name="news"), "source"))

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
        files_of(tmp_path, "ko")
    for nowhere in (tmp_path / "nowhere", tmp_path / "en.jsonl"):
        with pytest.raises(UserError, match=f"source '{nowhere}' is no folder"):
            files_of(nowhere, "ko")


SLICES = st.integers(1, 300)
PIECES = st.sampled_from(
    [b'{"text": "a"}', b'{"text": "\xea\xb0\x80\xeb\x82\x98"}', b"", b" ", b"\r", b"\xff", b"x" * 40, b"[", b"\xef\xbb\xbf"]
)
CONTENT = st.one_of(st.lists(PIECES, max_size=40).map(b"\n".join), st.binary(max_size=300))


@pytest.mark.parametrize("ending", [".jsonl", ".txt"])
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENT, slice_bytes=SLICES, bound=st.sampled_from([30, 10**6]))
def test_slices_hold_what_the_whole_file_holds(tmp_path: Path, ending: str, content: bytes, slice_bytes: int, bound: int) -> None:
    write(tmp_path / f"ko{ending}", content)
    whole = files_of(tmp_path, "ko", slice_bytes=10**9, max_document_bytes=bound)
    cut = files_of(tmp_path, "ko", slice_bytes=slice_bytes, max_document_bytes=bound)
    assert len(whole.tasks()) == 1
    assert [record for task in cut.tasks() for record in task.records()] == list(whole.tasks()[0].records())
    sizes = [(task.stop or len(content)) - task.start for task in cut.tasks()]  # type: ignore[attr-defined]
    assert sum(sizes) == len(content)
    assert all(size >= slice_bytes for size in sizes[:-1])


def test_a_file_is_cut_as_often_as_its_size_says(tmp_path: Path) -> None:
    write(tmp_path / "ko.jsonl", jsonl([{"text": "글"}]) * 1000)
    line = len(jsonl([{"text": "글"}]))
    tasks = files_of(tmp_path, "ko", slice_bytes=line * 100).tasks()
    assert [task.position for task in tasks] == list(range(0, 1000, 100))  # type: ignore[attr-defined]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), max_size=60),
    rows=st.integers(1, 9),
    slice_bytes=SLICES,
)
def test_row_groups_hold_what_the_whole_file_holds(tmp_path: Path, texts: list[str], rows: int, slice_bytes: int) -> None:
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), tmp_path / "ko.parquet", row_group_size=rows)
    tasks = files_of(tmp_path, "ko", slice_bytes=slice_bytes).tasks()
    found = [record for task in tasks for record in task.records()]
    assert found == [RawDocument("*.parquet", position, text) for position, text in enumerate(texts)]
    assert len(tasks) <= max(1, -(-len(texts) // rows))


def test_row_groups_are_gathered_to_the_size_of_a_slice(tmp_path: Path) -> None:
    texts = [f"{number:04d}" * 250 for number in range(100)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "ko.parquet", row_group_size=10, use_dictionary=False)
    assert [task.position for task in files_of(tmp_path, "ko", slice_bytes=25_000).tasks()] == [0, 20, 40, 60, 80]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", [".jsonl", ".txt", ".parquet", ".jsonl.gz"])
def test_a_file_that_changed_since_the_plan_stops_the_run(tmp_path: Path, ending: str) -> None:
    place = write(tmp_path / f"ko{ending}", b"{}")
    (task,) = files_of(tmp_path, "ko").tasks()
    place.write_bytes(b"{} ")
    with pytest.raises(UserError, match=rf"{place} changed while it was read; run again"):
        list(task.records())
    (task,) = files_of(tmp_path, "ko").tasks()
    place.unlink()
    with pytest.raises(UserError, match=rf"{place} cannot be read .*; mend it or take it out"):
        list(task.records())


def test_the_bounds_belong_to_the_identity(tmp_path: Path) -> None:
    write(tmp_path / "ko.jsonl", b"{}")
    identities = [files_of(tmp_path, "ko", **bounds).identity() for bounds in ({}, {"slice_bytes": 5}, {"max_document_bytes": 5})]
    assert len({fingerprint(identity) for identity in identities}) == 3
    with pytest.raises(ValueError, match="slice_bytes is 0; it must be at least 1"):
        files_of(tmp_path, "ko", slice_bytes=0)


def test_a_reader_travels_to_another_process(tmp_path: Path) -> None:
    write(tmp_path / "ko.jsonl", jsonl(ROWS))
    (task,) = files_of(tmp_path, "ko").tasks()
    assert list(pickle.loads(pickle.dumps(task)).records()) == list(task.records())
