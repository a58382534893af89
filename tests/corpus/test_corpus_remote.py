"""Sources at addresses: what lies in an object store is found, cut and read as what lies here."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyglot_lm.corpus import places
from polyglot_lm.corpus.places import file_system
from polyglot_lm.corpus.sources import Files, Record, files_of
from polyglot_lm.pipeline import UserError

ROWS = [{"text": f"문서 {number}", "url": f"https://example.org/{number}"} for number in range(200)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def fill(system: fsspec.AbstractFileSystem, root: str) -> None:
    table = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), table, row_group_size=50, use_dictionary=False)
    content = {
        "ko/a.jsonl": JSONL,
        "ko/b.jsonl.gz": gzip.compress(JSONL),
        "ko/c.parquet": bytes(table.getvalue()),
        "ko/d.txt": "하나\n\n둘".encode(),
        "en/a.jsonl": JSONL,
    }
    for path, data in content.items():
        system.makedirs(f"{root}/{path}".rsplit("/", 1)[0], exist_ok=True)
        with system.open(f"{root}/{path}", "wb") as file:
            file.write(data)


@pytest.fixture
def memory() -> Iterator[str]:
    system = fsspec.filesystem("memory")
    fill(system, "/bucket/texts")
    yield "memory://bucket/texts"
    system.rm("/bucket", recursive=True)


def records(source: Files) -> list[Record]:
    return [record for task in source.tasks() for record in task.records()]


def test_a_remote_folder_holds_what_a_local_one_holds(memory: str, tmp_path: Path) -> None:
    fill(fsspec.filesystem("file"), str(tmp_path / "texts"))
    local = files_of(tmp_path / "texts", "ko", slice_bytes=3000)
    assert files_of(f"file://{tmp_path}/texts", "ko", slice_bytes=3000) == local
    remote = files_of(memory, "ko", slice_bytes=3000)
    assert remote.name == local.name == "texts"
    assert len(remote.tasks()) == len(local.tasks()) > 6
    assert records(remote) == records(local)
    assert len(records(remote)) == 602


def test_the_identity_is_path_size_and_what_the_store_knows(memory: str) -> None:
    first = files_of(memory, "ko").identity()
    assert files_of(memory, "ko").identity() == first
    assert [set(file) for file in first["files"]] == [{"path", "bytes", "version"}] * 4
    with fsspec.filesystem("memory").open("/bucket/texts/ko/a.jsonl", "wb") as file:
        file.write(JSONL.replace(b"9", b"8"))
    assert files_of(memory, "ko").identity() != first


def test_a_remote_file_that_changed_since_the_plan_stops_the_run(memory: str) -> None:
    tasks = files_of(memory, "ko").tasks()
    system = fsspec.filesystem("memory")
    with system.open("/bucket/texts/ko/a.jsonl", "wb") as file:
        file.write(JSONL)
    with pytest.raises(UserError, match=r"memory://.*/ko/a.jsonl changed while it was read; run again"):
        list(tasks[0].records())
    system.rm("/bucket/texts/ko/b.jsonl.gz")
    with pytest.raises(UserError, match=r"memory://.*/ko/b.jsonl.gz cannot be read"):
        list(tasks[1].records())


def test_an_address_that_leads_nowhere_is_said_in_a_sentence(memory: str) -> None:
    with pytest.raises(UserError, match="no file of language 'vi' in memory://bucket/texts"):
        files_of(memory, "vi")
    with pytest.raises(UserError, match=r"nosuch://a/b cannot be opened .*; give a folder, s3://, gs:// or hf://"):
        files_of("nosuch://a/b", "ko")


@pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gs"), ("hf", "hub")])
def test_a_missing_package_is_named_with_its_extra(protocol: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(address: str) -> None:
        raise ImportError("Please install it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UserError, match=rf"{protocol}://a cannot be opened \(Please install it\); install polyglot-lm\[{extra}\]"):
        file_system(f"{protocol}://a")
    assert set(places.EXTRAS.values()) == {"s3", "gs", "hub"}
