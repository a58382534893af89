"""Facts of large files: computed once, computed again for another key, and never a reason to fail."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyglot_lm.corpus import sources
from polyglot_lm.corpus.remembered import remembered
from polyglot_lm.corpus.sources import files_of


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    monkeypatch.setenv("POLYGLOT_CACHE", str(folder))
    yield folder
    if folder.exists():
        folder.chmod(0o755)


class Counted:
    """A computation that says how often it was carried out."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        return f"fact {self.times}"


def test_a_fact_is_computed_once_for_each_key(cache: Path) -> None:
    compute = Counted()
    assert [remembered(key, compute) for key in ("a", "a", "b", "a", "\udcff")] == [
        "fact 1",
        "fact 1",
        "fact 2",
        "fact 1",
        "fact 3",
    ]
    assert [path.name for path in cache.iterdir()] == ["files.sqlite"]


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_memory_is_replaced(cache: Path, damage: bytes) -> None:
    remembered("a", Counted())
    (cache / "files.sqlite").write_bytes(damage)
    compute = Counted()
    assert [remembered("a", compute) for _ in range(4)][-1] in {"fact 1", "fact 2"}
    assert compute.times <= 2


def test_a_fact_that_was_altered_is_computed_again(cache: Path) -> None:
    compute = Counted()
    remembered("a", compute)
    with sqlite3.connect(cache / "files.sqlite") as table:
        table.execute("UPDATE facts SET fact = 'other'")
    table.close()
    assert remembered("a", compute) == "fact 2"


@pytest.mark.parametrize("place", ["/proc/nowhere", "a-file"])
def test_without_a_place_to_remember_facts_are_computed(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-file").write_bytes(b"")
    monkeypatch.setenv("POLYGLOT_CACHE", str(tmp_path / place))
    compute = Counted()
    assert [remembered("a", compute), remembered("a", compute)] == ["fact 1", "fact 2"]


def test_a_large_file_is_read_once_for_its_identity_and_again_when_it_changed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "REMEMBERED_BYTES", 10)
    read: list[str] = []
    digest = sources.digest
    monkeypatch.setattr(sources, "digest", lambda file: read.append(file.path) or digest(file))
    place = tmp_path / "in/ko.jsonl"
    place.parent.mkdir()
    place.write_bytes(b'{"text": "a"}\n' * 10)
    long_ago = place.stat().st_mtime_ns - 10**10
    os.utime(place, ns=(long_ago, long_ago))
    first, second = (files_of(tmp_path / "in", "ko").identity() for _ in range(2))
    assert first == second
    assert len(read) == 1
    assert [files_of(tmp_path / "in", "ko", slice_bytes=50).tasks() for _ in range(2)] == [
        files_of(tmp_path / "in", "ko", slice_bytes=50).tasks()
    ] * 2
    place.write_bytes(b'{"text": "b"}\n' * 10)
    assert files_of(tmp_path / "in", "ko").identity() != first
    assert len(read) == 2
    files_of(tmp_path / "in", "ko").identity()
    assert len(read) == 3  # changed within the clock's tick: not remembered yet
