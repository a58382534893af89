"""Recipes by name; a recipe of one's own is `file.py:function`."""

from polyglot_lm.recipes.recipe import Recipe, build

RECIPES = {
    "quickstart": "polyglot_lm.recipes.quickstart:quickstart",
    "corpus": "polyglot_lm.recipes.corpus:corpus",
    "references": "polyglot_lm.recipes.references:references",
}

__all__ = ["RECIPES", "Recipe", "build"]
