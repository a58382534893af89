"""docs/deploy.md is true: its limits are the server's, its commands run, its unit is one that systemd takes."""

import configparser
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from serving.stand_ins import HTTP, wait_until
from serving.tiny_model import write_tiny_model
from typer.main import get_command

from polyglot_lm.cli import app
from polyglot_lm.serving.limits import Limits

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8")
POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli"]
COMMANDS = [shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
UNIT = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)[0]


def understood(words: list[str]) -> None:
    """Let the command line parse a `serve` without carrying it out."""
    get_command(app).commands["serve"].make_context("serve", list(words))  # type: ignore[attr-defined]


def test_the_limits_of_the_page_are_the_servers() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {
        field.name: float(getattr(Limits(), field.name)) for field in fields(Limits)
    }


def test_unit_and_image_start_what_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT)
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[0].endswith("bin/polyglot") and words[1] == "serve"
    understood(words[2:])
    assert float(unit["Service"]["TimeoutStopSec"]) > Limits().drain_seconds
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    entry, arguments = (re.search(rf"^{name} (\[.*\])$", dockerfile, re.MULTILINE) for name in ("ENTRYPOINT", "CMD"))
    assert entry and arguments
    image = [word for found in (entry, arguments) for word in re.findall(r'"([^"]*)"', found[1])]
    assert image[:2] == ["polyglot", "serve"]
    understood(image[2:])
    for source in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        assert all((REPOSITORY / name).exists() for name in source.split())
        assert all(f"!{name}" in (REPOSITORY / ".dockerignore").read_text().splitlines() for name in source.split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "polyglot.service"
    unit.write_text(UNIT.replace("/opt/polyglot/bin/polyglot", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert str(unit.name) not in checked.stderr, checked.stderr


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[1] == "keys"], ids=" ".join)
def test_keys_are_kept(words: list[str], tmp_path: Path) -> None:
    if words[2] != "add":
        subprocess.run([*POLYGLOT, "keys", "add", "anna"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([*POLYGLOT, *words[1:]], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    """Run the page's first command, on a free port."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "runs" / "quickstart").mkdir(parents=True)
    write_tiny_model(folder / "runs" / "quickstart" / "model")
    (words,) = [words for words in COMMANDS if words[1] == "serve"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*POLYGLOT, *words[1:], "--port", "0"], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            assert address, (folder / "log").read_text()
            wait_until(lambda: HTTP.get(f"{address}/ready").status_code == 200, seconds=120)
            yield address, process, folder / "log"
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_the_server_of_the_page_is_asked_and_stopped(served: tuple[str, subprocess.Popen[str], Path]) -> None:
    address, process, log = served
    asked = [words for words in COMMANDS if words[0] == "curl"]
    assert len(asked) >= 5
    for words in asked:
        here = [word.replace("http://127.0.0.1:8000", address) for word in words]
        done = subprocess.run([*here, "--silent", "--fail-with-body"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout, (words, done.stdout)
    assert HTTP.get(address).status_code == HTTP.get(f"{address}/curator/login").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "오늘은" not in log.read_text() and "POST /v1/completions 200" in log.read_text()
