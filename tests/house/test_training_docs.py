"""docs/training.md, cluster.md and finetuning.md are true: their commands are understood, and those that cost nothing are run."""

import inspect
import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.recipes import RECIPES
from polyglot_lm.recipes.recipe import find

REPOSITORY = Path(__file__).parents[2]
PAGES = {name: (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("training", "cluster", "finetuning")}
VARIABLES = {"$SLURM_NNODES": "2", "$SLURM_NODEID": "1", "$FIRST": "node1"}


def commands() -> list[list[str]]:
    """Return every `polyglot` command of the pages, those inside of a batch script too, without the first word."""
    text = "\n".join(block for page in PAGES.values() for block in re.findall(r"```(?:sh|bash)\n(.*?)```", page, re.DOTALL))
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    found = re.findall(r"^(?:\s*exec )?polyglot (.*)$", text.replace("\\\n", " "), re.MULTILINE)
    return [shlex.split(line.removesuffix("'") if line.count("'") % 2 else line) for line in found]


def test_there_are_commands_of_every_kind() -> None:
    assert {tuple(words[:2]) for words in commands()} >= {
        ("training", "plan"),
        ("training", "report"),
        ("plan", "polyglot_ko"),
        ("run", "polyglot_ko"),
        ("run", "continued"),
        ("generate", "answering"),
    }


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_command_is_understood(words: list[str]) -> None:
    command, left = typer.main.get_command(app), words
    while isinstance(command, typer.core.TyperGroup):
        command, left = command.commands[left[0]], left[1:]
    command.make_context(words[0], list(left))  # raises for an option that is none
    if words[0] in ("run", "plan"):
        known = inspect.signature(find(words[1], RECIPES)).parameters
        assert {word.partition("=")[0] for before, word in itertools.pairwise(words) if before == "--set"} <= set(known)


@pytest.mark.parametrize("words", [words for words in commands() if "plan" in words[:2]], ids=" ".join)
def test_plans_are_made(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "GPU-hours" in result.output


def test_the_plan_of_the_page_is_the_one_that_is_printed() -> None:
    found = re.search(r"```sh\npolyglot (training plan .*?)\n```\n\n```text\n(.*?)```", PAGES["training"], re.DOTALL)
    assert found is not None
    command, shown = found.groups()
    printed = CliRunner().invoke(app, shlex.split(command)).output
    assert [line.rstrip() for line in printed.splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_every_link_leads_somewhere() -> None:
    for name, page in PAGES.items():
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", page) if "://" not in link]
        assert [link for link in links if not (REPOSITORY / "docs" / link).exists()] == [], name
        paths = re.findall(r"`((?:tests|benchmarks|examples)/[\w/.]+)`", page)
        assert [path for path in paths if not (REPOSITORY / path).exists()] == [], name
