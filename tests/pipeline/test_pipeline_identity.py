"""Identity: plain data, the same tomorrow; whatever has no stable identity is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.pipeline.identity import canonical, differences, fingerprint

TEXT = st.text("abé한ไ", max_size=4)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)


@dataclasses.dataclass(frozen=True)
class Bounds:
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Limits:
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Files:
    """Lies somewhere, holds something."""

    place: Path
    content: str

    def identity(self) -> Any:
        return {"content": self.content}


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(TEXT, JSON))
def test_the_order_of_keys_changes_no_fingerprint(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert fingerprint(canonical(value, "x")) == fingerprint(canonical(turned, "x"))


@settings(deadline=None, max_examples=60)
@given(JSON)
def test_a_reduced_value_reduces_to_itself(value: Any) -> None:
    once = canonical(value, "x")
    assert canonical(once, "x") == once
    assert differences(once, once) == []


def test_a_fingerprint_is_known_forever() -> None:
    assert (
        fingerprint(canonical({"b": (1, 2.5, None), "a": "한"}, "x")) == fingerprint({"a": "한", "b": [1, 2.5, None]}) == "30e79eaa"
    )


@pytest.mark.parametrize(
    "value", [Path("a"), len, lambda: 0, b"bytes", {1, 2}, object(), Bounds, {1: "a"}], ids=lambda value: type(value).__name__
)
def test_a_value_without_a_stable_identity_raises_and_says_where(value: object) -> None:
    with pytest.raises(TypeError, match=r"train: paths\[1\]\[here\]"):
        canonical([0, {"here": value}], "train: paths")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_raises_and_says_where(value: float) -> None:
    with pytest.raises(TypeError, match=r"train: bounds\.high is"):
        canonical(Bounds(0.0, value), "train: bounds")


def test_a_configuration_is_its_type_and_its_fields() -> None:
    prints = {fingerprint(canonical(value, "x")) for value in (Bounds(0, 1), Bounds(0, 2), Limits(0, 1))}
    assert len(prints) == 3
    assert canonical(Bounds(0, 1), "x") == {"type": "Bounds", "low": 0, "high": 1}


def test_a_value_that_knows_its_identity_is_asked_for_it() -> None:
    assert canonical(Files(Path("/here"), "a"), "x") == canonical(Files(Path("/there"), "a"), "x") == {"content": "a"}


def test_differences_name_the_fields() -> None:
    old, new = {"a": 1, "b": {"c": [1, 2], "d": 0}}, {"a": 1, "b": {"c": [1, 3], "d": 0}, "e": "x"}
    assert differences(old, new)[0] == ("b.c", [1, 2], [1, 3])
    assert [(field, value) for field, _, value in differences(old, new)] == [("b.c", [1, 3]), ("e", "x")]


@pytest.mark.parametrize(("old", "new"), [({"a": 1}, {"a": 1.0}), ({}, {"license": None}), ({"a": [1]}, {"a": [True]})])
def test_whatever_forks_an_address_is_named_as_a_difference(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert fingerprint(old) != fingerprint(new)
    assert differences(old, new)
