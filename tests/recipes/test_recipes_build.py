"""Building a recipe: parameters given as text are read, checked, and refused in one sentence."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from polyglot_lm.pipeline import UserError
from polyglot_lm.recipes import Recipe, build

SOURCE = """
    from typing import Literal

    from polyglot_lm.pipeline import stage
    from polyglot_lm.recipes import Recipe

    @stage(version=1)
    def make(out, *, value):
        return {}

    def mine(
        *,
        count: int = 1,
        rate: float = 0.5,
        fast: bool = False,
        name: str = "a",
        codes: tuple[str, ...] = ("ko",),
        sizes: tuple[int, ...] = (1, 2),
        kind: Literal["adamw", "muon"] = "muon",
    ) -> Recipe:
        if count < 0:
            raise ValueError(f"count is {count}; it must be at least 0")
        values = dict(count=count, rate=rate, fast=fast, name=name, codes=codes, sizes=sizes, kind=kind)
        step = make.step("a", value=values)
        return Recipe(results={"model": step})

    def needy(*, steps: int) -> Recipe:
        return mine(count=steps)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_recipe.py"
    path.write_text(dedent(SOURCE))
    return path


def values(recipe: Recipe) -> Any:
    return dict(recipe.results["model"].arguments["value"])


def test_a_recipe_comes_from_a_file_of_ones_own(file: Path) -> None:
    recipe = build(f"{file}:mine", [], {})
    assert recipe.targets == tuple(recipe.results.values())
    assert values(recipe)["count"] == 1
    assert build("ours", [], {"ours": f"{file}:mine"}).results == recipe.results


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("count=1_000", 1000),
        ("count=-0", 0),
        ("rate=1e-3", 0.001),
        ("rate=2", 2.0),
        ("fast=true", True),
        ("fast=false", False),
        ("name=b=c", "b=c"),
        ("name=", ""),
        ("codes=ko, en,", ("ko", "en")),
        ("codes=", ()),
        ("sizes=3,4", (3, 4)),
        ("kind=adamw", "adamw"),
    ],
)
def test_a_setting_is_read_as_the_type_of_its_parameter(file: Path, setting: str, value: object) -> None:
    found = values(build(f"{file}:mine", [setting], {}))[setting.partition("=")[0]]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("cuont=3", "has no parameter 'cuont'; did you mean 'count'?"),
        ("zzz=3", "has no parameter 'zzz'; there are count, rate, fast"),
        ("count", "--set 'count' has no '='; write --set NAME=VALUE"),
        ("count=many", "count is 'many'; it must be a whole number"),
        ("count=1.5", "count is '1.5'; it must be a whole number"),
        ("rate=fast", "rate is 'fast'; it must be a number"),
        ("rate=nan", "rate is"),
        ("rate=inf", "rate is"),
        ("fast=yes", "fast is 'yes'; it must be true or false"),
        ("sizes=1,b", "sizes is 'b'; it must be a whole number"),
        ("kind=sgd", "kind is 'sgd'; it must be one of adamw, muon"),
        ("count=-1", "count is -1; it must be at least 0"),
    ],
)
def test_a_wrong_setting_is_said_in_a_sentence(file: Path, setting: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(f"{file}:mine", [setting], {})
    assert message in str(caught.value)


def test_a_parameter_without_a_default_must_be_given(file: Path) -> None:
    assert values(build(f"{file}:needy", ["steps=5"], {}))["count"] == 5
    with pytest.raises(UserError, match="steps"):
        build(f"{file}:needy", [], {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quickstrt", "no recipe 'quickstrt'; did you mean 'quickstart'?"),
        ("zzz", "no recipe 'zzz'; there are quickstart"),
        ("nowhere.py:mine", "recipe 'nowhere.py:mine' cannot be loaded (no file nowhere.py)"),
        ("no.such.module:mine", "recipe 'no.such.module:mine' cannot be loaded"),
        ("{file}:theirs", "has no attribute 'theirs'"),
        (":mine", "recipe ':mine' cannot be loaded"),
        ("{file}:SOURCE", "cannot be loaded"),
    ],
)
def test_a_recipe_that_is_not_there_is_said_in_a_sentence(file: Path, name: str, message: str) -> None:
    with file.open("a") as more:
        more.write("\nSOURCE = 'no function'\n")
    with pytest.raises(UserError) as caught:
        build(name.format(file=file), [], {"quickstart": "polyglot_lm.recipes.quickstart:quickstart"})
    assert message in str(caught.value)


def test_a_file_may_have_configurations_and_postponed_annotations(file: Path) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Mine:\n    a: int\n"
    file.write_text(head + dedent(SOURCE))
    assert values(build(f"{file}:mine", ["count=7"], {}))["count"] == 7
