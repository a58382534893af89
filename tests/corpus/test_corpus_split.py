"""Held-out text: whole clusters and domains, the same in every language, enough of it in small ones."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.ranks import Ranks, rank
from polyglot_lm.corpus.split import DomainBytes, Shares, Split, domain_of, shares_for, slot_of, weights

SPLIT = Split(key="test", control=0.1, select=0.1, test=0.2, min_bytes=0, max_share=0.3, max_domain_share=0.1)
IDS = [f"{number:032x}" for number in range(4_000)]


def shares(split: Split, num_bytes: int) -> Shares:
    places = split.places(IDS)
    return shares_for(split, weights(places, np.full(len(IDS), num_bytes)))


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.floats(0, 0.3)] * 3), st.text("ab", max_size=3))
def test_splits_get_their_shares(wanted: tuple[float, float, float], key: str) -> None:
    split = dataclasses.replace(SPLIT, key=key, control=wanted[0], select=wanted[1], test=wanted[2])
    found = shares(split, 10).of(split.places(IDS))
    for name, share in zip(("control", "select", "test"), wanted, strict=True):
        assert found.count(name) / len(IDS) == pytest.approx(share, abs=0.035)  # over four standard deviations


def test_a_document_keeps_its_split_when_others_come_and_a_share_only_grows() -> None:
    small = shares(dataclasses.replace(SPLIT, min_bytes=6_000), 10)  # 40 kB in all: test holds 8 kB, the others 4 kB
    assert small.shares == {"test": 0.2, "select": 0.2, "control": 0.2}
    places = SPLIT.places(IDS)
    before, after = shares(SPLIT, 10).of(places), small.of(places)
    assert all(new == old for old, new in zip(before, after, strict=True) if old != "train")
    assert {new for old, new in zip(before, after, strict=True) if old == "train"} == {"train", "select", "control"}


def test_a_share_grows_no_further_than_it_may_and_none_stays_none() -> None:
    split = dataclasses.replace(SPLIT, select=0.0, min_bytes=10**9)
    assert shares(split, 10).shares == {"test": 0.3, "select": 0.0, "control": 0.3}


def test_another_key_holds_out_other_documents() -> None:
    one, other = (dataclasses.replace(SPLIT, key=key) for key in "ab")
    same = sum(
        a == b == "test" for a, b in zip(shares(one, 1).of(one.places(IDS)), shares(other, 1).of(other.places(IDS)), strict=True)
    )
    assert 80 < same < 250  # a fifth of a fifth of 4,000 is 160


@pytest.mark.parametrize(("field", "value"), [("test", 0.4), ("control", -0.1), ("max_share", 0.5), ("min_bytes", -1)])
def test_shares_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(SPLIT, **{field: value})


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.example.org/a?b", "example.org"),
        ("http://EXAMPLE.org:8080/", "example.org"),
        (None, None),
        ("", None),
        ("no url", None),
        ("http://[half", None),
        ("mailto:a@b.c", None),
    ],
)
def test_a_domain_is_the_host_of_a_url(url: str | None, domain: str | None) -> None:
    assert domain_of(url) == domain


def test_large_domains_are_known_by_their_bytes() -> None:
    domains = DomainBytes()
    slots = np.array([slot_of(name) for name in ["big.org"] * 8 + ["small.org", None, None]])
    domains.add(slots, np.full(len(slots), 100))
    assert set(domains.large(0.5)) == {slot_of("big.org")}
    assert set(domains.large(0.05)) == {slot_of("big.org"), slot_of("small.org")}
    assert len(domains.large(1.0)) == 0


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_ranks_follow_the_order_of_the_scores(scores: list[float]) -> None:
    ranks = Ranks()
    values = np.array([*scores, np.nan], np.float32)
    ranks.add(values)
    found = rank(values, ranks.table())
    assert np.isnan(found[-1])
    order = np.argsort(values[:-1], kind="stable")
    assert (np.diff(found[:-1][order]) >= 0).all()
    assert found[:-1].mean() == pytest.approx(0.5, abs=1e-6)
