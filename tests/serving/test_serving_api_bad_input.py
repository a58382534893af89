"""Whatever is wrong with a request: status 4xx, OpenAI's shape, the parameter's name, a sentence that helps. Never a 5xx."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.completion_create_params import CompletionCreateParamsBase
from pydantic import ValidationError
from serving.stand_ins import HTTP, Parrot, running

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.api.schema import CompletionBody
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.engines.engine import Sampling
from polyglot_lm.serving.limits import Limits

FINE = {"model": "parrot", "prompt": "ab", "max_tokens": 2}
REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"model": "bird"}, 404, "model", "there is no model 'bird' here, only parrot"),
    ({"model": None}, 400, "model", "model is None"),
    ({"prompt": [1, 2, 3]}, 400, "prompt", "token ids"),
    ({"prompt": [[1, 2], [3]]}, 400, "prompt", "token ids"),
    ({"prompt": []}, 400, "prompt", "1 to 16 texts"),
    ({"prompt": "x" * 300}, 400, "prompt", "room for (256)"),
    ({"prompt": "x" * 2000}, 400, "prompt", "2,000 bytes"),
    ({"prompt": "\ud800"}, 400, "prompt", "text"),
    ({"model": "\udfff"}, 400, "model", "surrogate"),
    ({"max_tokens": 255}, 400, "max_tokens", "room for (256)"),
    ({"max_tokens": 0}, 400, "max_tokens", "greater than or equal to 1"),
    ({"max_tokens": "7"}, 400, "max_tokens", "valid integer"),
    ({"temperature": 2.5}, 400, "temperature", "temperature is 2.5"),
    ({"temperature": float("nan")}, 400, "temperature", "finite"),
    ({"top_p": 0}, 400, "top_p", "greater than 0"),
    ({"top_k": -1}, 400, "top_k", "top_k is -1"),
    ({"repetition_penalty": 0}, 400, "repetition_penalty", "greater than 0"),
    ({"seed": 1.5}, 400, "seed", "integer"),
    ({"stop": ["a"] * 5}, 400, "stop", "stop"),
    ({"stop": ""}, 400, "stop", "stop"),
    ({"logprobs": 6}, 400, "logprobs", "5"),
    ({"logprobs": 1, "echo": True}, 400, "echo", "leave out echo or logprobs"),
    ({"n": 17}, 400, "n", "16"),
    ({"n": 6, "prompt": ["a", "b", "c"]}, 400, "n", "18 completions at once"),
    ({"stream": "yes"}, 400, "stream", "boolean"),
    ({"stream_options": {"include_obfuscation": True}}, 400, "stream_options.include_obfuscation", "is no parameter"),
    ({"suffix": "z"}, 400, "suffix", "suffix is not offered here"),
    ({"best_of": 2}, 400, "best_of", "not offered"),
    ({"presence_penalty": 0.1}, 400, "presence_penalty", "not offered"),
    ({"frequency_penalty": -0.1}, 400, "frequency_penalty", "not offered"),
    ({"logit_bias": {"1": 2}}, 400, "logit_bias", "not offered"),
    ({"user": "m" * 257}, 400, "user", "256"),
    ({"beam_width": 3}, 400, "beam_width", "beam_width is no parameter of this server"),
]
NO_JSON = {
    "malformed": b'{"model": "parrot", ',
    "empty": b"",
    "a list": b"[]",
    "a number": b"7",
    "bad UTF-8": b'{"model": "parrot", "prompt": "\xff\xfe"}',
    "deep": b"[" * 100_000,
    "a null byte": b'{"model": "parrot\x00"}',
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(Service({"parrot": Parrot()}, limits=Limits(prompt_bytes=1000))) as found:
        yield found


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["message"]
    return dict(error)


@pytest.mark.parametrize(("change", "status", "param", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_bad_value_is_refused_by_name(address: str, change: dict[str, Any], status: int, param: str, says: str) -> None:
    answer = HTTP.post(f"{address}/v1/completions", content=json.dumps(FINE | change), headers={"content-type": "application/json"})
    error = refused(answer, status)
    assert error["param"] == param and says in error["message"] and error["code"]


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_object_is_refused(address: str, body: bytes) -> None:
    answer = HTTP.post(f"{address}/v1/completions", content=body, headers={"content-type": "application/json"})
    assert "JSON" in refused(answer, 400)["message"]


def test_a_body_of_another_type_is_refused(address: str) -> None:
    for kind in ({}, {"content-type": "text/plain"}):  # what a page elsewhere may send without asking
        answer = HTTP.post(f"{address}/v1/completions", content=json.dumps(FINE), headers=kind)
        assert "Content-Type: application/json" in refused(answer, 400)["message"]


def test_a_body_that_is_too_large_is_refused(address: str) -> None:
    for content in (b"x" * 2_000_000, iter([b"x" * 100_000] * 20)):  # with its length said before, and without
        answer = HTTP.post(f"{address}/v1/completions", content=content, headers={"content-type": "application/json"})
        assert "1,048,576 bytes" in refused(answer, 413)["message"]


def test_unknown_addresses_and_methods_are_refused(address: str) -> None:
    refused(HTTP.get(f"{address}/v1/chat/completions"), 404)
    refused(HTTP.get(f"{address}/v1/models/bird"), 404)
    refused(HTTP.get(f"{address}/v1/reviews/123"), 404)
    answer = HTTP.get(f"{address}/v1/completions")
    refused(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_the_openai_client_understands_refusals(address: str) -> None:
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model="parrot", prompt="a", best_of=3)
    assert (error.value.param, error.value.code) == ("best_of", "unsupported_parameter")
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="bird", prompt="a")
    with pytest.raises(openai.BadRequestError, match="shorten"):
        client.completions.create(model="parrot", prompt="a" * 250, max_tokens=7)


def test_every_parameter_of_openais_is_known_here() -> None:
    """A new one in their client must be honoured or refused by name, not called unknown."""
    theirs = set(inspect.get_annotations(CompletionCreateParamsBase)) | {"stream"}
    assert theirs - CompletionBody.model_fields.keys() == set()


@given(
    name=st.sampled_from(["max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "logprobs"]),
    value=st.one_of(st.integers(-3, 8), st.floats(-1, 3)),
)
@settings(max_examples=120)
def test_the_schema_and_the_engines_have_the_same_bounds(name: str, value: float) -> None:
    number = value if name in ("temperature", "top_p", "repetition_penalty") else int(value)
    try:
        CompletionBody.model_validate(FINE | {name: number})
        allowed = True
    except ValidationError:
        allowed = False
    try:
        Sampling(**{name: number})
    except UserError:
        assert not allowed
    else:
        assert allowed
