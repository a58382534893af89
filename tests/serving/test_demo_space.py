"""A Space's folder: what is written, what is refused, and that `python app.py` in it shows the page."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tiny_model import write_tiny_model

from polyglot_lm import __version__
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.demo.openings import front_matter
from polyglot_lm.serving.demo.space import run_space, write_space

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_a_space_has_page_requirements_front_matter_and_models(model: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        '[completion.words]\nhold = 1.0\n[[lists]]\nfile = "lists/own.txt"\nlanguage = "id"\ncategory = "insult"\n'
    )
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "own.txt").write_text("kata\n")
    found = write_space([model], tmp_path / "space", title='A "tiny"\npage', policy=tmp_path / "policy.toml")
    assert list(found) == ["tiny"]
    space = tmp_path / "space"
    front = yaml.safe_load("\n".join(front_matter((space / "README.md").read_text(encoding="utf-8"))))
    assert (front["title"], front["sdk"], front["app_file"]) == ("A 'tiny' page", "gradio", "app.py")
    assert front["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (space / "requirements.txt").read_text() == f"polyglot-lm[serve]=={__version__}\n"
    compile((space / "app.py").read_text(), "app.py", "exec")
    assert (space / "models" / "tiny" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert (space / "lists" / "own.txt").read_text() == "kata\n"


def test_what_cannot_be_served_is_refused_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"no config\.json"):
        write_space([tmp_path / "other"], tmp_path / "space")
    with pytest.raises(UserError, match="two of the models are named tiny"):
        write_space([model, model], tmp_path / "space")
    with pytest.raises(UserError, match="cannot be read as a policy"):
        write_space([model], tmp_path / "space", policy=tmp_path / "none.toml")
    with pytest.raises(UserError, match="is not empty"):
        write_space([model], model)
    assert not (tmp_path / "space").exists()


@contextlib.contextmanager
def running(space: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "XDG_CACHE_HOME": str(space / "cache")}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs the operating system's chromium")
def test_a_space_runs(model: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    second = shutil.copytree(model, tmp_path / "second")
    write_space([model, second], tmp_path / "space")
    with running(tmp_path / "space") as address, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]).new_page()
        page.goto(address)
        page.locator("#prompt textarea").fill("The browser")
        page.locator("#write").click()
        for side in ("#answer-0", "#answer-1"):
            expect(page.locator(f"{side} footer")).to_contain_text("tokens", timeout=30_000)
        expect(page.locator("#answer-0 .text .prompt")).to_have_text("The browser")


def test_a_model_that_is_gone_ends_in_a_sentence(model: Path, tmp_path: Path) -> None:
    write_space([model], tmp_path / "space")
    shutil.rmtree(tmp_path / "space" / "models" / "tiny")
    with pytest.raises(SystemExit, match=r"^polyglot: there is no model"):
        run_space(tmp_path / "space", ["tiny"])
