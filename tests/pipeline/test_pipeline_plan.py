"""Plan and why: what would run, and which field is the reason."""

from pathlib import Path
from typing import Any

import pytest

from polyglot_lm.pipeline import Counters, Runtime, Step, plan, run_steps, stage, why


@stage(version=1)
def make(out: Path, *, value: Any = 0, parents: Any = ()) -> Counters:
    (out / "file").write_text("x" * 10)
    return {}


@stage(version=1, resumable=True)
def grow(out: Path, *, value: Any = 0, parents: Any = ()) -> Counters:
    (out / "begun").touch()
    if value == "cut":
        raise ValueError("cut")
    return {}


def recipe(value: int) -> Step:
    middle = make.step("middle", value=value, parents=make.step("top"))
    return make.step("bottom", parents={"ko": middle})


def test_a_plan_says_what_is_done_what_resumes_and_what_runs(tmp_path: Path) -> None:
    step = grow.step("training", value="cut", parents=make.step("top"))
    last = make.step("report", parents=step)
    assert [planned.state for planned in plan([last], tmp_path)] == ["runs", "runs", "runs"]
    with pytest.raises(ValueError, match="cut"):
        run_steps([last], Runtime(root=tmp_path))
    planned = plan([last], tmp_path)
    assert [(row.step.name, row.state) for row in planned] == [("top", "done"), ("training", "resumes"), ("report", "runs")]
    assert planned[0].measurements["bytes_on_disk"] == 10
    assert planned[2].measurements == {}


def test_what_a_step_will_cost_is_known_from_its_nearest_relative(tmp_path: Path) -> None:
    run_steps([recipe(1)], Runtime(root=tmp_path))
    planned = plan([recipe(2)], tmp_path)
    assert [(row.state, row.measurements["bytes_on_disk"]) for row in planned] == [("done", 10), ("runs", 10), ("runs", 10)]


def test_why_follows_parents_to_the_first_cause(tmp_path: Path) -> None:
    assert why(recipe(1), tmp_path) == [f"bottom must run: no finished folder of that name is under {tmp_path}"]
    run_steps([recipe(1)], Runtime(root=tmp_path))
    old, new = recipe(1), recipe(2)
    assert why(old, tmp_path) == [f"bottom is done in {tmp_path / old.address}"]
    was, will = old.parents[0].address, new.parents[0].address
    assert why(new, tmp_path) == [
        f"bottom must run: nearest finished is {old.address}, which differs in",
        f"  parents.ko: {was} -> {will}",
        f"    middle must run: nearest finished is {was}, which differs in",
        "      value: 1 -> 2",
    ]


def test_why_compares_with_the_nearest_relative(tmp_path: Path) -> None:
    for value in ({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 9, "b": 9}):
        run_steps([make.step("top", value=value)], Runtime(root=tmp_path))
    lines = why(make.step("top", value={"a": 1, "b": 2, "c": "x" * 100}), tmp_path)
    assert lines[0].endswith(f"{make.step('top', value={'a': 1, 'b': 2}).address}, which differs in")
    assert lines[1:] == [f"  value.c: absent -> {'x' * 77}..."]


def test_a_relative_is_found_under_a_name_with_brackets(tmp_path: Path) -> None:
    run_steps([make.step("documents/ko/news [2024]", value=1)], Runtime(root=tmp_path))
    assert why(make.step("documents/ko/news [2024]", value=2), tmp_path)[1:] == ["  value: 1 -> 2"]
