"""Recipes by name; a recipe of one's own is `file.py:function`."""

from polyglot_lm.recipes.recipe import Recipe, build

RECIPES = {
    "quickstart": "polyglot_lm.recipes.quickstart:quickstart",
    "corpus": "polyglot_lm.recipes.corpus:corpus",
    "continued": "polyglot_lm.recipes.continued:continued",
    "tokenizer": "polyglot_lm.recipes.tokenizer:tokenizer",
    "east_asian": "polyglot_lm.recipes.east_asian:east_asian",
    "polyglot_ko": "polyglot_lm.recipes.polyglot_ko:polyglot_ko",
    "references": "polyglot_lm.recipes.references:references",
}

__all__ = ["RECIPES", "Recipe", "build"]
