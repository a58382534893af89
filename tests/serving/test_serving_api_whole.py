"""The real guard and the real queue behind the API: what is masked, held, decided by a curator and fetched by its requester."""

from pathlib import Path

import httpx
import pytest
from serving.stand_ins import HTTP, Parrot, running

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.assembly import Offer, open_models, open_service
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.guard.guard import load_guard
from polyglot_lm.serving.review import Reviews
from polyglot_lm.serving.settings import Settings

POLICY = """
countries = ["kr"]
hold_back_chars = 32
[prompt.personal]
mask = 1.0
[completion.words]
hold = 1.0
[completion.personal]
mask = 1.0
[[lists]]
file = "words.txt"
language = "en"
"""


def ask(address: str, prompt: str, **change: object) -> httpx.Response:
    return HTTP.post(f"{address}/v1/completions", json={"model": "parrot", "prompt": prompt, "max_tokens": 60} | change)


def test_masked_held_decided_and_fetched(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "words.txt").write_text("kettledrum\n")
    reviews = Reviews(f"sqlite:///{tmp_path / 'reviews.db'}")
    guard = load_guard(tmp_path / "policy.toml", "enforce")
    with running(Service({"parrot": Parrot()}, guard=guard, reviews=reviews)) as address:
        (choice,) = ask(address, "연락처는 minsu@gangbyeon.kr 입니다. ").json()["choices"]
        assert "minsu" not in choice["text"] and choice["guard"][0]["action"] == "mask"
        (choice,) = ask(address, "A loud kettledrum. Mail minsu@gangbyeon.kr. ", stream=False).json()["choices"]
        assert choice["finish_reason"] == "content_filter" and "kettledrum" not in choice["text"]
        (review,) = [notice["review"] for notice in choice["guard"] if notice["review"]]
        assert HTTP.get(f"{address}/v1/reviews/{review}").status_code == 404
        item = reviews.item(review)
        assert "kettledrum" in item.completion and "minsu" not in item.prompt + item.completion
        reviews.decide(review, "mina", "edit", edited="A loud drum.")
        assert HTTP.get(f"{address}/v1/reviews/{review}").json()["text"] == "A loud drum."


def test_names_on_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model"):
        open_models([str(tmp_path / "nowhere")], "ctranslate2")
    engines = open_models(["http://one:8000", "second=http://two:8000/v1"], "ctranslate2")
    assert list(engines) == ["one", "second"] and engines["second"].name == "second"
    with pytest.raises(UserError, match="two models are named 'one'"):
        open_models(["http://one:8000", "http://one:9000"], "ctranslate2")
    with pytest.raises(UserError, match="guard is 'sometimes'"):
        open_service(Offer(models=("http://one:8000",), guard="sometimes"), Settings())
