"""Every command of the README and of pages in docs runs: here a tiny pass, in `make test-slow` and `.ci/run` the real ones."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SENTENCES, tiny_texts

REPOSITORY = Path(__file__).parents[2]
NAMES = "balance corpus curator demo evaluation guard release tokenizer".split()
DOCS = [REPOSITORY / "docs" / f"{name}.md" for name in NAMES]
PAGES = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "README.md", *DOCS)}
README = PAGES[REPOSITORY / "README.md"]
TINY = "vocab_size=1024 width=32 layers=2 heads=2 context=64 steps=30 batch_windows=4".split()
SMALLER = {"width": "width=64", "layers": "layers=3", "steps": "steps=31"}
RECIPE_VERBS = ("run", "plan", "why")


def blocks(kind: str) -> list[str]:
    return [block for page in PAGES.values() for block in re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)]


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


def polyglot(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with a tiny model: sizes go before the command's own settings, which then win."""
    verbs = 1 + (words[0] not in RECIPE_VERBS)  # `run quickstart`, `mixture show quickstart`
    if words[verbs : verbs + 1] == ["quickstart"]:
        small = [part for setting in TINY for part in ("--set", setting)]
        own = [re.sub(r"^(width|layers|steps)=.*", lambda found: SMALLER[found[1]], word) for word in words[verbs + 1 :]]
        if any(word.startswith("source=") for word in own):
            own += ["--set", "vocab_size=384"]  # `my_text` has few words
        words = [*words[: verbs + 1], *small, *own]
    if words[:2] == ["run", "references"]:
        words = [*words[:2], "--set", f"base_settings={','.join(TINY)}", *words[2:]]
    words = [re.sub("^vocab_size=65536$", "vocab_size=384", word) for word in words]
    return subprocess.run(
        [sys.executable, "-m", "polyglot_lm.cli", *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the quickstart has run, with text, parallel sentences and references."""
    root = tmp_path_factory.mktemp("readme")
    for code in ("ko", "en"):
        (root / "my_text" / code).mkdir(parents=True)
        rows = "".join(f'{{"text": "{text}"}}\n' for text in [*tiny_texts(code, 300), "too short"])
        (root / "my_text" / code / "part.jsonl").write_text(rows)
    (root / "references.json").write_text(json.dumps(dict.fromkeys(SENTENCES, 4.0)))
    (root / "parallel.jsonl").write_text(json.dumps(SENTENCES, ensure_ascii=False) + "\n")
    first = polyglot(["run", "quickstart"], root)
    assert first.returncode == 0, first.stderr
    yield root


SERVING = [".venv/bin/polyglot", "serve", "runs/quickstart/model"]  # until it is stopped; run by test_serving_deploy.py


@pytest.mark.parametrize("words", [w for w in commands() if w[0].endswith("polyglot") and w != SERVING], ids=" ".join)
def test_command_runs(words: list[str], folder: Path) -> None:
    done = polyglot(words[1:], folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_python_of_the_readme_runs(folder: Path) -> None:
    for block in blocks("python"):
        subprocess.run([sys.executable, "-c", block], cwd=folder, check=True, capture_output=True)


def test_every_make_command_is_a_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = {words[1] for words in commands() if words[0] == "make"} | set(re.findall(r"`make ([\w-]+)", README))
    assert {"quickstart", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_every_link_leads_somewhere() -> None:
    for path, page in PAGES.items():
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", page) if "://" not in link]
        assert links
        assert [link for link in links if not (path.parent / link).exists()] == []
