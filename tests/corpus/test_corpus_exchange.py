"""Rows meet in their partition whatever the files, and records are found by number."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus import exchange
from polyglot_lm.corpus.exchange import Flat, partition_of, partitions_for, read_rows, runs, write_flat, write_rows
from polyglot_lm.pipeline import CorruptFileError

ROW = np.dtype([("key", "<u8"), ("document", "<u4")])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=20), min_size=1, max_size=4), st.integers(1, 9))
def test_every_row_comes_back_once_with_its_equals(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[int]], count: int
) -> None:
    folder, paths, number = tmp_path_factory.mktemp("rows"), list[Path](), 0
    for keys in files:
        rows = np.empty(len(keys), ROW)
        rows["key"] = np.array(keys, np.uint64)
        rows["document"] = np.arange(number, number + len(keys))
        number += len(keys)
        paths.append(folder / f"{len(paths)}.bin")
        write_rows(paths[-1], rows, partition_of(rows["key"], count), count)
    partitions = [read_rows(paths, partition, count, ROW) for partition in range(count)]
    found = np.concatenate(partitions)
    assert sorted(found["document"].tolist()) == list(range(number))
    assert dict(zip(found["document"].tolist(), found["key"].tolist(), strict=True)) == dict(enumerate(itertools.chain(*files)))
    assert all(set(partition_of(rows["key"], count)) <= {number} for number, rows in enumerate(partitions))
    assert all((np.diff(rows["document"].astype(int)) > 0).all() for rows in partitions), "the order of files is kept"


def test_keys_spread_evenly() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 100_000, dtype=np.uint64)
    counts = np.bincount(partition_of(keys, 7), minlength=7)
    assert len(counts) == 7
    assert counts.min() > 13_500


def test_partitions_are_a_fact_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ROWS_PER_PARTITION", 10)
    assert [partitions_for(rows) for rows in (0, 1, 10, 11, 100)] == [1, 1, 1, 2, 10]


@pytest.mark.parametrize("kept", [0, 10, -1])
def test_a_cut_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "rows.bin"
    write_rows(path, np.zeros(5, ROW), np.zeros(5, np.int64), 1)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptFileError, match=r"rows\.bin is damaged"):
        read_rows([path], 0, 1, ROW)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.data())
def test_records_are_found_by_number(tmp_path_factory: pytest.TempPathFactory, rows: list[int], data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flat")
    records = np.arange(3 * sum(rows), dtype=np.uint16).reshape(-1, 3)
    paths, first = [folder / f"{number}.bin" for number in range(len(rows))], 0
    for path, count in zip(paths, rows, strict=True):
        write_flat(path, [records[first : first + count]])
        first += count
    asked = data.draw(st.lists(st.integers(0, sum(rows) - 1), max_size=12)) if sum(rows) else []
    np.testing.assert_array_equal(Flat(paths, rows, "<u2", 3).gather(np.array(asked, np.uint32)), records[np.array(asked, int)])


def test_a_flat_file_of_another_size_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(7))
    with pytest.raises(CorruptFileError, match="does not hold 2 records"):
        Flat([tmp_path / "a.bin"], [2], "<u2", 2).part(0)


@given(st.lists(st.integers(0, 2)))
def test_runs_are_the_stretches_of_equal_neighbours(values: list[int]) -> None:
    found = list(runs(np.array(values)))
    assert [value for start, stop in found for value in values[start:stop]] == values
    assert all(len(set(values[start:stop])) == 1 for start, stop in found)
    assert all(values[first[1] - 1] != values[second[0]] for first, second in itertools.pairwise(found))
