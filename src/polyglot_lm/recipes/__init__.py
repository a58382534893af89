"""Recipes by name; a recipe of one's own is `file.py:function`."""

from polyglot_lm.recipes.recipe import Recipe, build

RECIPES = {
    "quickstart": "polyglot_lm.recipes.quickstart:quickstart",
    "corpus": "polyglot_lm.recipes.corpus:corpus",
    "tokenizer": "polyglot_lm.recipes.tokenizer:tokenizer",
}

__all__ = ["RECIPES", "Recipe", "build"]
