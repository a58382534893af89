"""The OpenAPI schema is true: schemathesis, which asks everything that it allows and much that it doesn't, finds no failure."""

import html
import subprocess
import sys
from pathlib import Path

import pytest
from serving.stand_ins import HTTP, Parrot, running

from polyglot_lm.serving.access import add_key
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.limits import Limits

KNOWN_MODEL = """
import schemathesis

@schemathesis.hook
def map_body(context, body):
    return body | {"model": "parrot"} if isinstance(body, dict) and "model" in body else body
"""


@pytest.mark.slow
@pytest.mark.parametrize("known_model", [False, True])
def test_schemathesis_finds_no_failure(tmp_path: Path, known_model: bool) -> None:
    """With a model that exists, the engine is reached; what is valid may then still be too long for its context (a 400)."""
    key = add_key(tmp_path / "keys.json", "tester")
    limits = Limits(client_requests_per_minute=1_000_000)
    (tmp_path / "hooks.py").write_text(KNOWN_MODEL)
    hooked = {"SCHEMATHESIS_HOOKS": "hooks"} if known_model else {}
    unasked = ["--exclude-checks", "positive_data_acceptance"] if known_model else []
    with running(Service({"parrot": Parrot()}, limits=limits), keys=tmp_path / "keys.json") as address:
        words = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{address}/openapi.json", *unasked]
        done = subprocess.run(
            [*words, "--max-examples", "60", "--no-color", "--header", f"Authorization: Bearer {key}"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path), **hooked},
            capture_output=True,
            text=True,
            check=False,
        )
        figures = HTTP.get(f"{address}/metrics", headers={"authorization": f"Bearer {key}"}).text
    assert done.returncode == 0, done.stdout[-5000:]
    assert ('route="/v1/completions",status="200"' in figures) == known_model
    assert 'status="5' not in figures


def test_the_description_is_a_page_without_scripts() -> None:
    with running(Service({"parrot": Parrot()})) as address:
        page = HTTP.get(f"{address}/docs")
        schema = HTTP.get(f"{address}/openapi.json").json()
    assert page.headers["content-type"].startswith("text/html") and "<script" not in page.text and "http" not in page.text
    for path in schema["paths"]:
        assert path in page.text
    for parameter, field in schema["components"]["schemas"]["CompletionBody"]["properties"].items():
        assert f"<code>{parameter}</code>" in page.text and html.escape(field.get("description", "")) in page.text
    assert "number ≥ 0 ≤ 2<" in page.text and "422" not in page.text
