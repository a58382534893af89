"""What several verbs take and do: the recipe, its settings, the root folder, the terminal, the last sentence."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglot_lm.pipeline import Progress

if TYPE_CHECKING:
    from polyglot_lm.recipes import Recipe

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A built-in name (quickstart) or FILE.py:FUNCTION.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter of the recipe.")]
DEFAULT_ROOT = Path("runs")
Root = Annotated[Path, typer.Option(help="Folder of all results.", envvar="POLYGLOT_ROOT")]


def fail(message: str, code: int) -> int:
    print(f"polyglot: {message}", file=sys.stderr)
    return code


def terminal() -> Progress:
    from rich.console import Console

    return Progress(Console(stderr=True))


def recipe_named(name: str, settings: list[str] | None) -> "Recipe":
    from polyglot_lm.recipes import RECIPES, build

    return build(name, settings or [], RECIPES)


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))
