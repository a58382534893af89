"""A recipe is a function with keyword parameters that returns steps; reading it shows the whole experiment.

`build` finds one by name (or `module:function` of the user's), fills in parameters given as text, and checks them. Nothing is
built at import, and nothing here runs.
"""

import difflib
import importlib
import importlib.util
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.mixture.supply import SupplyPlan
from polyglot_lm.pipeline import Step, UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What to bring to done, by the name under which a person finds it; `report` and `model` are shown at the end, if there.

    `supply` is what `plan` shows of the text that there is.
    """

    results: Mapping[str, Step]
    supply: SupplyPlan | None = None

    @property
    def targets(self) -> tuple[Step, ...]:
        return tuple(self.results.values())


RecipeFunction = Callable[..., Recipe]


def build(name: str, settings: Iterable[str], known: Mapping[str, str]) -> Recipe:
    """Build a recipe; `settings` are KEY=VALUE, `known` maps names to `module:function`.

    Raises UserError for an unknown recipe or parameter, or a value of the wrong type or out of bounds.
    """
    function = find(name, known)
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function)
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting!r} has no '='; write --set NAME=VALUE")
        if key not in parameters:
            raise UserError(f"recipe {name!r} has no parameter {key!r}{suggestion(key, parameters)}")
        values[key] = parse(key, text, hints[key])
    missing = [key for key, found in parameters.items() if found.default is found.empty and key not in values]
    if missing:
        raise UserError(f"recipe {name!r} needs {missing[0]!r}; write --set {missing[0]}=VALUE")
    try:
        return function(**values)
    except ValueError as error:  # a bound that a configuration checks; its message names value and fix
        raise UserError(str(error)) from error


def suggestion(word: str, known: Iterable[str]) -> str:
    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(choices)}"


def find(name: str, known: Mapping[str, str]) -> RecipeFunction:
    """Return the function behind a built-in name, `module:function` or `file.py:function`."""
    place, colon, attribute = known.get(name, name).partition(":")
    if not colon:
        raise UserError(f"no recipe {name!r}{suggestion(name, known)} (or give file.py:function)")
    try:
        module = load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        function: RecipeFunction = getattr(module, attribute)
    except (ImportError, AttributeError, FileNotFoundError, ValueError) as error:
        raise UserError(f"recipe {name!r} cannot be loaded ({error}); check the path and the function's name") from error
    if not callable(function):
        raise UserError(f"recipe {name!r} cannot be loaded ({attribute} is no function); check the function's name")
    return function


def load_file(path: Path) -> types.ModuleType:
    specification = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    if specification is None or specification.loader is None or not path.exists():
        raise FileNotFoundError(f"no file {path}")
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    specification.loader.exec_module(module)
    return module


def parse(key: str, text: str, hint: Any) -> Any:
    """Read text as the type a parameter is annotated with; raises UserError that names the type."""
    if typing.get_origin(hint) is tuple:
        return tuple(parse(key, item.strip(), typing.get_args(hint)[0]) for item in text.split(",") if item.strip())
    if typing.get_origin(hint) is typing.Literal:
        if text not in typing.get_args(hint):
            raise UserError(f"{key} is {text!r}; it must be one of {', '.join(map(str, typing.get_args(hint)))}")
        return text
    if hint is int or hint is float:
        try:
            value = hint(text.replace("_", ""))
        except ValueError:
            kind = "a whole number" if hint is int else "a number"
            raise UserError(f"{key} is {text!r}; it must be {kind}") from None
        if not math.isfinite(value):
            raise UserError(f"{key} is {text!r}; it must be finite")
        return value
    if hint is bool:
        if text not in ("true", "false"):
            raise UserError(f"{key} is {text!r}; it must be true or false")
        return text == "true"
    if hint is str:
        return text
    raise TypeError(f"parameter {key} has type {hint}, which cannot be given on the command line")
