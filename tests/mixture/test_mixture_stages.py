"""Stages, repeats and steering: what a mixture says beyond one share a source, by hand and against slow twins."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.mixture import (
    MIXTURE_FILE,
    UNITS,
    Budget,
    Explicit,
    Repeats,
    Schedule,
    Shares,
    Stage,
    Temperature,
    Uniform,
    UniMax,
    epochs,
    plan_mixture,
    read_occurrences,
    read_shares,
    read_stages,
    schedule_named,
)
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.mixture.steering import Steering
from polyglot_lm.mixture.weights import FINEWEB2, as_json, from_json
from polyglot_lm.pipeline import UserError, read_json
from polyglot_lm.shards import EncodedDocument, TokenDataset, write_tokens

BUDGET = Budget(amount=1000, unit="tokens")


def write_source(
    folder: Path, language: str, byte_premium: float, rows: list[tuple[int, int]], qualities: list[float | None] | None = None
) -> Path:
    """Write documents of (tokens, cluster size); every token is 3 bytes."""
    found = qualities or [None] * len(rows)
    documents = (
        EncodedDocument(id=str(n), tokens=[*[100] * (length - 1), 2], num_bytes=3 * length, cluster_size=size, quality=quality)
        for n, ((length, size), quality) in enumerate(zip(rows, found, strict=True))
    )
    description = {"lang": language, "source": "web", "byte_premium": byte_premium, "tokenizer": "t", "upstream": []}
    write_tokens(folder, documents, 512, description)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Korean from two sources of 100 and 300 tokens, Thai (premium 3) of 200."""
    return {
        "ko/web": write_source(tmp_path / "a", "ko", 1.0, [(50, 1), (50, 3)]),
        "ko/books": write_source(tmp_path / "b", "ko", 1.0, [(150, 1), (150, 1)]),
        "th/web": write_source(tmp_path / "c", "th", 3.0, [(100, 1), (100, 1)]),
    }


def test_a_language_reads_its_sources_in_proportion_to_what_they_hold(tmp_path: Path, folders: dict[str, Path]) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=0)
    shares, _, _ = read_shares(tmp_path)
    assert shares.values == pytest.approx({"ko/web": 0.125, "ko/books": 0.375, "th/web": 0.5})


def test_a_mixture_changes_by_stages_all_in_one_unit(tmp_path: Path, folders: dict[str, Path]) -> None:
    first, last = Uniform(unit="english_bytes"), Temperature(unit="tokens", alpha=1.0)
    schedule = Schedule(stages=(Stage(until=0.75, policy=first), Stage(until=1.0, policy=last)))
    plan_mixture(tmp_path, tokens=folders, policy=schedule, seed=0)
    stages = read_stages(tmp_path)
    assert [stage.until for stage in stages] == [0.75, 1.0]
    assert {stage.shares.unit for stage in stages} == {"english_bytes"}
    assert read_shares(tmp_path)[0] == stages[0].shares
    # natural, in tokens: ko 400 to th 200; in English-equivalent bytes Thai's tokens hold a third: 6 to 1
    assert stages[1].shares.values["th/web"] == pytest.approx(1 / 7)
    # tokens of the whole: uniform content is ko 1/4, th 3/4 for three quarters; natural is ko 2/3, th 1/3 for a quarter
    whole = read_json(tmp_path / MIXTURE_FILE)["shares_in"]["tokens"]
    assert whole["th/web"] == pytest.approx(0.75 * 0.75 + 0.25 / 3)
    assert epochs(tmp_path, 400)["th/web"] == pytest.approx(400 * whole["th/web"] / 200)


def test_one_policy_is_one_stage(tmp_path: Path, folders: dict[str, Path]) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="bytes"), seed=0)
    assert [(stage.until, stage.shares) for stage in read_stages(tmp_path)] == [(1.0, read_shares(tmp_path)[0])]


@pytest.mark.parametrize("ends", [[0.5], [0.5, 0.5, 1.0], [0.8, 0.2, 1.0], [0.5, 1.5], [0.0, 1.0], []])
def test_stages_must_rise_to_one(ends: list[float]) -> None:
    with pytest.raises(ValueError, match="these must rise from above 0 and the last be 1"):
        Schedule(stages=tuple(Stage(until=end, policy=Uniform(unit="bytes")) for end in ends))


def test_a_schedule_is_read_as_it_is_written() -> None:
    read = schedule_named("uniform@0.5 natural@0.9 unimax@1", unit="bytes", budget=BUDGET)
    assert isinstance(read, Schedule)
    assert [stage.until for stage in read.stages] == [0.5, 0.9, 1.0]
    last = read.stages[2].policy
    assert isinstance(last, UniMax) and last.budget.amount == pytest.approx(100)
    assert schedule_named("uniform", unit="bytes", budget=None) == Uniform(unit="bytes")
    with pytest.raises(UserError, match="stage 'natural' is no POLICY@PART"):
        schedule_named("uniform@0.5 natural", unit="bytes", budget=None)


def test_a_budget_above_the_cap_is_refused_before_anything_is_written(tmp_path: Path, folders: dict[str, Path]) -> None:
    budget = Budget(amount=2000, unit="tokens")
    with pytest.raises(UserError, match=r"th lacks 700 tokens \(7\.5 epochs of 200 tokens\); 1,067 tokens would fit"):
        plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=0, budget=budget)
    assert not (tmp_path / MIXTURE_FILE).exists()
    plan_mixture(tmp_path, tokens=folders, policy=UniMax(unit="english_bytes", budget=budget), seed=0, budget=budget)
    assert epochs(tmp_path, 2000)["th/web"] == pytest.approx(4)
    with pytest.raises(UserError, match=r"2,400 tokens would fit"):
        too_much = Budget(amount=2401, unit="tokens")
        plan_mixture(tmp_path, tokens=folders, policy=UniMax(unit="bytes", budget=too_much), seed=0, budget=too_much)


def test_stages_together_must_keep_the_cap(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Each stage alone would do."""
    thai = Explicit(unit="tokens", weights={"th": 9.0, "ko": 1.0})
    schedule = Schedule(stages=(Stage(until=0.5, policy=thai), Stage(until=1.0, policy=thai)))
    with pytest.raises(UserError, match="th lacks"):
        plan_mixture(tmp_path, tokens=folders, policy=schedule, seed=0, budget=BUDGET)


SIZES = st.lists(st.integers(0, 3000), min_size=1, max_size=30)


@given(SIZES)
def test_fineweb2s_weights_are_looked_up_as_in_its_table(sizes: list[int]) -> None:
    def slow(size: int) -> int:
        return next(times for start, times in [(1000, 1), (100, 8), (5, 5), (3, 3), (2, 2), (0, 1)] if size >= start)

    times = FINEWEB2.occurrences(np.array(sizes), np.zeros(len(sizes)))
    assert times.dtype == np.uint8 and times.tolist() == [slow(size) for size in sizes]


@given(st.lists(st.floats(0, 1), min_size=1))
def test_quality_multiplies_what_the_cluster_says(ranks: list[float]) -> None:
    repeats = Repeats(by_cluster_size=((1, 2),), by_quality=((0.0, 0), (0.25, 1), (0.75, 3)))
    times = repeats.occurrences(np.ones(len(ranks), np.int64), np.array(ranks))
    assert times.tolist() == [2 * (0 if rank < 0.25 else 1 if rank < 0.75 else 3) for rank in ranks]
    assert from_json(as_json(repeats)) == repeats


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by_cluster_size": ()}, "by_cluster_size starts at"),
        ({"by_cluster_size": ((2, 1),)}, "it must begin with 1 and rise"),
        ({"by_cluster_size": ((1, 1), (1, 2))}, "it must begin with 1 and rise"),
        ({"by_quality": ((0.0, 0),)}, "one above 0"),
        ({"by_quality": ((0.0, -1), (0.5, 1))}, "0 or more"),
        ({"by_cluster_size": ((1, 16),), "by_quality": ((0.0, 16),)}, "may be read 256 times"),
    ],
)
def test_wrong_repeats_are_refused(changes: dict[str, tuple[tuple[int, int], ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Repeats(**changes)  # type: ignore[arg-type]


def test_repeats_weigh_a_source_and_spend_the_cap_of_what_is_there_once(tmp_path: Path, folders: dict[str, Path]) -> None:
    """`ko/web` has 50 tokens once and 50 three times in an epoch: 200 of 500 that Korean reads, but 100 that are there."""
    repeats = Repeats(by_cluster_size=((1, 1), (3, 3)))
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=0, repeats=repeats)
    read = read_json(tmp_path / MIXTURE_FILE)
    assert read["shares"]["ko/web"] == pytest.approx(0.5 * 200 / 500)
    assert read["supply_tokens"] == {"ko/web": 100, "ko/books": 300, "th/web": 200}
    datasets = {name: TokenDataset(folder) for name, folder in folders.items()}
    assert {name: times.tolist() for name, times in read_occurrences(tmp_path, datasets).items()} == {
        "ko/web": [1, 3],
        "ko/books": [1, 1],
        "th/web": [1, 1],
    }
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=0)
    assert read_occurrences(tmp_path, datasets) == {}


def test_repeats_that_leave_nothing_of_a_source_name_it(tmp_path: Path, folders: dict[str, Path]) -> None:
    repeats = Repeats(by_cluster_size=((1, 0), (3, 1)))
    with pytest.raises(UserError, match="the repeats leave no document of ko/books, th/web"):
        plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="bytes"), seed=0, repeats=repeats)


@pytest.mark.parametrize("unit", UNITS)
def test_steering_speaks_the_samplers_language(tmp_path: Path, folders: dict[str, Path], unit: str) -> None:
    """Thai lags; its share of content rises, sources of Korean keep their proportion, and the unit is the mixture's."""
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit=unit), seed=0)  # type: ignore[arg-type]
    steering = Steering(tmp_path, Equaliser(references={"ko": 1.0, "th": 1.0}, begins=0.0), total_tokens=1000)
    shares, held, _ = read_shares(tmp_path)
    amounts = {name: share * 300 for name, share in shares.values.items()}
    steering.observe(amounts, {"ko": 1.0, "th": 1.2})
    assert steering.controller.contents[0] == pytest.approx(
        {"ko": sum(amounts[name] / held[name] * 3 for name in ("ko/web", "ko/books")), "th": amounts["th/web"] / held["th/web"]}
    )
    proposed = steering.propose()
    assert proposed is not None and proposed.unit == unit
    assert proposed.values["th/web"] > shares.values["th/web"]
    assert proposed.values["ko/books"] / proposed.values["ko/web"] == pytest.approx(3)
    assert steering.decision is not None and steering.decision["method"] == "gradient"
    again = Steering(tmp_path, Equaliser(references={"ko": 1.0, "th": 1.0}, begins=0.0), total_tokens=1000)
    again.load_state(steering.state())
    assert again.propose() == steering.propose()


def test_a_mixture_with_stages_is_not_steered(tmp_path: Path, folders: dict[str, Path]) -> None:
    stages = schedule_named("uniform@0.5 natural@1", unit="bytes", budget=None)
    plan_mixture(tmp_path, tokens=folders, policy=stages, seed=0)
    with pytest.raises(UserError, match="the mixture has 2 stages; give it one policy"):
        Steering(tmp_path, Equaliser(references={"ko": 1.0, "th": 1.0}), total_tokens=1000)


def test_steering_that_decides_nothing_leaves_the_shares(tmp_path: Path, folders: dict[str, Path]) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="bytes"), seed=0)
    steering = Steering(tmp_path, Equaliser(references={"ko": 1.0, "th": 1.0}), total_tokens=1000)
    assert steering.propose() is None and steering.decision is None
    assert isinstance(read_shares(tmp_path)[0], Shares)
