"""The controller on synthetic learners: it leaves what is equal, repairs what is skewed, and does no harm when misled."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_learners import CURVES, EQUAL, RAW_BYTES, TOTAL, learn, references

from polyglot_lm.mixture.controller import Controller, Equaliser, level, scaled
from polyglot_lm.mixture.curves import Curve, fit_curve
from polyglot_lm.pipeline import UserError

HONEST = Equaliser(references=references(CURVES))
SAME = dict.fromkeys(("a", "b", "c", "d"), CURVES["ko"])
QUARTERS = dict.fromkeys(SAME, 0.25)


def settings(**changes: float) -> Equaliser:
    return Equaliser(references=references(CURVES), **changes)


def test_equal_languages_stay_uniform() -> None:
    _, decisions = learn(SAME, QUARTERS, Equaliser(references=references(SAME)))
    assert len(decisions) > 60
    assert all(share == pytest.approx(0.25, abs=1e-6) for decision in decisions for share in decision.shares.values())


def test_equal_languages_stay_nearly_uniform_under_noise() -> None:
    _, decisions = learn(SAME, QUARTERS, Equaliser(references=references(SAME)), noise=0.003)
    assert all(0.19 < share < 0.31 for share in decisions[-1].shares.values())


def test_one_slow_language_gets_more() -> None:
    """Slow: the same curve, but its reference was reached with twice the text."""
    slow = {**references(SAME), "d": CURVES["ko"].loss(TOTAL / 4)}
    _, decisions = learn(SAME, QUARTERS, Equaliser(references=slow))
    last = decisions[-1].shares
    assert last["d"] > 1.3 * max(last[code] for code in "abc")
    assert last["a"] == pytest.approx(last["b"], rel=1e-3)


@pytest.mark.parametrize("misled", ["th", "zh", "en"])
def test_a_reference_that_is_8_percent_too_low_never_takes_more_than_twice_its_prior(misled: str) -> None:
    wrong = {**HONEST.references, misled: 0.92 * HONEST.references[misled]}
    _, decisions = learn(CURVES, EQUAL, Equaliser(references=wrong))
    assert max(decision.shares[misled] for decision in decisions) <= 2 * EQUAL[misled] * (1 + 1e-6)
    assert misled in decisions[-1].alarm


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
def test_from_raw_bytes_uniform_it_removes_most_of_the_deficit_of_thai(noise: float) -> None:
    """Deficit: what Thai loses against the same content of every language. The prior is the wrong mixture itself."""
    wrong, right = learn(CURVES, RAW_BYTES, None)[0]["th"], learn(CURVES, EQUAL, None)[0]["th"]
    repaired, _ = learn(CURVES, RAW_BYTES, HONEST, noise=noise)
    assert wrong - right > 0.07
    assert (wrong - repaired["th"]) / (wrong - right) >= 0.7


def test_with_a_balanced_prior_it_removes_all_of_it() -> None:
    wrong, right = learn(CURVES, RAW_BYTES, None)[0], learn(CURVES, EQUAL, None)[0]
    repaired, _ = learn(CURVES, RAW_BYTES, HONEST, prior=EQUAL)
    assert (wrong["th"] - repaired["th"]) / (wrong["th"] - right["th"]) >= 0.9
    assert max(repaired.values()) < 0.98 < max(wrong.values())
    assert sum(repaired.values()) < sum(wrong.values())


def test_the_fallback_moves_towards_those_that_lag() -> None:
    controller = Controller(config=HONEST, prior=EQUAL, supply=dict.fromkeys(EQUAL, 1e9), total=TOTAL)
    lagging = {code: bits * (1.1 if code == "th" else 1.0) for code, bits in HONEST.references.items()}
    controller.observe(dict.fromkeys(EQUAL, TOTAL / 40), lagging)
    shares = controller.propose()
    assert shares is not None and controller.last is not None
    assert controller.last.method == "gradient" and controller.last.target is None
    assert shares["th"] > 1.05 * EQUAL["th"] and all(shares[code] < EQUAL[code] for code in EQUAL if code != "th")


def test_a_language_that_learns_nothing_more_is_not_fed_above_its_prior() -> None:
    """Its loss is flat and far above its reference: all that is left would not lift it."""
    flat = Curve(floor=100.0, scale=5.0, decay=0.5)
    curves = {**dict.fromkeys("abc", CURVES["ko"]), "d": flat}
    reference = {**references(SAME), "d": 80.0}
    _, decisions = learn(curves, QUARTERS, Equaliser(references=reference))
    assert decisions[-1].method == "predicted"
    assert decisions[-1].shares["d"] == pytest.approx(0.25, rel=0.01)


def test_it_waits_decides_and_freezes() -> None:
    controller = Controller(config=settings(begins=0.18, ends=0.58), prior=EQUAL, supply=dict.fromkeys(EQUAL, 1e9), total=TOTAL)
    assert controller.propose() is None
    decided = {}
    for percent in range(5, 100, 5):
        content = dict.fromkeys(EQUAL, TOTAL / 8 * percent / 100)
        controller.observe(content, {code: curve.loss(content[code]) for code, curve in CURVES.items()})
        decided[percent] = controller.propose() is not None
    assert [percent for percent, was in decided.items() if was] == [20, 25, 30, 35, 40, 45, 50, 55]


def test_no_step_is_larger_than_a_tenth_and_no_share_beyond_its_bounds() -> None:
    _, decisions = learn(CURVES, RAW_BYTES, HONEST, noise=0.02)
    before = RAW_BYTES
    for decision in decisions:
        assert sum(decision.shares.values()) == pytest.approx(1)
        for code, share in decision.shares.items():
            assert abs(math.log(share / before[code])) <= 0.1 + 1e-6
            assert RAW_BYTES[code] / 2 - 1e-9 <= share <= 2 * RAW_BYTES[code] + 1e-9
        before = decision.shares


def test_no_language_is_read_more_often_than_the_cap() -> None:
    """Thai, misled upwards, has text for 4 epochs of an eighth of the reading and no more."""
    wrong = Equaliser(references={**HONEST.references, "th": 0.92 * HONEST.references["th"]})
    controller = Controller(config=wrong, prior=EQUAL, supply={**dict.fromkeys(EQUAL, 1e9), "th": TOTAL / 8 / 4}, total=TOTAL)
    content, shares = dict.fromkeys(EQUAL, 0.0), dict(EQUAL)
    for _ in range(100):
        content = {code: read + shares[code] * TOTAL / 100 for code, read in content.items()}
        controller.observe(content, {code: curve.loss(content[code]) for code, curve in CURVES.items()})
        shares = controller.propose() or shares
    assert content["th"] <= TOTAL / 8 * (1 + 1e-6)


def test_a_resumed_controller_goes_on_as_the_one_that_was_not_cut() -> None:
    def controller() -> Controller:
        return Controller(config=HONEST, prior=RAW_BYTES, supply=dict.fromkeys(EQUAL, 1e9), total=TOTAL)

    whole, content = controller(), dict.fromkeys(EQUAL, 0.0)
    cut = controller()
    for step in range(1, 80):
        content = {code: read + whole.shares[code] * TOTAL / 100 for code, read in content.items()}
        bits = {code: curve.loss(content[code]) for code, curve in CURVES.items()}
        whole.observe(content, bits)
        cut.observe(content, bits)
        assert whole.propose() == cut.propose()
        if step % 13 == 0:
            saved = json.dumps(cut.state())
            cut = controller()
            cut.load_state(json.loads(saved))
            assert len(saved) < 40_000


def test_points_are_thinned_but_the_newest_stays_and_what_is_no_number_is_left_out() -> None:
    controller = Controller(config=HONEST, prior=EQUAL, supply=dict.fromkeys(EQUAL, 1e9), total=TOTAL)
    for step in range(1, 500):
        controller.observe(dict.fromkeys(EQUAL, float(step)), dict.fromkeys(EQUAL, 1.0))
        assert len(controller.contents) == len(controller.losses) <= 64
        assert controller.contents[-1]["ko"] == step
        controller.observe(dict.fromkeys(EQUAL, 1000.0), {**dict.fromkeys(EQUAL, 1.0), "th": math.nan})
    assert controller.contents[0]["ko"] == 1


def test_a_decision_is_a_line_of_json() -> None:
    _, decisions = learn(CURVES, RAW_BYTES, HONEST)
    line = json.loads(json.dumps(decisions[-1].line))
    assert line["method"] == "predicted" and 0.7 < line["progress"] < 0.8
    assert line["curves"]["th"]["decay"] == pytest.approx(CURVES["th"].decay, abs=0.15)
    assert line["clamped"] == line["alarm"] == ["th"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"references": {}}, "the controller has no references; give the bits per byte of a model of each language alone"),
        ({"references": {"ko": -1.0}}, "the reference of ko is -1.0 bits per byte; it must be positive and finite"),
        ({"references": {"ko": math.nan}}, "the reference of ko is nan"),
        ({"begins": 0.9}, "begins at 0.9 and ends at 0.8; these must rise"),
        ({"bound": 0.5}, "bound 0.5"),
    ],
)
def test_wrong_settings_are_refused_in_words(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Equaliser(**{"references": {"ko": 1.0}, **changes})  # type: ignore[arg-type]


def test_without_a_reference_of_every_language_it_refuses_to_balance_raw_losses() -> None:
    config = Equaliser(references={code: bits for code, bits in HONEST.references.items() if code not in ("th", "ms")})
    with pytest.raises(UserError, match=r"no reference for ms, th; give .*to equal raw losses is no balance"):
        Controller(config=config, prior=EQUAL, supply=EQUAL, total=TOTAL)


@given(st.floats(20, 100), st.floats(50, 150), st.floats(0.2, 0.5))
def test_a_curve_is_found_again_from_its_points(floor: float, scale: float, decay: float) -> None:
    curve = Curve(floor=floor, scale=scale, decay=decay)
    contents = [float(n) for n in range(2, 21)]
    found = fit_curve(contents, [curve.loss(n) for n in contents])
    assert found is not None
    for content in (10.0, 20.0, 80.0):
        assert found.loss(content) == pytest.approx(curve.loss(content), rel=0.005)
    assert found.content(curve.loss(15.0)) == pytest.approx(15, rel=0.02)


def test_an_outlier_does_not_bend_a_curve() -> None:
    curve, contents = CURVES["ko"], [float(n) for n in range(2, 21)]
    losses = [curve.loss(n) * (1.3 if n == 12 else 1.0) for n in contents]
    found = fit_curve(contents, losses)
    assert found is not None and found.loss(40.0) == pytest.approx(curve.loss(40.0), rel=0.002)


@pytest.mark.parametrize(
    ("contents", "losses"),
    [([], []), ([1, 2, 3], [3, 2, 1]), ([1] * 9, [2] * 9), ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])],
    ids=["none", "few", "one place", "rising"],
)
def test_points_that_show_no_curve_give_none(contents: list[float], losses: list[float]) -> None:
    assert fit_curve(contents, losses) is None


def test_the_level_spends_what_is_left_and_makes_all_equal() -> None:
    content = {code: 5.0 + place for place, code in enumerate(CURVES)}
    target, parts = level(CURVES, HONEST.references, content, 100.0)
    assert sum(parts.values()) == pytest.approx(1)
    for code, curve in CURVES.items():
        assert curve.loss(content[code] + 100 * parts[code]) / HONEST.references[code] == pytest.approx(target, rel=1e-6)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 0.1), st.floats(0.15, 1)), min_size=8, max_size=8))
def test_scaled_shares_sum_to_one_within_their_bounds(rows: list[tuple[float, float, float]]) -> None:
    names = "abcdefgh"
    wanted, low, high = (dict(zip(names, column, strict=True)) for column in zip(*rows, strict=True))
    shares = scaled(wanted, low, high)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(low[name] - 1e-9 <= share <= high[name] + 1e-9 for name, share in shares.items())
