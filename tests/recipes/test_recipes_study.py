"""The study's recipes: the arms are those of the protocol, and what two of them share is made once."""

import json
from pathlib import Path

import pytest
from conftest import SENTENCES

from polyglot_lm.languages import select
from polyglot_lm.pipeline import UserError, in_order
from polyglot_lm.recipes import RECIPES, Recipe, build
from polyglot_lm.recipes.balance_study import LANGUAGES, arms_of
from polyglot_lm.study.protocol import Protocol

SUPPLY = {code: {"english_bytes": 1e6, "bytes": 2e6, "tokens": 3e5} for code in LANGUAGES}


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    for code, sentence in SENTENCES.items():
        (tmp_path / "text" / code).mkdir(parents=True)
        (tmp_path / "text" / code / "own.jsonl").write_text(json.dumps({"text": sentence}) + "\n")
    for name in ("dev", "devtest"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(SENTENCES) + "\n")
    return [f"text={tmp_path / 'text'}", f"parallel={tmp_path / 'dev.jsonl'}", f"flores={tmp_path / 'devtest.jsonl'}"]


def protocol_in(recipe: Recipe) -> Protocol:
    found = recipe.results["references"].arguments["protocol"]
    assert isinstance(found, Protocol)
    return found


def test_recipes_share_text_and_references(settings: list[str]) -> None:
    recipes = {name: build(name, settings, RECIPES) for name in ("balance_study", "synergy", "ladder")}
    assert len({recipe.results["references"].address for recipe in recipes.values()}) == 1
    assert build("study_data", settings, RECIPES).targets[0] == recipes["balance_study"].results["study-data"]
    last = {name: list(recipe.results.values())[-1] for name, recipe in recipes.items()}
    assert [last[name].name for name in recipes] == ["study/arms", "study/synergy", "study/search"]
    assert all(recipes["synergy"].results["references"] in in_order([step]) for step in last.values())


def test_arms_are_those_of_the_protocol() -> None:
    arms = arms_of(select(LANGUAGES), 0.01, ("zh", "ko", "th", "ms"))
    shares = {
        name: {
            code: round(100 * share, 1)
            for code, share in arm.policy.shares({code: SUPPLY[code] for code in arm.languages or SUPPLY}).values.items()
        }
        for name, arm in arms.items()
    }
    assert shares["bloom-floor-0"] == {"zh": 34.6, "id": 2.3, "vi": 3.8, "en": 59.3}
    assert shares["bloom-floor-2"] == {"ko": 2, "zh": 31.8, "ja": 2, "id": 2.1, "ms": 2, "vi": 3.5, "th": 2, "en": 54.6}
    assert shares["bloom"] == {"ko": 1, "zh": 33.2, "ja": 1, "id": 2.2, "ms": 1, "vi": 3.7, "th": 1, "en": 56.9}
    assert shares["xglm"] == {"ko": 14.7, "zh": 8.7, "ja": 4.9, "id": 2.3, "ms": 1, "vi": 1.6, "th": 8.0, "en": 58.9}
    assert shares["placebo"] == {"zh": 56.9, "ko": 33.2, "th": 3.7, "ms": 2.2, "ja": 1, "id": 1, "vi": 1, "en": 1}
    assert set(shares["uniform"].values()) == set(shares["raw-bytes"].values()) == {12.5}
    assert [name for name, arm in arms.items() if arm.steered] == ["controller-from-raw", "controller-from-uniform"]
    assert {name: arm.tokenizer for name, arm in arms.items() if arm.tokenizer != "parity"} == {"skewed-tokenizer": "skewed"}


def test_a_change_of_an_arm_makes_no_text_anew(settings: list[str]) -> None:
    one, other = (build("balance_study", [*settings, f"seeds={seeds}"], RECIPES) for seeds in (5, 6))
    assert one.results["study-data"] == other.results["study-data"]
    assert one.results["arms"] != other.results["arms"]
    assert protocol_in(other).seeds == 6


def test_a_placebo_outside_the_languages_is_refused(settings: list[str]) -> None:
    with pytest.raises(UserError, match="placebo names 'fr', which is not among the languages"):
        build("balance_study", [*settings, "placebo=fr"], RECIPES)


def test_a_language_without_text_is_refused_when_the_recipe_is_built(settings: list[str], tmp_path: Path) -> None:
    (tmp_path / "text" / "th" / "own.jsonl").unlink()
    with pytest.raises(UserError, match="th"):
        build("balance_study", settings, RECIPES)
