"""The log of weights and skips, against plain loops over single windows."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.mixture.log import WINDOW, Log, weights_of
from polyglot_lm.mixture.policies import Shares
from polyglot_lm.pipeline import UserError

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=6)
CHANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=6)


def with_skips(ranges: list[tuple[int, int]]) -> Log:
    log = Log([(0, (1,))])
    for start, length in ranges:
        log.skip(start, start + length)
    return log


@given(st.lists(st.tuples(st.floats(1e-9, 1), st.floats(0.01, 100)), min_size=1, max_size=30))
def test_weights_are_the_shares_of_windows_rounded_to_a_million(sources: list[tuple[float, float]]) -> None:
    names = [f"{number:02d}" for number in range(len(sources))]
    total = math.fsum(share for share, _ in sources)
    shares = Shares(unit="bytes", values={name: share / total for name, (share, _) in zip(names, sources, strict=True)})
    weights = weights_of(shares, {name: held for name, (_, held) in zip(names, sources, strict=True)})
    windows = [share / held for share, held in sources]
    exact = [WINDOW * window / math.fsum(windows) for window in windows]
    assert sum(weights) == WINDOW and min(weights) >= 1
    raised = sum(value < 1 for value in exact)  # to one window, which the others give
    assert all(abs(weight - value) <= 1 + raised for weight, value in zip(weights, exact, strict=True))


def test_weights_are_in_the_order_of_the_names_and_equal_for_equal_shares() -> None:
    third = Shares(unit="tokens", values={"c": 0.25, "a": 0.5, "b": 0.25})
    assert weights_of(third, {"a": 1.0, "b": 1.0, "c": 1.0}) == (500_000, 250_000, 250_000)
    assert weights_of(third, {"c": 3.0, "a": 1.0, "b": 1.0}) == (600_000, 300_000, 100_000)


@given(CHANGES)
def test_each_window_has_the_weights_that_were_written_for_it_last(changes: list[tuple[int, int]]) -> None:
    log, plain = Log([(0, (0,))]), [0] * 60
    for index, weight in changes:
        log.change(index, (weight,))
        plain[index:] = [weight] * (60 - index)
    assert [log.weights(index)[0] for index in range(60)] == plain
    stretches = list(log.stretches(3, 55))
    assert [weights[0] for low, high, weights in stretches for _ in range(low, high)] == plain[3:55]
    assert (stretches[0][0], stretches[-1][1]) == (3, 55)


@given(RANGES, st.integers(0, 40), st.integers(1, 30))
def test_windows_that_are_left_out_are_counted_past(ranges: list[tuple[int, int]], start: int, count: int) -> None:
    log = with_skips(ranges)
    out = {index for low, length in ranges for index in range(low, low + length)}
    left = [index for index in range(start, 200) if index not in out]
    assert log.end_of(start, count) == left[count - 1] + 1 or log.end_of(start, count) in out
    inside = [index for low, high in log.skipped(start, log.end_of(start, count)) for index in range(low, high)]
    assert inside == sorted(out & set(range(start, log.end_of(start, count))))
    assert log.end_of(start, count) - start - len(inside) == count


@given(RANGES)
def test_skips_are_apart_and_ascend(ranges: list[tuple[int, int]]) -> None:
    skips = with_skips(ranges).skips
    assert all(before[1] < after[0] for before, after in itertools.pairwise(skips))


@given(RANGES, CHANGES)
def test_a_log_comes_back_from_json(ranges: list[tuple[int, int]], changes: list[tuple[int, int]]) -> None:
    log = with_skips(ranges)
    for index, weight in changes:
        log.change(index, (weight,))
    assert Log.load(json.loads(json.dumps(log.state()))) == log


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (4, 4), (5, 4)])
def test_a_range_that_is_none_is_refused(start: int, end: int) -> None:
    with pytest.raises(UserError, match=f"windows {start} to {end} cannot be skipped; give a start from 0 and an end behind it"):
        Log([(0, (1,))]).skip(start, end)
