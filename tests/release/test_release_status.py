"""The page of models says what the records say, and the one in docs/ is what the recipes give."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from polyglot_lm.pipeline import Step
from polyglot_lm.recipes import steps_of_models
from polyglot_lm.release.hub import PUSHED_FILE
from polyglot_lm.release.status import STORY, made_by, status_lines, status_row, write_status_page

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def steps() -> Sequence[Step]:
    return steps_of_models()["quickstart"]


def test_the_page_in_docs_is_that_of_the_recipes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write_status_page(tmp_path / "models.md", steps_of_models(), tmp_path / "no runs")
    written = (tmp_path / "models.md").read_text()
    if request.config.getoption("--regenerate"):
        PAGE.write_text(written)
    assert PAGE.read_text() == written, "docs/models.md differs; if that is meant, run pytest --regenerate"


def test_a_model_is_as_far_as_its_folders_say(tmp_path: Path, steps: Sequence[Step]) -> None:
    training, export = made_by(steps, "train"), made_by(steps, "export_hf")
    assert training is not None and export is not None
    assert status_row("quickstart", steps, tmp_path)[3:] == ["not begun", "not published", "not published"]
    folder = tmp_path / training.address
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 10, "loss": 3.5}\n{"step": 1230, "loss": 3.25}\n')
    assert status_row("quickstart", steps, tmp_path)[3] == "in training: step 1,230"
    record = {"specification": {}, "counters": {"tokens": 5_000_000, "steps": 1300}}
    (folder / "step.json").write_text(json.dumps(record))
    assert status_row("quickstart", steps, tmp_path)[3] == "finished: 5,000,000 tokens in 1,300 steps"
    (tmp_path / export.address).mkdir()
    pushed = {"address": "http://hub/someone/tiny", "branches": ["main", "step-1000"]}
    (tmp_path / export.address / PUSHED_FILE).write_text(json.dumps(pushed))
    assert status_row("quickstart", steps, tmp_path)[4:] == ["[card](http://hub/someone/tiny)", "main, step-1000"]


def test_a_recipe_without_a_training_says_so(tmp_path: Path, steps: Sequence[Step]) -> None:
    corpora = [step for step in steps if step.name.startswith("corpus/")]
    row = status_row("mine", corpora, tmp_path)
    assert row[:2] == ["`polyglot run mine`", "not recorded"] and row[3] == "no training in the recipe"
    assert set(row[2].split()) == {"ko", "zh", "ja", "id", "ms", "vi", "th", "en"}


def test_the_page_is_a_story_and_a_table(tmp_path: Path, steps: Sequence[Step]) -> None:
    story, *rows = status_lines({"quickstart": steps}, tmp_path)
    assert story == STORY
    assert len({row.count("|") for row in rows if row}) == 1 and len(rows) == 4
