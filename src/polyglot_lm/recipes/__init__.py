"""Recipes by name; a recipe of one's own is `file.py:function`."""

from polyglot_lm.pipeline import Step, in_order
from polyglot_lm.recipes.recipe import Recipe, build

RECIPES = {
    "quickstart": "polyglot_lm.recipes.quickstart:quickstart",
    "corpus": "polyglot_lm.recipes.corpus:corpus",
    "continued": "polyglot_lm.recipes.continued:continued",
    "tokenizer": "polyglot_lm.recipes.tokenizer:tokenizer",
    "east_asian": "polyglot_lm.recipes.east_asian:east_asian",
    "polyglot_ko": "polyglot_lm.recipes.polyglot_ko:polyglot_ko",
    "references": "polyglot_lm.recipes.references:references",
    "balance_study": "polyglot_lm.recipes.balance_study:balance_study",
    "study_data": "polyglot_lm.recipes.balance_study:study_data",
    "synergy": "polyglot_lm.recipes.synergy:synergy",
    "ladder": "polyglot_lm.recipes.ladder:ladder",
    "small_east_asian": "polyglot_lm.recipes.small_east_asian:small_east_asian",
}

MODELS = (  # of which `polyglot models` tells: a recipe and its settings
    ("quickstart", ()),
    *(("polyglot_ko", (f"size={size}",)) for size in ("1.3b", "3.8b", "5.8b", "12.8b")),
    ("east_asian", ()),
)


def steps_of_models() -> dict[str, list[Step]]:
    """Return the steps of every model that the recipes make, by what one types after `polyglot run`."""
    return {
        " ".join([name, *(f"--set {setting}" for setting in settings)]): in_order(build(name, settings, RECIPES).targets)
        for name, settings in MODELS
    }


__all__ = ["RECIPES", "Recipe", "build", "steps_of_models"]
