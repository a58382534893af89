"""Reading ahead changes nothing: the same batches and states as without, whatever is changed on the way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tiny_sources import NAMES, sampler_over, shares_of, write_source

from polyglot_lm.mixture import Prefetcher, Sampler
from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.shards import TokenDataset

Datasets = dict[str, TokenDataset]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    root = tmp_path_factory.mktemp("sources")
    return {name: write_source(root / name, number) for number, name in enumerate(NAMES)}


@contextmanager
def ahead_of(sampler: Sampler, count: int, part: tuple[int, int] = (0, 1), depth: int = 3) -> Iterator[Prefetcher]:
    prefetcher = Prefetcher(sampler, count, part, depth=depth)
    try:
        yield prefetcher
    finally:
        prefetcher.close()


def settle(prefetcher: Prefetcher) -> None:
    """Wait until everything is read that will be read ahead."""
    for future in prefetcher.ahead:
        future.exception()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_batches_and_states_are_those_of_the_sampler(datasets: Datasets, depth: int) -> None:
    plain = sampler_over(datasets)
    with ahead_of(sampler_over(datasets), 6, (1, 3), depth) as prefetcher:
        assert prefetcher.state() == plain.state()
        for _ in range(20):
            settle(prefetcher)
            np.testing.assert_array_equal(prefetcher.next(), plain.next_windows(6, part=(1, 3)))
            assert prefetcher.state() == plain.state()
        settle(prefetcher)
        assert prefetcher.sampler.num_windows == plain.num_windows + 6 * depth
        assert len(prefetcher.ahead) == depth


def test_a_change_a_skip_and_a_seek_hold_from_the_next_batch_delivered(datasets: Datasets) -> None:
    plain = sampler_over(datasets)
    with ahead_of(sampler_over(datasets), 4) as prefetcher:
        for step in range(24):
            np.testing.assert_array_equal(prefetcher.next(), plain.next_windows(4))
            settle(prefetcher)
            for one in (plain, prefetcher):
                if step == 5:
                    one.change_shares(shares_of([9.0] + [1.0] * 7))
                if step == 10:
                    one.skip(46, 58)
                if step == 15:
                    one.seek(17)
                if step == 17:
                    one.change_shares(shares_of([1.0] * 7 + [9.0]), at=33)
            assert prefetcher.state() == plain.state()


def test_a_refused_change_leaves_the_order_as_it_was(datasets: Datasets) -> None:
    plain = sampler_over(datasets)
    with ahead_of(sampler_over(datasets), 4) as prefetcher:
        for _ in range(3):
            np.testing.assert_array_equal(prefetcher.next(), plain.next_windows(4))
            with pytest.raises(UserError, match="cannot be skipped"):
                prefetcher.skip(0, 2)


def test_an_error_is_raised_where_its_batch_was_due_and_ever_after(tmp_path: Path) -> None:
    sources = {"a": write_source(tmp_path, 2)}
    path = tmp_path / "shard-00000.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    plain, due = sampler_over(sources, [1.0]), 0
    with pytest.raises(CorruptFileError):
        while True:
            plain.next_windows(1)
            due += 1
    with ahead_of(sampler_over(sources, [1.0]), 1) as prefetcher:
        for _ in range(due):
            prefetcher.next()
        for _ in range(3):
            with pytest.raises(CorruptFileError, match=r"shard-00000\.bin"):
                prefetcher.next()


def test_the_last_batch_of_the_plan_is_delivered_and_then_the_end_is_named(datasets: Datasets) -> None:
    with ahead_of(sampler_over(datasets, end=10), 5) as prefetcher:
        assert prefetcher.next().shape == prefetcher.next().shape == (5, 9)
        with pytest.raises(UserError, match="window 15 is outside the plan"):
            prefetcher.next()


def test_tokens_are_written_where_the_caller_wants_them(datasets: Datasets) -> None:
    made: list[npt.NDArray[np.int64]] = []

    def allocate(shape: tuple[int, int]) -> npt.NDArray[np.int64]:
        made.append(np.full(shape, -1, np.int64))
        return made[-1]

    prefetcher = Prefetcher(sampler_over(datasets), 4, depth=2, allocate=allocate)
    found = [prefetcher.next() for _ in range(5)]
    prefetcher.close()
    assert all(one is other for one, other in zip(found, made, strict=False))
    np.testing.assert_array_equal(np.concatenate(found), sampler_over(datasets).next_windows(20))


def test_a_closed_prefetcher_leaves_no_thread(datasets: Datasets) -> None:
    before = threading.active_count()
    with ahead_of(sampler_over(datasets), 4) as prefetcher:
        prefetcher.next()
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_depth_of_none_is_refused(datasets: Datasets) -> None:
    with pytest.raises(UserError, match="depth is 0; it must be at least 1"):
        Prefetcher(sampler_over(datasets), 4, depth=0)
