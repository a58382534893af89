"""The API as programs use it: the openai client, streamed and not, curl, and the events letter by letter."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import openai
import pytest
from serving.stand_ins import HTTP, Parrot, running, sent_events

from polyglot_lm.serving.completion import Service


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(Service({"parrot": Parrot(), "echo": Parrot("echo", honours=frozenset({"max_tokens", "stop"}))})) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_the_openai_client_lists_models_and_completes(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["parrot", "echo"]
    assert client.models.retrieve("echo").id == "echo"
    done = client.completions.create(model="parrot", prompt="가나다", max_tokens=7)
    assert done.object == "text_completion" and done.id.startswith("cmpl-")
    assert (done.choices[0].text, done.choices[0].finish_reason) == ("가나다가나다가", "length")
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (3, 7, 10)


def test_the_openai_client_streams(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="parrot", prompt="ab", max_tokens=5, stream=True, stop="ba", stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == "a"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, "stop"]
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 3
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_prompts_and_choices_keep_their_places(client: openai.OpenAI) -> None:
    done = client.completions.create(model="parrot", prompt=["ab", "cde"], n=2, max_tokens=4, echo=True)
    assert [(choice.index, choice.text) for choice in done.choices] == [
        (0, "ababab"), (1, "ababab"), (2, "cdecdec"), (3, "cdecdec"),
    ]  # fmt: skip
    assert done.usage is not None and (done.usage.prompt_tokens, done.usage.completion_tokens) == (5, 16)


def test_logprobs_come_with_their_tokens(client: openai.OpenAI) -> None:
    plain = client.completions.create(model="parrot", prompt="ab", max_tokens=3)
    assert plain.choices[0].logprobs is None
    asked = client.completions.create(model="parrot", prompt="ab", max_tokens=3, logprobs=1).choices[0].logprobs
    assert asked is not None and asked.tokens == ["a", "b", "a"] and asked.token_logprobs == [-0.5] * 3
    assert asked.top_logprobs == [{"a": -0.5}, {"b": -0.5}, {"a": -0.5}] and asked.text_offset == [0, 1, 2]


def test_the_events_are_openais(address: str) -> None:
    body = {"model": "parrot", "prompt": "ab", "max_tokens": 2, "stream": True}
    answer = HTTP.post(f"{address}/v1/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, done = sent_events(answer.text)
    assert done == "[DONE]"
    shared = {"id": chunks[0]["id"], "object": "text_completion", "created": chunks[0]["created"], "model": "parrot"}
    choice = {"index": 0, "logprobs": None}
    assert chunks == [
        {**shared, "choices": [{**choice, "text": "a", "finish_reason": None}]},
        {**shared, "choices": [{**choice, "text": "b", "finish_reason": None}]},
        {**shared, "choices": [{**choice, "text": "", "finish_reason": "length"}]},
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_completes(address: str) -> None:
    body = json.dumps({"model": "echo", "prompt": "여보세요 ", "max_tokens": 5})
    words = ["curl", "-sS", f"{address}/v1/completions", "-H", "Content-Type: application/json", "-d", body]
    done = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    assert done["choices"][0]["text"] == "여보세요 "


def test_a_parameter_that_the_engine_cannot_honour_is_refused_by_name(client: openai.OpenAI) -> None:
    for name, value in {"temperature": 0.5, "seed": 1, "logprobs": 0, "top_p": 0.9}.items():
        with pytest.raises(openai.BadRequestError, match=f"echo cannot honour {name}") as refused:
            client.completions.create(model="echo", prompt="a", **{name: value})
        assert refused.value.param == name and refused.value.code == "unsupported_parameter"
    assert client.completions.create(model="echo", prompt="a", temperature=1, top_p=1).choices[0].text == "a" * 16


def test_a_whole_number_may_have_a_point(address: str) -> None:
    body = {"model": "parrot", "prompt": "ab", "max_tokens": 3.0, "temperature": 0, "top_k": 2.0}
    assert HTTP.post(f"{address}/v1/completions", json=body).json()["choices"][0]["text"] == "aba"


def test_figures_count_what_was_written(address: str) -> None:
    figures = HTTP.get(f"{address}/metrics").text
    assert 'polyglot_completions_total{finish="length",model="parrot"}' in figures
    assert 'polyglot_http_answers_total{route="/v1/completions",status="200"}' in figures
    assert "polyglot_waiting 0.0" in figures and "process_resident_memory_bytes" in figures
