"""Steps: arguments are checked when they are built, and an address says what is computed and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest

from polyglot_lm.pipeline import Counters, Runtime, Step, in_order, run_steps, stage


@stage(version=1)
def make(out: Path, *, value: Any = 0, parents: Any = (), runtime: Runtime = Runtime()) -> Counters:
    (out / "workers").write_text(str(runtime.workers))
    return {"parents": str(parents)}


@stage(version=2)
def make_anew(out: Path, *, value: Any = 0, parents: Any = ()) -> Counters:
    return {}


def test_an_address_is_the_name_and_eight_hex_digits() -> None:
    assert re.fullmatch(r"corpus/ko-[0-9a-f]{8}", make.step("corpus/ko").address)


@pytest.mark.parametrize("wrong", [{"valeu": 1}, {"out": Path()}, {"runtime": Runtime()}, {"value": Path("here")}])
def test_arguments_that_do_not_fit_are_refused_when_the_step_is_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        make.step("corpus/ko", **wrong)


def test_a_missing_argument_is_refused_when_the_step_is_built() -> None:
    @stage(version=1)
    def needs(out: Path, *, value: int) -> Counters:
        return {}

    with pytest.raises(TypeError, match="value"):
        needs.step("needs")


def test_name_version_and_arguments_each_change_the_address() -> None:
    steps = [make.step("a"), make.step("b"), make_anew.step("a"), make.step("a", value=1), make.step("a", value=1.0)]
    assert len({step.address.rpartition("-")[2] for step in steps}) == len(steps)
    assert make.step("a", value=1, parents=()) == make.step("a", parents=[], value=1)


def test_a_changed_step_changes_the_addresses_of_all_that_follow_it() -> None:
    def grandchild(value: int) -> Step:
        return make.step("c", parents={"of": (make.step("b", parents=make.step("a", value=value)),)})

    assert grandchild(1) == grandchild(1)
    assert grandchild(1).address != grandchild(2).address
    assert len({grandchild(1), grandchild(2), grandchild(1)}) == 2


def test_steps_come_once_and_after_their_parents() -> None:
    top = make.step("top")
    left, right = make.step("left", parents=top), make.step("right", parents=[top, {"again": top}])
    bottom = make.step("bottom", parents={"l": left, "r": (right,)})
    assert [step.name for step in in_order([bottom, left])] == ["top", "left", "right", "bottom"]
    assert right.parents == (top,)


def test_a_step_among_the_arguments_arrives_as_its_folder(tmp_path: Path) -> None:
    seen: list[Any] = []

    @stage(version=1)
    def look(out: Path, *, one: Path, many: Any) -> Counters:
        seen.extend([one, many])
        return {}

    top = make.step("top")
    run_steps([look.step("look", one=top, many={"ko": (top, 3)})], Runtime(root=tmp_path))
    assert seen == [tmp_path / top.address, {"ko": (tmp_path / top.address, 3)}]


def test_where_a_step_runs_is_in_no_address(tmp_path: Path) -> None:
    step = make.step("a", value=1)
    for workers in (1, 7):
        folders = run_steps([step], Runtime(root=tmp_path / str(workers), workers=workers, threads=workers))
        assert folders["a"].name == step.address
        assert (folders["a"] / "workers").read_text() == str(workers)


def test_a_stage_is_a_plain_function_of_a_folder(tmp_path: Path) -> None:
    assert make(tmp_path, value=1, parents="x") == {"parents": "x"}
    assert make.reference == f"{__name__}:make"
