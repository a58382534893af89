"""The order from any place: the same windows at every cut, for every number of ranks, with changes and skips in between."""

import json
import random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sources import NAMES, sampler_over, shares_of, write_source

from polyglot_lm.mixture import Sampler, Shares
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import TokenDataset

Datasets = dict[str, TokenDataset]
RANKS = 64
HELD = [1 / 3, 2.7182818, 1.1, 0.9, 1.7, 2.3, 0.77, 3.1]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    root = tmp_path_factory.mktemp("sources")
    return {name: write_source(root / name, number) for number, name in enumerate(NAMES)}


def changing(datasets: Datasets) -> Sampler:
    """Return a sampler whose weights change three times and that leaves out two ranges."""
    sampler = sampler_over(datasets, [0.3, 0.01, 0.2, 0.1, 0.05, 0.14, 0.1, 0.1], HELD)
    for at, weights in ((700, [1.0] * 8), (5_000, [8, 7, 6, 5, 4, 3, 2, 1]), (9_001, [1, 1, 1, 1, 1, 1, 1, 30])):
        sampler.change_shares(shares_of(weights), at=at)
    for start, end in ((650, 720), (8_000, 9_100)):
        sampler.skip(start, end)
    return sampler


@pytest.fixture(scope="module")
def whole(datasets: Datasets) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return the indexes and tokens of the first windows, read without a cut."""
    indexes = [index for index in range(15_000) if not (650 <= index < 720 or 8_000 <= index < 9_100)]
    sampler = changing(datasets)
    return indexes, sampler.next_windows(len(indexes))


def test_ten_thousand_cuts_go_on_the_same_with_any_number_of_ranks(
    datasets: Datasets, whole: tuple[list[int], npt.NDArray[np.int64]]
) -> None:
    indexes, tokens = whole
    place = {index: number for number, index in enumerate(indexes)}
    draw = random.Random(0)
    sampler = changing(datasets)
    for cut in range(10_000):
        if cut % 1000 == 0:  # another process
            fresh = changing(datasets)
            fresh.load_state(json.loads(json.dumps(sampler.state())))
            sampler = fresh
        index, ranks, each = draw.choice(indexes[:13_500]), draw.randint(1, RANKS), draw.randint(1, 4)
        rank = draw.randrange(ranks)
        sampler.seek(index)
        found = sampler.next_windows(ranks * each, part=(rank, ranks))
        first = place[index] + rank * each
        np.testing.assert_array_equal(found, tokens[first : first + each])
        assert sampler.num_windows == indexes[place[index] + ranks * each - 1] + 1


@pytest.mark.parametrize("ranks", range(1, RANKS + 1))
def test_the_parts_of_all_ranks_are_the_batch(datasets: Datasets, ranks: int) -> None:
    batch = changing(datasets).next_batch(3 * ranks)
    parts = [changing(datasets).next_batch(3 * ranks, part=(rank, ranks)) for rank in range(ranks)]
    for field in ("tokens", "starts", "sources", "documents"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, field) for part in parts]), getattr(batch, field))


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_the_order_does_not_depend_on_how_many_windows_are_taken_at_once(datasets: Datasets, counts: list[int]) -> None:
    many, single = sampler_over(datasets), sampler_over(datasets)
    taken = np.concatenate([many.next_windows(count) for count in counts])
    np.testing.assert_array_equal(taken, [single.next_window()[1] for _ in range(sum(counts))])


@settings(deadline=None)
@given(st.integers(0, 150), st.integers(1, 100), st.integers(0, 3))
def test_a_state_through_json_goes_on_as_if_uninterrupted(datasets: Datasets, before: int, after: int, seed: int) -> None:
    first, second = (sampler_over(datasets, [0.5, 0.3, 0.2], [1.0, 3.0, 0.5], seed) for _ in range(2))
    first.seek(before // 2)
    first.change_shares(shares_of([0.1, 0.3, 0.6]))
    first.next_windows(before - before // 2) if before else None
    second.load_state(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    np.testing.assert_array_equal(first.next_windows(after), second.next_windows(after))
    assert (second.state(), second.amounts) == (first.state(), first.amounts)


def test_a_state_does_not_move_when_its_sampler_does(datasets: Datasets) -> None:
    sampler = sampler_over(datasets)
    state = sampler.state()
    before = json.dumps(state)
    sampler.next_windows(50)
    sampler.change_shares(shares_of([2.0] + [1.0] * 7))
    assert json.dumps(state) == before


def test_the_state_of_eight_sources_takes_less_than_a_kilobyte_and_a_change_eighty_bytes(datasets: Datasets) -> None:
    sampler = sampler_over(datasets, held=HELD)
    state = sampler.state()
    sources = {
        f"{name}-{'source' * 4}"[:20]: [12, 3_123_456_789, 123_456, -999_999, found[-1]] for name, found in state["sources"].items()
    }
    assert len(json.dumps({**state, "num_windows": 10**9, "sources": sources, "log": []})) < 1024
    sampler.change_shares(shares_of([1 / 7 + number for number in range(8)]), at=10**9)
    assert len(json.dumps(sampler.state()["log"][-1])) <= 80


def test_marks_are_a_few_thousand_windows_apart_and_are_used(datasets: Datasets) -> None:
    sampler = sampler_over(datasets)
    sampler.seek(50_000)
    gaps = np.diff([mark.index for mark in sampler.marks])
    assert len(gaps) == 12 and set(gaps) == {4096}
    fresh = sampler_over(datasets)
    for index in (49_000, 12_345, 20, 30_000):
        sampler.seek(index)
        fresh.seek(index)
        np.testing.assert_array_equal(sampler.next_windows(3), fresh.next_windows(3))


def test_a_change_after_a_rewind_replaces_the_future_that_was(datasets: Datasets) -> None:
    sampler, straight = sampler_over(datasets, [1.0] * 8), sampler_over(datasets, [1.0] * 8)
    sampler.change_shares(shares_of([5.0] + [1.0] * 7), at=6_000)
    sampler.seek(20_000)
    sampler.seek(5_000)
    straight.seek(5_000)
    for one in (sampler, straight):
        one.change_shares(shares_of([1.0] * 7 + [9.0]))
    assert sampler.state() == straight.state()
    for index in (5_000, 12_000, 19_999):
        sampler.seek(index)
        straight.seek(index)
        np.testing.assert_array_equal(sampler.next_windows(2), straight.next_windows(2))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=4), st.lists(st.integers(1, 25), min_size=1, max_size=4)
)
def test_skipped_windows_are_never_given_and_the_others_are_as_they_were(
    datasets: Datasets, skips: list[tuple[int, int]], counts: list[int]
) -> None:
    every = sampler_over(datasets).next_windows(400)
    sampler = sampler_over(datasets)
    for start, length in skips:
        sampler.skip(start, start + length)
    left = [index for index in range(400) if not any(start <= index < start + length for start, length in skips)]
    found = np.concatenate([sampler.next_windows(count) for count in counts])
    np.testing.assert_array_equal(found, every[left[: sum(counts)]])
    again = sampler_over(datasets)
    again.load_state(sampler.state())
    np.testing.assert_array_equal(again.next_windows(5), every[left[sum(counts) : sum(counts) + 5]])


def test_what_lies_outside_is_refused_with_the_value_and_the_fix(datasets: Datasets) -> None:
    sampler = sampler_over(datasets, end=100)
    sampler.next_windows(40)
    with pytest.raises(UserError, match=r"window 101 is outside the plan, which has 100 windows of 8 tokens; plan more"):
        sampler.seek(101)
    with pytest.raises(UserError, match=r"window 104 is outside the plan"):
        sampler.next_windows(64)
    with pytest.raises(UserError, match=r"window -1 is outside"):
        sampler_over(datasets).seek(-1)
    with pytest.raises(UserError, match=r"10 windows cannot be split for rank 0 of 4; give a multiple"):
        sampler.next_windows(10, part=(0, 4))
    with pytest.raises(UserError, match=r"for rank 4 of 4"):
        sampler.next_windows(8, part=(4, 4))
    with pytest.raises(UserError, match=r"cannot change at window 39: the next is 40; seek back"):
        sampler.change_shares(shares_of([1.0] * 8), at=39)
    with pytest.raises(UserError, match=r"windows 39 to 50 cannot be skipped: the next is 40"):
        sampler.skip(39, 50)
    with pytest.raises(UserError, match=r"windows 50 to 50 cannot be skipped"):
        sampler.skip(50, 50)
    with pytest.raises(UserError, match=r"this sampler counts english_bytes over .*convert them"):
        sampler.change_shares(Shares(unit="bytes", values=dict.fromkeys(NAMES, 1 / 8)))
    assert sampler.num_windows == 40


def test_windows_that_are_left_out_are_not_of_the_plan(datasets: Datasets) -> None:
    sampler = sampler_over(datasets, end=100)
    sampler.skip(10, 30)
    assert len(sampler.next_windows(100)) == 100 and sampler.num_windows == 120
    with pytest.raises(UserError, match="window 121 is outside the plan, which has 100 windows"):
        sampler.next_windows(1)


def test_a_state_of_another_order_is_refused(datasets: Datasets) -> None:
    state = sampler_over(datasets).state()
    with pytest.raises(UserError, match=r"saved with seed 0, but this run has 1; resume with the same"):
        sampler_over(datasets, seed=1).load_state(state)
    with pytest.raises(UserError, match=r"saved with sources \['a', .*but this run has \['a', 'b'\]"):
        sampler_over(datasets, [1.0, 1.0]).load_state(state)
    with pytest.raises(UserError, match=r"saved with shards of b "):
        sampler_over({**datasets, "b": datasets["c"]}).load_state(state)
    with pytest.raises(UserError, match=r"saved with shards of a "):
        sampler_over(datasets, occurrences={"a": np.array([1, 2, 1], np.uint8)}).load_state(state)
