"""The shipped quickstart: its addresses are known, and a parameter changes what follows from it alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SENTENCES, tiny_texts

from polyglot_lm.pipeline import UserError, in_order, plan
from polyglot_lm.recipes import RECIPES, build

AFTER_TRAINING = {"training", "heldout", "report", "model"}


def addresses(*settings: str) -> dict[str, str]:
    return {step.name: step.address for step in in_order(build("quickstart", settings, RECIPES).targets)}


def changed(*settings: str) -> set[str]:
    old, new = addresses(), addresses(*settings)
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def test_the_addresses_of_quickstart_are_known(golden: Callable[[str, Any], None]) -> None:
    golden("quickstart_addresses.json", addresses())


def test_a_longer_training_runs_nothing_before_the_training() -> None:
    assert changed("steps=10") == changed("learning_rate=0.01") == AFTER_TRAINING


def test_another_seed_changes_the_mixture_and_what_follows() -> None:
    assert changed("seed=2") == AFTER_TRAINING | {"mixture"}


def test_references_bring_a_controller_to_the_training_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    path.write_text(json.dumps(dict.fromkeys(SENTENCES, 1.5)))
    assert changed(f"references={path}") == AFTER_TRAINING
    controller = build("quickstart", [f"references={path}"], RECIPES).results["model"].arguments["training"].arguments["controller"]
    assert controller.references == dict.fromkeys(SENTENCES, 1.5) and controller.ends == 0.6
    for text in ("{}", '{"ko": -1}', '["ko"]'):
        path.write_text(text)
        with pytest.raises(UserError, match="reference"):
            build("quickstart", [f"references={path}"], RECIPES)


def test_what_is_masked_is_a_decision_of_the_recipe() -> None:
    assert {"corpus/ko", "corpus/en", "training"} <= changed("mask_kinds=tell,rrn")
    assert not [name for name in changed("mask_kinds=tell,rrn") if name.startswith(("documents/", "source/"))]
    with pytest.raises(UserError, match="unknown kind of identifier 'name'"):
        addresses("mask_kinds=name")


def test_fewer_languages_keep_the_corpora_of_a_folder(tmp_path: Path) -> None:
    for code in ("ko", "en"):
        (tmp_path / f"{code}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(code, 3)))
    both, one = (addresses(f"source={tmp_path}", f"languages={codes}") for codes in ("ko,en", "ko"))
    assert both["corpus/ko"] == one["corpus/ko"]
    assert both["tokenizer"] != one["tokenizer"]
    assert "corpus/en" not in one


def test_a_plan_of_nothing_done_runs_everything(tmp_path: Path) -> None:
    planned = plan(build("quickstart", [], RECIPES).targets, tmp_path)
    assert {row.state for row in planned} == {"runs"}
    assert [row.step.name for row in planned][:2] == ["source/chromium", "documents/ko/chromium"]
    assert {f"corpus/{code}" for code in SENTENCES} < {row.step.name for row in planned}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "setting",
    [
        "steps=0",
        "languages=",
        "languages=ko,ko",
        "languages=ko,xx",
        "vocab_size=1000",
        "learning_rate=0",
        "learning_rate=inf",
        "optimizer=sgd",
        "source=/nowhere",
        "batch_windows=0",
        "context=0",
        "layers=0",
        "heads=0",
        "heads=3",
        "width=0",
        "source_megabytes=-1",
    ],
)
def test_a_value_out_of_bounds_is_said_in_a_sentence(setting: str) -> None:
    settings = [setting, "source=hub:a/b@main"] if setting.startswith("source_megabytes") else [setting]
    with pytest.raises(UserError):
        build("quickstart", settings, RECIPES)
