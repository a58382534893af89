"""The recipes of real models build and plan without a network, and say what their text lacks."""

import json
from pathlib import Path
from typing import Any

import pytest

from polyglot_lm.languages import languages
from polyglot_lm.mixture import Budget, Explicit, Repeats, Schedule, UniMax
from polyglot_lm.mixture.weights import FINEWEB2
from polyglot_lm.pipeline import Step, UserError, in_order, plan
from polyglot_lm.recipes import RECIPES, Recipe, build

NAMES = ("east_asian", "polyglot_ko")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("building a recipe asked the hub")

    monkeypatch.setattr("polyglot_lm.corpus.hub.current_revision", refuse)


def built(name: str, *settings: str) -> Recipe:
    return build(name, settings, RECIPES)


def steps(recipe: Recipe) -> dict[str, Step]:
    return {step.name: step for step in in_order(recipe.targets)}


@pytest.mark.parametrize("name", NAMES)
def test_they_plan_offline_from_sources_to_mixture(name: str, tmp_path: Path) -> None:
    recipe = built(name)
    planned = [row.step.name for row in plan(recipe.targets, tmp_path)]
    assert {"documents/ko/fineweb-2", "documents/ko/wikipedia", "corpus/ko", "tokens/ko/public", "tokenizer", "mixture"} <= {
        *planned
    }
    assert recipe.supply is not None and recipe.supply.sentences()
    assert list(tmp_path.iterdir()) == []


def test_the_east_asian_recipe_reads_eight_languages_each_from_its_own_data_sets() -> None:
    found = steps(built("east_asian"))
    assert {name for name in found if name.startswith("tokens/")} == {f"tokens/{code}/public" for code in languages()}
    assert "documents/en/fineweb" in found and "documents/en/fineweb-2" not in found
    source = found["documents/th/fineweb-2"].arguments["source"]
    assert (source.dataset, source.config, source.revision) == ("HuggingFaceFW/fineweb-2", "tha_Thai", "main")
    mixture = found["mixture"].arguments
    budget = Budget(amount=500e9, unit="tokens")
    assert mixture["policy"] == UniMax(unit="english_bytes", budget=budget) and mixture["budget"] == budget
    assert (
        mixture["repeats"] == Repeats() and steps(built("east_asian", "rehydrate=true"))["mixture"].arguments["repeats"] == FINEWEB2
    )


def test_no_more_is_streamed_than_the_budget_takes() -> None:
    """500 B tokens of 4 bytes, of which English has 13.4 %: 268 GB-eq., twice for what cleaning takes; all of Malay."""
    found = steps(built("east_asian"))
    assert found["documents/en/fineweb"].arguments["source"].max_bytes == pytest.approx(2 * 268.4e9, rel=1e-2)
    assert found["documents/ms/fineweb-2"].arguments["source"].max_bytes == pytest.approx(2 * 34.3e9, rel=1e-3)


@pytest.mark.parametrize(("size", "billions"), [("1.3b", 213), ("3.8b", 219), ("5.8b", 172), ("12.8b", 167)])
def test_the_korean_recipe_has_the_tokens_of_the_released_models(size: str, billions: int) -> None:
    recipe = built("polyglot_ko", f"size={size}")
    assert steps(recipe)["mixture"].arguments["budget"].amount == billions * 1e9
    assert recipe.supply is not None
    assert any("863 GB of Korean" in sentence for sentence in recipe.supply.sentences())


def test_folders_of_ones_own_come_first_and_count(tmp_path: Path) -> None:
    (tmp_path / "ko.jsonl").write_text('{"text": "' + "가" * 1000 + '"}\n')
    recipe = built("polyglot_ko", f"own={tmp_path}")
    assert f"documents/ko/{tmp_path.name}" in steps(recipe)
    assert recipe.supply is not None
    assert recipe.supply.rows[0].texts[0].license == "yours"
    alone = built("polyglot_ko", f"own={tmp_path}", "datasets=", "max_epochs=1e12").supply
    assert alone is not None and alone.rows[0].held["bytes"] == 3013


def test_measured_premiums_take_the_place_of_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "premiums.json"
    path.write_text(json.dumps({"ko": 1.5, "xx": 3}))
    found = steps(built("east_asian", f"byte_premiums={path}"))
    assert found["tokens/ko/public"].arguments["byte_premium"] == 1.5
    assert found["tokens/th/public"].arguments["byte_premium"] == languages()["th"].byte_premium
    for text, message in (("[]", "holds no byte premiums"), ('{"ko": -1}', r"has the byte premium -1\.0 for ko")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            built("east_asian", f"byte_premiums={path}")


def test_a_mixture_is_chosen_by_name_weights_or_stages() -> None:
    def policy(text: str, *more: str) -> Any:
        return steps(built("east_asian", f"policy={text}", "tokens_billions=50", "max_epochs=9", *more))["mixture"].arguments[
            "policy"
        ]

    assert isinstance(policy("xglm"), Explicit) and policy("xglm").floor == 0.01
    assert policy("ko:1,en:3", "languages=ko,en").weights == {"ko": 1.0, "en": 3.0}
    assert isinstance(policy("uniform@0.9 natural@1"), Schedule)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["policy=uniform"],
            "a budget of 500 B tokens is above 4 epochs: ms lacks 31.8 B tokens (8.1 epochs of 7.67 B tokens); 245 B",
        ),
        (["tokens_billions=200000"], "above 4 epochs: ms lacks"),
        (["policy=xglm", "floor=0"], "there is no weight for ms; set floor=0.01"),
        (["policy=ko:-1,en:1"], "the weight of ko is -1.0; it must be finite and 0 or more"),
        (["policy=ko:0,en:0"], "one at least must be above 0"),
        (["policy=unimaxx"], "no policy 'unimaxx'; did you mean 'unimax'?"),
        (["datasets=oscar"], "no public data set 'oscar'; there are wikimedia/wikipedia"),
        (["datasets=wikimedia/wikipedia"], "no source states how much text of 'ko' it has; add a data set that does"),
        (["headroom=0.5"], "headroom is 0.5; it must be 1 or more"),
        (["tokens_billions=0"], "amount of the budget is 0.0; it must be positive and finite"),
        (["max_epochs=0"], "max_epochs of the budget is 0.0"),
        (["byte_premiums=nowhere.json"], "nowhere.json holds no byte premiums"),
        (["vocab_size=1000"], "vocab_size"),
        (["own=/nowhere"], "source '/nowhere' is no folder"),
    ],
)
def test_what_cannot_be_read_is_said_before_anything_runs(settings: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        built("east_asian", *settings)
    assert message in str(caught.value)
