"""Relative competence: the table of the literature to three digits, intervals, aggregates by hand, equivalent data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.evaluation.bootstrap import bounds, drawn_ratios, ratio_interval
from polyglot_lm.evaluation.competence import aggregates, competence, equivalent_data, gini
from polyglot_lm.evaluation.published import published_competence, published_tasks

RATIOS = st.dictionaries(st.sampled_from("ko ja zh id ms vi th en".split()), st.floats(0.2, 5), min_size=2)


@pytest.mark.parametrize(
    ("model", "mean", "worst", "worst_language", "max_over_min", "gini_of_r"),
    [  # reference/balance.md 3.4
        ("goldfish-100mb", 1.188, 1.231, "zh", 1.08, 0.014),
        ("xglm-4.5b", 0.886, 0.967, "ko", 1.30, 0.042),
        ("xglm-7.5b", 0.878, 1.145, "ms", 1.56, 0.060),
        ("bloom-7b1", 1.199, 2.401, "th", 3.26, 0.239),
    ],
)
def test_published_models_have_the_published_competence(
    model: str, mean: float, worst: float, worst_language: str, max_over_min: float, gini_of_r: float
) -> None:
    found = aggregates(published_competence()[model])
    assert (round(found["mean"], 3), round(found["worst"], 3), found["worst_language"]) == (mean, worst, worst_language)
    assert (round(found["max_over_min"], 2), round(found["gini"], 3)) == (max_over_min, gini_of_r)


def test_published_tasks_are_known_by_model_examples_and_task() -> None:
    assert published_tasks()["polyglot-ko-12.8b", 5]["kobest_copa"] == 0.8108
    assert published_tasks()["xglm-7.5b", 0]["kobest_boolq"] == 0.4464


@given(RATIOS)
def test_aggregates_of_equal_languages_show_no_spread(ratios: dict[str, float]) -> None:
    even = aggregates(dict.fromkeys(ratios, 0.9))
    assert (even["gini"], even["variation"], even["max_over_min"]) == pytest.approx((0, 0, 1), abs=1e-9)
    assert (even["mean_ln"], even["worst_ln"]) == pytest.approx((math.log(0.9), math.log(0.9)))
    found = aggregates(ratios)
    assert found["worst_ln"] >= found["mean_ln"] - 1e-12
    assert found["worst"] == max(ratios.values()) == ratios[found["worst_language"]]
    assert found["much_worse"] == sum(value > 1.05 for value in ratios.values())


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=10))
def test_gini_is_the_mean_difference_over_twice_the_mean(values: list[float]) -> None:
    slow = sum(abs(a - b) for a in values for b in values) / (2 * len(values) ** 2 * (sum(values) / len(values)))
    assert gini(np.array(values)) == pytest.approx(slow)


def documents(seed: int, count: int = 60) -> tuple[list[str], np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    reference = random.uniform(50, 500, count)
    return [f"{number:03}" for number in range(count)], reference * random.normal(1.1, 0.2, count), reference


def test_r_is_the_ratio_of_bits_and_lies_in_its_interval() -> None:
    found = competence({"ko": documents(1), "th": documents(2)})
    for code, (_, ours, theirs) in (("ko", documents(1)), ("th", documents(2))):
        row = found["languages"][code]
        assert row["r"] == pytest.approx(ours.sum() / theirs.sum())
        assert row["low"] < row["r"] < row["high"]
        assert row["documents"] == 60
    assert found["mean_ln_low"] < found["mean_ln"] < found["mean_ln_high"]
    assert sum(found["worst_how_often"].values()) == pytest.approx(1)


def test_intervals_are_those_of_drawing_documents_again() -> None:
    _, ours, theirs = documents(3)
    random = np.random.default_rng(9)
    rows = random.integers(0, 60, size=(4000, 60))
    expected = np.quantile(ours[rows].sum(axis=1) / theirs[rows].sum(axis=1), [0.025, 0.975])
    assert ratio_interval(ours, theirs) == pytest.approx(tuple(expected), abs=0.005)


def test_the_worst_is_taken_inside_each_draw() -> None:
    """Two languages of the same true r: the largest of the two is above each, on average."""
    drawn = drawn_ratios({"a": (["x"] * 40, *documents(4, 40)[1:]), "b": ([f"{n}" for n in range(40)], *documents(5, 40)[1:])})
    both = np.stack(list(drawn.values()), axis=1)
    found = competence({"a": (["x"] * 40, *documents(4, 40)[1:]), "b": ([f"{n}" for n in range(40)], *documents(5, 40)[1:])})
    assert (found["worst_ln_low"], found["worst_ln_high"]) == pytest.approx(bounds(np.log(both).max(axis=1)))


def test_parallel_documents_are_drawn_together() -> None:
    ids, ours, theirs = documents(6)
    back = slice(None, None, -1)
    drawn = drawn_ratios(
        {"ko": (ids, ours, theirs), "th": (ids[back], ours[back], theirs[back]), "en": ([*ids[1:], "x"], ours, theirs)}
    )
    assert np.allclose(drawn["ko"], drawn["th"])
    assert not np.allclose(drawn["ko"], drawn["en"])


@given(st.floats(0.5, 2), st.floats(5, 20), st.floats(0.2, 0.6), st.floats(20, 900))
def test_equivalent_data_inverts_the_curve_it_is_given(floor: float, slope: float, decay: float, amount: float) -> None:
    def bits(n: float) -> float:
        return floor + slope * n**-decay

    curve = [(n, bits(n)) for n in (10.0, 100.0, 1000.0)]
    assert equivalent_data(bits(amount), curve) == pytest.approx(amount, rel=0.05)


def test_equivalent_data_is_unknown_without_a_curve_or_below_its_floor() -> None:
    assert equivalent_data(1.5, [(10.0, 2.0), (100.0, 1.8)]) is None
    assert equivalent_data(0.1, [(n, 1 + 5 * n**-0.4) for n in (10.0, 100.0, 1000.0)]) is None
    assert equivalent_data(1.5, [(10.0, 1.0), (100.0, 1.5), (1000.0, 2.0)]) is None
