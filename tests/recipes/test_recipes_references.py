"""References of a recipe: the same model and text, one language each, as much of it as asked."""

import pytest

from polyglot_lm.corpus.chromium import CATALOGUE
from polyglot_lm.pipeline import Step, UserError, in_order
from polyglot_lm.recipes import RECIPES, build

SMALL = "base_settings=steps=160,batch_windows=8"


def trainings(*settings: str) -> dict[str, Step]:
    recipe = build("references", [SMALL, *settings], RECIPES)
    return {step.name.removeprefix("reference-training/"): step for step in in_order(recipe.targets) if "training/" in step.name}


def test_a_reference_reads_one_language_of_the_joint_models_text() -> None:
    base = {step.name: step for step in in_order(build("quickstart", ["steps=160"], RECIPES).targets)}
    found = trainings()
    assert list(found) == [f"{code}-1-1" for code in "ko zh ja id ms vi th en".split()]
    for key, step in found.items():
        code = key.split("-")[0]
        assert [each.arguments["language"] for each in step.arguments["tokens"].values()] == [code]
        assert list(step.arguments["corpora"]) == [code]
        assert step.arguments["corpora"][code] == base["training"].arguments["corpora"][code]
        assert step.arguments["model"] == base["training"].arguments["model"]
        assert step.arguments["tokenizer"] == base["tokenizer"]
        config = step.arguments["training"]
        assert config.steps * config.batch_windows == 160 * 8 / 8  # an eighth of the windows
        assert config.batch_windows == 2


def test_contents_and_rates_are_multiplied_out() -> None:
    found = trainings("languages=th,en", "content=0.25,8", "rates=0.5,2")
    assert list(found) == ["th-0.25-0.5", "th-0.25-2", "th-8-0.5", "th-8-2", "en-0.25-0.5", "en-0.25-2", "en-8-0.5", "en-8-2"]
    whole, part = found["th-8-2"].arguments, found["th-0.25-0.5"].arguments
    assert whole["training"].steps == 32 * part["training"].steps == 640
    assert whole["optim"].learning_rate == 4 * part["optim"].learning_rate
    assert part["optim"].warmup_steps <= part["training"].steps // 10


def test_what_a_base_recipe_has_not_is_named() -> None:
    with pytest.raises(UserError, match="has no language 'xx'"):
        trainings("languages=xx")
    with pytest.raises(UserError, match="batch_divisor is 3; it must divide"):
        trainings("batch_divisor=3")
    with pytest.raises(UserError, match="recipe 'corpus' has 0 steps that train"):
        build("references", ["base=corpus", f"base_settings=languages=ko,sources={CATALOGUE}"], RECIPES)
