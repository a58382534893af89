"""Every policy: shares sum to one, rise with the supply, keep the caps, mean the same in every unit; UniMax has slow twins."""

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.mixture import UNITS, Budget, Explicit, Policy, Shares, Supply, Temperature, Uniform, UniMax, Unit, policy_named
from polyglot_lm.mixture.presets import presets
from polyglot_lm.mixture.unimax import check_epochs, filled, largest_uniform, unimax
from polyglot_lm.mixture.units import byte_premiums, estimated, in_unit, shown
from polyglot_lm.pipeline import UserError

UNIT = st.sampled_from(UNITS)
HELD = st.fixed_dictionaries({unit: st.floats(1e-2, 1e2) for unit in UNITS})
SUPPLIES = st.lists(HELD, min_size=1, max_size=9).map(lambda held: {f"l{n}": each for n, each in enumerate(held)})
ALPHA = st.floats(0, 1)
POLICIES: list[Callable[[Unit, Budget], Policy]] = [
    lambda unit, budget: Uniform(unit=unit),
    lambda unit, budget: Temperature(unit=unit, alpha=0.3),
    lambda unit, budget: Explicit(unit=unit, weights={"l0": 3.0, "l2": 1.0}, floor=0.01),
    lambda unit, budget: UniMax(unit=unit, budget=budget),
]
EAST_ASIAN = {  # FineWeb2 and FineWeb, English-equivalent GB, as reference/balance.md has them
    "en": 44_000.0, "zh": 2848.0, "ja": 1248.0, "id": 318.0, "vi": 255.0, "ko": 177.0, "th": 109.0, "ms": 30.0,
}  # fmt: skip
PUBLISHED: Supply = {code: dict.fromkeys(UNITS, 1e9 * size) for code, size in EAST_ASIAN.items()}


def budget_of(supply: Supply, unit: Unit, part: float, max_epochs: float = 4.0) -> Budget:
    """Return a budget that is a part of all caps together."""
    return Budget(amount=part * max_epochs * sum(held[unit] for held in supply.values()), unit=unit, max_epochs=max_epochs)


@given(SUPPLIES, st.sampled_from(POLICIES), UNIT, UNIT, st.floats(0.01, 1))
def test_shares_of_every_policy_sum_to_one_and_mean_the_same_in_every_unit(
    supply: Supply, make: Callable[[Unit, Budget], Policy], unit: Unit, other: Unit, part: float
) -> None:
    shares = make(unit, budget_of(supply, "tokens", part)).shares(supply)
    assert shares.unit == unit and shares.values.keys() == supply.keys()
    assert sum(shares.values.values()) == pytest.approx(1)
    assert shares.converted(other, supply).converted(unit, supply).values == pytest.approx(shares.values)


@given(SUPPLIES, ALPHA, UNIT)
def test_a_larger_language_never_gets_less(supply: Supply, alpha: float, unit: Unit) -> None:
    policies = (Temperature(unit=unit, alpha=alpha), UniMax(unit=unit, budget=budget_of(supply, unit, 0.7)))
    for shares in (policy.shares(supply).values for policy in policies):
        by_size = [shares[code] for code in sorted(supply, key=lambda code: supply[code][unit])]
        assert all(one <= other * (1 + 1e-9) for one, other in itertools.pairwise(by_size))


@given(SUPPLIES, ALPHA, ALPHA, UNIT)
def test_a_higher_alpha_gives_the_largest_language_more(supply: Supply, one: float, other: float, unit: Unit) -> None:
    low, high = (Temperature(unit=unit, alpha=alpha).shares(supply).values for alpha in sorted((one, other)))
    largest = max(supply, key=lambda code: supply[code][unit])
    assert high[largest] >= low[largest] * (1 - 1e-9)
    assert Temperature(unit=unit, alpha=0).shares(supply).values == pytest.approx(Uniform(unit=unit).shares(supply).values)


def published_unimax(sizes: list[float], budget: float, max_epochs: float) -> list[float]:
    """Algorithm 1 of the paper, line by line."""
    order = sorted(range(len(sizes)), key=lambda n: sizes[n])
    amounts = [0.0] * len(sizes)
    for place, n in enumerate(order):
        amounts[n] = min(budget / (len(sizes) - place), max_epochs * sizes[n])
        budget -= amounts[n]
    return [amount / sum(amounts) for amount in amounts]


@given(st.lists(st.floats(1e-2, 1e3), min_size=1, max_size=12), st.floats(0.01, 1), st.floats(0.5, 8))
def test_unimax_is_that_of_the_paper_where_one_unit_counts_all(sizes: list[float], part: float, max_epochs: float) -> None:
    supply: Supply = {str(n): dict.fromkeys(UNITS, size) for n, size in enumerate(sizes)}
    budget = budget_of(supply, "bytes", part, max_epochs)
    shares = UniMax(unit="bytes", budget=budget).shares(supply)
    assert list(shares.values.values()) == pytest.approx(published_unimax(sizes, budget.amount, max_epochs))


def poured(caps: dict[str, float], costs: dict[str, float], budget: float) -> dict[str, float]:
    """Slow twin: a level, found by halving, at which everything costs the budget."""
    low, high = 0.0, max(caps.values())
    for _ in range(200):
        middle = (low + high) / 2
        cost = sum(costs[code] * min(middle, cap) for code, cap in caps.items())
        low, high = (middle, high) if cost < budget else (low, middle)
    return {code: min(high, cap) for code, cap in caps.items()}


@given(SUPPLIES, UNIT, UNIT, st.floats(0.01, 0.999), st.floats(0.5, 8))
def test_unimax_spends_a_budget_of_another_unit_and_keeps_every_cap(
    supply: Supply, unit: Unit, other: Unit, part: float, max_epochs: float
) -> None:
    budget = budget_of(supply, other, part, max_epochs)
    amounts = unimax(supply, unit, budget)
    assert sum(in_unit(amounts, unit, other, supply).values()) == pytest.approx(budget.amount)
    assert all(amount <= max_epochs * supply[code][unit] * (1 + 1e-9) for code, amount in amounts.items())
    caps = {code: max_epochs * held[unit] for code, held in supply.items()}
    costs = {code: held[other] / held[unit] for code, held in supply.items()}
    assert amounts == pytest.approx(poured(caps, costs, budget.amount), rel=1e-6)
    assert filled(caps, costs, budget.amount) == amounts


@pytest.mark.parametrize(
    ("terabytes", "max_epochs", "expected"),
    [
        (0.4, 1, {"ms": 7.5, "th": 13.2, "en": 13.2}),
        (1, 1, {"ms": 3.0, "th": 10.9, "ko": 14.3}),
        (1, 4, {"ms": 12.0, "th": 12.6, "en": 12.6}),
        (2, 4, {"ms": 6.0, "th": 13.4}),
        (4, 1, {"ms": 0.75, "th": 2.7, "ko": 4.4, "vi": 6.4, "id": 7.9, "ja": 25.9}),
        (4, 4, {"ms": 3.0, "th": 10.9, "ko": 14.3}),
    ],
)
def test_unimax_on_fineweb2_is_as_the_reference_has_it(terabytes: float, max_epochs: float, expected: dict[str, float]) -> None:
    budget = Budget(amount=terabytes * 1e12, unit="english_bytes", max_epochs=max_epochs)
    shares = UniMax(unit="english_bytes", budget=budget).shares(PUBLISHED).values
    assert {code: 100 * shares[code] for code in expected} == pytest.approx(expected, abs=0.06)


def test_an_infeasible_budget_says_who_lacks_how_much_and_what_fits() -> None:
    supply = {code: PUBLISHED[code] for code in ("th", "ms")}
    with pytest.raises(UserError) as caught:
        UniMax(unit="english_bytes", budget=Budget(amount=800e9, unit="english_bytes")).shares(supply)
    assert str(caught.value) == (
        "a budget of 800 GB-eq. is above 4 epochs: ms lacks 280 GB-eq. (13.3 epochs of 30 GB-eq.); "
        "556 GB-eq. would fit, or add text or raise max_epochs"
    )
    amount = UniMax(unit="english_bytes", budget=Budget(amount=556e9, unit="english_bytes")).shares(supply)
    assert amount.values["ms"] == pytest.approx(120 / 556)


@given(SUPPLIES, UNIT, UNIT, st.floats(0.5, 8))
def test_the_largest_uniform_budget_fits_and_a_little_more_does_not(
    supply: Supply, unit: Unit, budget_unit: Unit, max_epochs: float
) -> None:
    most = largest_uniform(supply, unit, budget_unit, max_epochs)
    uniform = Uniform(unit=unit).shares(supply).converted(budget_unit, supply).values
    for factor in (0.999, 1.001):
        budget = Budget(amount=most * factor, unit=budget_unit, max_epochs=max_epochs)
        amounts = {code: share * budget.amount for code, share in uniform.items()}
        if factor < 1:
            check_epochs(amounts, budget_unit, supply, budget)
        else:
            with pytest.raises(UserError, match="would fit"):
                check_epochs(amounts, budget_unit, supply, budget)


def test_what_an_error_says_would_fit_does_fit() -> None:
    amounts = dict.fromkeys(PUBLISHED, 2000000000000.0 / 8)
    with pytest.raises(UserError, match=r"ms lacks 130 GB-eq\. \(8\.3 epochs of 30 GB-eq\.\); 960 GB-eq\. would fit"):
        check_epochs(amounts, "english_bytes", PUBLISHED, Budget(amount=2000e9, unit="english_bytes"))
    check_epochs(dict.fromkeys(PUBLISHED, 960e9 / 8), "english_bytes", PUBLISHED, Budget(amount=960e9, unit="english_bytes"))


@pytest.mark.parametrize("name", presets())
def test_every_preset_names_its_source_and_gives_shares(name: str) -> None:
    assert len(presets()[name]["source"]) > 20
    shares = policy_named(name, unit="english_bytes", budget=None, floor=0.01).shares(PUBLISHED)
    assert sum(shares.values.values()) == pytest.approx(1)
    assert shares.unit == presets()[name]["unit"]


def test_published_shares_are_those_of_the_model_cards() -> None:
    without_malay = {code: held for code, held in PUBLISHED.items() if code != "ms"}
    xglm = policy_named("xglm", unit="bytes", budget=None).shares(without_malay)
    expected = {"en": 59.5, "ko": 14.8, "zh": 8.8, "th": 8.0, "ja": 4.9, "id": 2.3, "vi": 1.7}
    assert xglm.unit == "tokens"
    assert {code: 100 * share for code, share in xglm.values.items()} == pytest.approx(expected, abs=0.06)
    bloom = policy_named("bloom", unit="tokens", budget=None, floor=0.01).shares(PUBLISHED)
    assert bloom.unit == "bytes"
    assert bloom.values["en"] / bloom.values["vi"] == pytest.approx(484.95 / 43.71, rel=1e-3)
    assert [bloom.values[code] for code in ("ko", "ja", "th", "ms")] == [0.01] * 4
    assert policy_named("mbert", unit="tokens", budget=None) == Temperature(unit="bytes", alpha=0.7)
    assert policy_named("xlm-r", unit="tokens", budget=None) == policy_named("mt5", unit="tokens", budget=None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("xgml", "no policy 'xgml'; did you mean 'xglm'?"),
        ("zzz", "no policy 'zzz'; there are uniform, unimax, natural, mbert"),
        ("unimax", "policy 'unimax' needs a budget"),
        ("ko:much", "weight 'ko:much' is no CODE:NUMBER"),
        ("ko:1,ko:2", "language 'ko' has two weights"),
    ],
)
def test_a_policy_that_is_none_is_said_in_a_sentence(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        policy_named(name, unit="bytes", budget=None)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ko:-1,en:2", "the weight of ko is -1.0; it must be finite and 0 or more"),
        ("ko:nan,en:2", "the weight of ko is nan; it must be finite"),
        ("ko:inf,en:2", "the weight of ko is inf; it must be finite"),
        ("ko:0,en:0", "one at least must be above 0"),
    ],
)
def test_wrong_weights_are_refused_before_anything_runs(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy_named(text, unit="bytes", budget=None)


@pytest.mark.parametrize("amount", [0.0, -1.0, math.inf, math.nan])
def test_a_budget_must_be_positive_and_finite(amount: float) -> None:
    with pytest.raises(ValueError, match="amount of the budget is"):
        Budget(amount=amount, unit="tokens")
    with pytest.raises(ValueError, match="max_epochs of the budget is"):
        Budget(amount=1.0, unit="tokens", max_epochs=amount)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_an_alpha_outside_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="it must lie between 0"):
        Temperature(unit="bytes", alpha=alpha)


def test_a_language_without_weight_needs_a_floor() -> None:
    supply = {code: PUBLISHED[code] for code in ("ko", "th")}
    with pytest.raises(UserError, match=r"there is no weight for th; set floor=0\.01"):
        Explicit(unit="bytes", weights={"ko": 1.0}).shares(supply)
    assert Explicit(unit="bytes", weights={"ko": 5.0}, floor=0.2).shares(supply).values == {"ko": 0.8, "th": 0.2}
    with pytest.raises(UserError, match=r"a floor of 0\.6 for 2 languages leaves nothing"):
        Explicit(unit="bytes", weights={"en": 5.0}, floor=0.6).shares(supply)


@given(st.floats(1, 1e13), st.floats(0.5, 4), UNIT, UNIT)
def test_estimated_amounts_convert_there_and_back(num_bytes: float, premium: float, unit: Unit, other: Unit) -> None:
    supply = {"a": estimated(num_bytes, premium)}
    assert supply["a"]["bytes"] == num_bytes and supply["a"]["english_bytes"] == pytest.approx(4 * supply["a"]["tokens"])
    there = in_unit({"a": 7.0}, unit, other, supply)
    assert in_unit(there, other, unit, supply)["a"] == pytest.approx(7.0)


@given(st.lists(st.tuples(st.text("aé한ก😀", min_size=1), st.text("aé한ก😀", min_size=1)), min_size=1))
def test_premiums_are_bytes_against_the_reference(pairs: list[tuple[str, str]]) -> None:
    parallel = {"en": [one for one, _ in pairs], "xx": [other for _, other in pairs]}
    premiums = byte_premiums(parallel, "en")
    assert premiums["en"] == 1
    assert premiums["xx"] == pytest.approx(1 / byte_premiums(parallel, "xx")["en"])


def test_premiums_need_text_and_the_reference() -> None:
    assert byte_premiums({"en": ["abcd", "ef"], "th": ["สาม", "ก"]}, "en")["th"] == 2.0
    with pytest.raises(UserError, match="the parallel text has no language 'xx'; it has en"):
        byte_premiums({"en": ["a"]}, "xx")
    with pytest.raises(UserError, match="no letters in 'ko'"):
        byte_premiums({"en": ["a"], "ko": [""]}, "en")


def test_amounts_are_said_with_three_digits() -> None:
    assert shown(34.3e9, "bytes") == "34.3 GB"
    assert shown(1.2345e12, "tokens") == "1,234 B tokens"
    assert shown(870, "english_bytes") == "870 English-equivalent bytes"
    assert shown(2_500_000, "tokens") == "2.5 M tokens"


def test_shares_of_one_language_are_all() -> None:
    assert Shares(unit="bytes", values={"ko": 1.0}).values == {"ko": 1.0}
