"""The command line as a person meets it: mistakes end in one line and exit code 2, and help is quick."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def polyglot(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "polyglot_lm.cli", *arguments]
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("plan quickstart --set languages=ko,xx", "unknown language 'xx'; known are"),
        ("run quickstart --set stepz=3", "has no parameter 'stepz'; did you mean 'steps'?"),
        ("run quickstart --set source=nowhere", "source 'nowhere' is no folder"),
        ("why tokenzier", "the recipe has no step 'tokenzier'"),
        ("run", "Missing argument 'RECIPE'"),
        ("frobnicate", "No such command 'frobnicate'"),
        ("generate nowhere", "nowhere"),
    ],
    ids=lambda value: value.replace(" ", "_"),
)
def test_a_mistake_ends_in_one_line_and_exit_code_2(tmp_path: Path, arguments: str, message: str) -> None:
    finished = polyglot(*arguments.split(), folder=tmp_path)
    assert finished.returncode == 2
    assert finished.stderr.startswith("polyglot: ")
    assert message in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""


def test_a_root_that_is_a_file_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    finished = polyglot("run", "quickstart", "--root", "runs", folder=tmp_path)
    assert finished.returncode == 2
    assert re.fullmatch(r"polyglot: runs cannot be written \(.+\); choose another --root\n", finished.stderr)


def test_help_is_known(tmp_path: Path, golden: Callable[[str, Any], None]) -> None:
    finished = polyglot("--help", folder=tmp_path)
    assert finished.returncode == 0
    assert finished.stderr == ""
    golden("help.txt", finished.stdout.replace("python -m polyglot_lm.cli", "polyglot"))


def test_no_verb_shows_the_help_and_no_mistake(tmp_path: Path) -> None:
    finished = polyglot(folder=tmp_path)
    assert (finished.stdout + finished.stderr).startswith("Usage: ")


def test_the_table_of_languages_is_shown(tmp_path: Path) -> None:
    finished = polyglot("languages", folder=tmp_path)
    assert finished.returncode == 0
    assert all(name in finished.stdout for name in ("kor_Hang", "한국어", "ไทย", "2.766"))


def test_a_plan_names_every_step_and_writes_nothing(tmp_path: Path) -> None:
    finished = polyglot("plan", "quickstart", folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert all(name in finished.stdout for name in ("source/chromium", "corpus/ko", "tokenizer", "training", "report"))
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_and_the_corpus_wait_for_no_torch() -> None:
    rooms = "cli, corpus, languages, masking, mixture, pipeline, recipes, recipes.quickstart, shards, tokenizer"
    modules = ", ".join(f"polyglot_lm.{room}" for room in rooms.split(", "))
    code = f"import {modules}, sys; sys.exit(str({{'torch', 'transformers', 'rich.table'}} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.stderr == "set()\n"
