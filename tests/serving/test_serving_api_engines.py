"""The whole way with a real model: client, server, engine; and a server of ours as the upstream of another."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import openai
import pytest
from serving.stand_ins import HTTP, running, wait_until
from serving.tiny_model import write_tiny_model

from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.engines.opening import open_engine

KINDS = ("ctranslate2", "llama", "transformers", "upstream")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, openai.OpenAI]]:
    """Four servers of one tiny model, the last of which asks the third."""
    cache, folder = tmp_path_factory.mktemp("cache"), write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        with ExitStack() as stack:
            addresses = {kind: stack.enter_context(served(kind, folder)) for kind in KINDS[:-1]}
            addresses["upstream"] = stack.enter_context(served("upstream", addresses["transformers"]))
            yield {kind: openai.OpenAI(base_url=f"{at}/v1", api_key="none", max_retries=0) for kind, at in addresses.items()}


@contextmanager
def served(kind: str, model: Path | str) -> Iterator[str]:
    engine = open_engine(str(model)) if kind == "upstream" else open_engine(str(model), kind)
    engine.name = "tiny"
    with running(Service({"tiny": engine})) as address:
        wait_until(lambda: HTTP.get(f"{address}/ready").status_code == 200, seconds=60)
        yield address


@pytest.mark.parametrize("kind", KINDS)
def test_a_greedy_completion_is_the_same_streamed_and_whole(clients: dict[str, openai.OpenAI], kind: str) -> None:
    asked = {"model": "tiny", "prompt": "오늘은", "max_tokens": 12, "temperature": 0}
    whole = clients[kind].completions.create(**asked)
    assert whole.usage is not None or kind == "upstream"
    chunks = list(clients[kind].completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text != ""
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    if whole.usage:
        assert whole.usage.completion_tokens == 12 and whole.usage.prompt_tokens >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_the_engine_reach_it(clients: dict[str, openai.OpenAI], kind: str) -> None:
    create = clients[kind].completions.create
    greedy = create(model="tiny", prompt="The", max_tokens=20, temperature=0, logprobs=3).choices[0]
    assert greedy.logprobs and len(greedy.logprobs.tokens or ()) == 20
    for likeliest, logprob in zip(greedy.logprobs.top_logprobs or (), greedy.logprobs.token_logprobs or (), strict=True):
        assert 1 <= len(likeliest) <= 3 and max(likeliest.values()) == pytest.approx(logprob, abs=0.01)
    stop = greedy.text[3:5]
    stopped = create(model="tiny", prompt="The", max_tokens=20, temperature=0, stop=stop).choices[0]
    assert stopped.text == greedy.text[: greedy.text.index(stop)] and stopped.finish_reason == "stop"
    drawn = create(model="tiny", prompt="The", max_tokens=8, n=3, top_p=0.9, extra_body={"top_k": 9, "repetition_penalty": 1.2})
    assert [choice.index for choice in drawn.choices] == [0, 1, 2] and all(choice.text for choice in drawn.choices)


@pytest.mark.parametrize("kind", ["llama", "transformers", "upstream"])
def test_a_seed_gives_the_same_text(clients: dict[str, openai.OpenAI], kind: str) -> None:
    texts = [
        [choice.text for choice in clients[kind].completions.create(model="tiny", prompt="วันนี้", seed=seed, n=2).choices]
        for seed in (7, 7, 8)
    ]
    assert texts[0] == texts[1] and texts[0][0] != texts[0][1]
    assert texts[2][0] == texts[0][1]  # a completion's seed is the request's and its number


def test_what_an_engine_cannot_do_is_refused_by_name(clients: dict[str, openai.OpenAI]) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot honour seed") as refused:
        clients["ctranslate2"].completions.create(model="tiny", prompt="The", seed=7)
    assert refused.value.param == "seed"


@pytest.mark.parametrize("kind", KINDS)
def test_too_long_for_the_context_is_a_400(clients: dict[str, openai.OpenAI], kind: str) -> None:
    with pytest.raises(openai.BadRequestError, match="context"):
        clients[kind].completions.create(model="tiny", prompt="word " * 200, max_tokens=100)
