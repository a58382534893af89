"""What is published of the four models, what follows from it, and the rule for what is not."""

import json
from pathlib import Path

import pytest
from conftest import SENTENCES

from polyglot_lm.model.config import POLYGLOT_KO
from polyglot_lm.pipeline import Step, UserError, in_order, stage
from polyglot_lm.recipes import RECIPES, build
from polyglot_lm.recipes.pretraining import PUBLISHED, Course, peak_learning_rate, pretraining_step, shape, token_budget


@stage(version=1)
def nothing(out: object) -> dict[str, int]:
    return {}


def training(size: str, *, initial: Step | None = None, **changed: object) -> Step:
    empty = nothing.step("nothing")
    chosen = {"precision": "bf16", "schedule": "cosine", "learning_rate": 0.0, "seed": 1, **changed}
    budget = token_budget(size)
    return pretraining_step(
        model=shape(size),
        mixture=empty,
        tokens={"ko": empty},
        tokenizer=empty,
        corpora={"ko": empty},
        course=Course(steps=budget.steps, batch_windows=budget.batch_windows, **chosen),  # type: ignore[arg-type]
        initial=initial,
    )


def test_the_batch_is_the_round_one_nearest_to_tokens_and_steps() -> None:
    assert {size: budget.batch_windows for size, budget in PUBLISHED.items()} == {
        "1.3b": 1024,
        "3.8b": 1024,
        "5.8b": 256,
        "12.8b": 256,
    }
    for budget in PUBLISHED.values():
        assert budget.tokens / (budget.steps * budget.batch_windows * 2048) == pytest.approx(1, abs=0.06)


def test_another_vocabulary_changes_nothing_else() -> None:
    large = shape("1.3b", vocab_size=131_072)
    assert large.num_parameters - POLYGLOT_KO["1.3b"].num_parameters == 2 * 2048 * (131_072 - 30_080)
    assert shape("5.8b") == POLYGLOT_KO["5.8b"] and shape("5.8b", vocab_size=30_003) == POLYGLOT_KO["5.8b"]
    with pytest.raises(UserError, match=r"no model size '7b'; there are 1\.3b, 3\.8b"):
        token_budget("7b")


@pytest.mark.parametrize(("billions", "rate"), [(1.3, 2.0e-4), (2.7, 1.6e-4), (6.7, 1.2e-4), (13.0, 1.0e-4)])
def test_the_rule_gives_the_rates_of_gpt_3(billions: float, rate: float) -> None:
    assert float(f"{2e-4 * (1.3 / billions) ** 0.3:.1e}") == rate


def test_every_size_has_the_published_steps_and_the_rate_of_the_rule() -> None:
    for size, model in POLYGLOT_KO.items():
        step = training(size)
        assert step.arguments["training"].steps == PUBLISHED[size].steps
        assert step.arguments["optim"].learning_rate == peak_learning_rate(model)
        assert "initial" not in step.arguments
    assert [peak_learning_rate(model) for model in POLYGLOT_KO.values()] == [2.0e-4, 1.4e-4, 1.3e-4, 1.0e-4]


def test_a_rate_that_is_given_is_taken_and_a_model_to_begin_from_is_part_of_the_identity() -> None:
    plain, given = training("1.3b"), training("1.3b", learning_rate=3e-4)
    assert given.arguments["optim"].learning_rate == 3e-4
    assert len({plain.address, given.address, training("1.3b", initial=nothing.step("model")).address}) == 3


@pytest.mark.parametrize("size", list(PUBLISHED))
def test_polyglot_ko_trains_as_published(size: str) -> None:
    found = {step.name: step for step in in_order(build("polyglot_ko", [f"size={size}"], RECIPES).targets)}
    arguments = found["training"].arguments
    assert arguments["model"] == POLYGLOT_KO[size]
    assert (arguments["training"].steps, arguments["training"].batch_windows) == (
        PUBLISHED[size].steps,
        PUBLISHED[size].batch_windows,
    )
    assert arguments["mixture"] is found["mixture"] and "model" in found


def test_east_asian_reads_its_budget_in_whole_steps() -> None:
    found = {step.name: step for step in in_order(build("east_asian", ["size=3.8b"], RECIPES).targets)}
    arguments = found["training"].arguments
    assert arguments["model"] == shape("3.8b", vocab_size=131_072)
    tokens = arguments["training"].steps * arguments["training"].batch_windows * 2048
    assert tokens == pytest.approx(500e9, rel=1e-5)
    assert set(arguments["corpora"]) == {"ko", "zh", "ja", "id", "ms", "vi", "th", "en"}


def test_references_bring_a_controller_that_rests_in_the_decay(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    path.write_text(json.dumps(dict.fromkeys(SENTENCES, 0.9)))
    plain, steered = (
        {step.name: step for step in in_order(build("east_asian", settings, RECIPES).targets)}["training"].arguments
        for settings in ([], [f"references={path}"])
    )
    assert "controller" not in plain
    assert steered["controller"].references == dict.fromkeys(SENTENCES, 0.9) and steered["controller"].ends == 0.8
