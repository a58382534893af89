"""The keyed permutation: a bijection of any size, the same for the same key and another for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.mixture.permutation import Permutation

KEYS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 1024, 1025])
@pytest.mark.parametrize("key", [0, 1, 2**63, 2**64 - 1])
def test_every_number_comes_out_once(size: int, key: int) -> None:
    order = Permutation(size, key)
    assert sorted(order(index) for index in range(size)) == list(range(size))


@given(st.integers(1, 300), KEYS)
def test_every_number_comes_out_once_whatever_the_key(size: int, key: int) -> None:
    order = Permutation(size, key)
    assert sorted(order(index) for index in range(size)) == list(range(size))


@given(KEYS, KEYS)
def test_another_key_gives_another_order(first: int, second: int) -> None:
    orders = [[Permutation(200, key)(index) for index in range(200)] for key in (first, second)]
    assert (orders[0] == orders[1]) == (first == second)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match=rf"index is {index}; it must lie in \[0, 3\)"):
        Permutation(3, 0)(index)


def test_a_billion_documents_are_shuffled_in_no_memory() -> None:
    order = Permutation(1_000_000_007, 5)
    first = [order(index) for index in range(1000)]
    assert len(set(first)) == 1000 and max(first) < order.size
    assert 0.4 < sum(first) / 1000 / order.size < 0.6


def test_order_is_spread_over_all_orders() -> None:
    """Of the six orders of three, none is missing and none takes more than twice its part (600 keys)."""
    orders = [tuple(Permutation(3, key * 977)(index) for index in range(3)) for key in range(600)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6 and max(counts) < 200
