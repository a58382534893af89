"""Scores next to scikit-learn and hand calculations."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from polyglot_lm.evaluation.scores import (
    averages,
    chance_verdict,
    commonest_share,
    f1_with_interval,
    lucky,
    mean_with_interval,
    score_items,
)

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(PAIRS)
def test_macro_f1_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    gold, guessed = zip(*pairs, strict=True)
    expected = f1_score(gold, guessed, average="macro", zero_division=0)
    assert f1_with_interval(np.array(pairs))["value"] == pytest.approx(expected)


def test_intervals_are_those_of_drawing_items_again() -> None:
    random = np.random.default_rng(5)
    pairs = random.integers(0, 2, size=(80, 2))
    drawn = [pairs[random.integers(0, 80, size=80)] for _ in range(600)]
    expected = np.quantile([f1_score(d[:, 0], d[:, 1], average="macro") for d in drawn], [0.025, 0.975])
    found = f1_with_interval(pairs)
    assert [found["low"], found["high"]] == pytest.approx(expected, abs=0.03)
    right = (pairs[:, 0] == pairs[:, 1]).astype(float)
    mean = mean_with_interval(right)
    width = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 80)
    assert mean["high"] - mean["low"] == pytest.approx(2 * width, rel=0.15)


def items(right: int, wrong: int, **more: Any) -> list[dict[str, Any]]:
    return [{"acc": 1.0, "gold": "0", **more}] * right + [{"acc": 0.0, "gold": "1", **more}] * wrong


def test_scores_are_set_against_chance_and_the_commonest_answer() -> None:
    found = score_items(items(60, 40), "acc", 0.25)
    assert found["n"] == 100
    assert found["normalised"] == pytest.approx((0.6 - 0.25) / 0.75)
    assert found["commonest_answer"] == 0.6
    assert found["at_chance"]  # 60 % of the answers are the same one
    assert not score_items([{**item, "gold": str(number % 4)} for number, item in enumerate(items(60, 40))], "acc", 0.25)[
        "at_chance"
    ]


def test_below_chance_is_not_cut_off() -> None:
    assert score_items(items(0, 10), "acc", 0.5)["normalised"] == -1.0


def test_the_normalised_score_follows_acc_norm_where_that_is_the_metric() -> None:
    both = [{**item, "acc_norm": 1.0} for item in items(1, 3)]
    assert score_items(both, "acc_norm", 0.25)["normalised"] == 1.0
    assert score_items(both, "acc", 0.25)["normalised"] == 0.0


def test_answers_without_common_names_have_no_commonest() -> None:
    assert commonest_share(["0", None]) is None
    assert commonest_share(["1", "0", "1"]) == pytest.approx(2 / 3)


def test_only_families_of_all_languages_enter_an_average() -> None:
    def score(family: str, language: str, value: float) -> dict[str, Any]:
        return {"family": family, "language": language, "normalised": value}

    scores = [score("Belebele", "ko", 0.4), score("Belebele", "th", 0.2), score("KoBEST", "ko", 0.9)]
    found = averages(scores, ["ko", "th"])
    assert found["families"] == ["Belebele"]
    assert found["by_language"] == {"ko": 0.4, "th": 0.2}
    assert found["mean"] == pytest.approx(0.3)
    assert found["coverage"] == {"Belebele": ["ko", "th"], "KoBEST": ["ko"]}
    assert averages(scores, ["ko", "th", "vi"])["mean"] is None


def test_a_bench_at_chance_says_so_and_luck_is_no_competence() -> None:
    at, above = {"at_chance": True}, {"at_chance": False}
    assert chance_verdict([at] * 38) == "All 38 scores are at chance: they say nothing of this model's competence."
    assert "37 of 38 scores are at chance, and 1 above it is no more than luck" in chance_verdict([at] * 37 + [above])
    assert chance_verdict([at] * 30 + [above] * 8).startswith("30 of 38 scores are at chance, and say nothing")
    drawn = np.random.default_rng(0).binomial(38, 0.025, size=20_000)
    assert lucky(38) == np.quantile(drawn, 0.95)
