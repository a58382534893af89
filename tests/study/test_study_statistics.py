"""Statistics of few seeds: Student's t against scipy, Holm against closed testing, intervals against simulated truth."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polyglot_lm.study.statistics import Estimate, estimate, holm
from polyglot_lm.study.student import quantile, two_sided_p

FREEDOM = st.floats(1, 500)


@given(st.floats(-50, 50), FREEDOM)
def test_probabilities_are_those_of_scipy(t: float, freedom: float) -> None:
    assert two_sided_p(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-8, abs=1e-7)


@given(st.floats(0.01, 0.999), FREEDOM)
def test_quantiles_are_those_of_scipy(confidence: float, freedom: float) -> None:
    assert quantile(confidence, freedom) == pytest.approx(stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-7)


def test_infinitely_many_seeds_are_the_normal_distribution() -> None:
    assert quantile(0.95, math.inf) == pytest.approx(1.959964, abs=1e-6)
    assert two_sided_p(1.0, 1e7) == pytest.approx(two_sided_p(1.0, math.inf), rel=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9).filter(lambda values: np.std(values) > 1e-6))
def test_an_estimate_without_documents_is_the_paired_t_test(values: list[float]) -> None:
    found, twin = estimate(values), stats.ttest_1samp(values, 0.0)
    interval = twin.confidence_interval(0.95)
    assert found.p == pytest.approx(twin.pvalue, rel=1e-7, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-12)


def closed_testing(probabilities: dict[str, float]) -> dict[str, float]:
    """Adjust by the principle itself: a hypothesis falls when every intersection with it falls, each by Bonferroni."""
    names = list(probabilities)
    families = [family for size in range(1, len(names) + 1) for family in itertools.combinations(names, size)]
    return {
        name: max(min(1.0, len(family) * min(probabilities[one] for one in family)) for family in families if name in family)
        for name in names
    }


@given(st.dictionaries(st.sampled_from("abcde"), st.floats(0, 1), min_size=1))
def test_holm_is_closed_testing_with_bonferroni(probabilities: dict[str, float]) -> None:
    assert holm(probabilities) == pytest.approx(closed_testing(probabilities))


def test_one_seed_resolves_nothing() -> None:
    found = estimate([0.3])
    assert (found.half_width, found.p, found.verdict(0.01)) == (math.inf, 1.0, "not resolved")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([-0.10, -0.11, -0.12], "lower"),
        ([0.10, 0.11, 0.12], "higher"),
        ([-0.001, 0.001, 0.0], "no difference"),
        ([-0.05, 0.06, 0.0], "not resolved"),
    ],
)
def test_a_verdict_is_what_the_interval_allows(values: list[float], verdict: str) -> None:
    assert estimate(values).verdict(0.01) == verdict


@pytest.mark.parametrize(("seeds_spread", "documents_spread"), [(1.0, 0.0), (1.0, 0.5), (0.5, 1.0), (0.3, 3.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds_spread: float, documents_spread: float) -> None:
    """700 studies of five seeds, whose shared test set moves all of them by the same luck."""
    random, truth, hits = np.random.default_rng(1), 0.7, 0
    for _ in range(700):
        shared = random.normal(0, documents_spread)
        found = estimate(list(truth + shared + random.normal(0, seeds_spread, 5)), documents_error=documents_spread)
        hits += abs(found.mean - truth) <= found.half_width
    assert 0.928 <= hits / 700 <= 0.99


def test_without_the_documents_part_intervals_would_be_too_short() -> None:
    """The reason why both parts are joined: with luck as large as the seeds', t over seeds alone holds the truth far too rarely."""
    random, hits = np.random.default_rng(2), 0
    for _ in range(1000):
        found = estimate(list(random.normal(0, 1.0) + random.normal(0, 1.0, 5)))
        hits += abs(found.mean) <= found.half_width
    assert hits / 1000 < 0.85


def test_documents_never_make_an_interval_shorter() -> None:
    seeds = [0.30, 0.34]
    alone, joint = estimate(seeds), estimate(seeds, documents_error=0.02)
    assert joint.half_width >= alone.half_width and joint.p >= alone.p


def test_errors_add_as_variances() -> None:
    found = Estimate(mean=0.0, seeds=5, seeds_error=3.0, documents_error=4.0)
    assert found.error == 5.0
    assert found.freedom == pytest.approx(4 * (5 / 3) ** 4)
