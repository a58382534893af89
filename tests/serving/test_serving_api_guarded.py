"""What the guard says of prompts and completions reaches the requester, and the curators, as it should."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import httpx
import openai
import pytest
from serving.stand_ins import HTTP, Parrot, running, sent_events

from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict

ACTIONS = {"mask": Action.MASK, "hold": Action.HOLD, "refuse": Action.REFUSE}
KEPT_BACK = 6


class WordGuard:
    """Masks, holds or refuses where a text has that word; its watch keeps six letters back."""

    def __init__(self, mode: Literal["off", "log", "enforce"]) -> None:
        self.mode = mode

    def check(self, text: str, direction: Literal["prompt", "completion"]) -> Verdict:
        found = [Reason(word, "word list", "en", action) for word, action in ACTIONS.items() if word in text]
        action = max((reason.action for reason in found), default=Action.ALLOW)
        return Verdict(action, text.replace("mask", "<m>"), tuple(found), 0.001)

    def watch(self) -> "WordWatch":
        return WordWatch(self)


class WordWatch:
    def __init__(self, guard: WordGuard) -> None:
        self.guard, self.kept = guard, ""

    def feed(self, text: str) -> Verdict:
        return self.look(text, KEPT_BACK)

    def finish(self) -> Verdict:
        return self.look("", 0)

    def look(self, text: str, keep: int) -> Verdict:
        found = self.guard.check(self.kept + text, "completion")
        if found.action >= Action.HOLD:
            return Verdict(found.action, "", found.reasons)
        cut = max(0, len(found.text) - keep)
        self.kept = found.text[cut:]
        return Verdict(found.action, found.text[:cut], found.reasons)


class ListedReviews:
    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def add(self, *, sampling: Mapping[str, object] = {}, **item: Any) -> str:
        self.items.append(item | {"sampling": sampling})
        return str(len(self.items))

    def released(self, item: str) -> str | None:
        return "let go" if item == "1" else None

    def expire(self) -> None: ...


@pytest.fixture
def reviews() -> ListedReviews:
    return ListedReviews()


@pytest.fixture
def enforcing(reviews: ListedReviews) -> Iterator[str]:
    service = Service({"parrot": Parrot()}, guard=WordGuard("enforce"), reviews=reviews)
    with running(service) as found:
        yield found


def ask(address: str, prompt: str, **change: object) -> httpx.Response:
    return HTTP.post(f"{address}/v1/completions", json={"model": "parrot", "prompt": prompt, "max_tokens": 20} | change)


def test_a_refused_prompt_is_a_400_with_reasons(enforcing: str, reviews: ListedReviews) -> None:
    for stream in (True, False):
        error = ask(enforcing, "now refuse this", stream=stream)
        assert error.status_code == 400 and error.json()["error"]["code"] == "content_filter"
        assert "refuse (en): word list, refused" in error.json()["error"]["message"]
    assert reviews.items == []


def test_a_masked_prompt_is_what_the_model_sees(enforcing: str) -> None:
    (choice,) = ask(enforcing, "mask it ", max_tokens=12).json()["choices"]
    assert choice["text"] == "<m> it <m> i"
    assert choice["guard"][0] == {
        "direction": "prompt", "action": "mask", "reasons": ["mask (en): word list, masked"], "enforced": True, "review": None,
    }  # fmt: skip


def test_a_held_completion_reaches_the_curators_and_comes_back(reviews: ListedReviews) -> None:
    service = Service({"parrot": Parrot(context=100)}, guard=WordGuard("enforce"), reviews=reviews)
    with running(service) as address:
        # the prompt alone is harmless; said twice it has the word
        *chunks, done = sent_events(ask(address, "ld and then ho", stream=True, max_tokens=40).text)
        text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        assert done == "[DONE]" and text == "ld and th"  # what was kept back stays so
        last, notice = chunks[-1]["choices"][0], chunks[-2]["choices"][0]
        assert last["finish_reason"] == "content_filter"
        assert notice["guard"] == [
            {
                "direction": "completion",
                "action": "hold",
                "reasons": ["hold (en): word list, held"],
                "enforced": True,
                "review": "1",
            }
        ]
        (item,) = reviews.items
        assert item["prompt"] == "ld and then ho" and item["completion"] == "ld and then hold"
        assert item["model"] == "parrot" and item["client"] == "127.0.0.1" and item["verdict"].action is Action.HOLD
        assert item["sampling"]["max_tokens"] == 40 and "stop" not in item["sampling"]
        assert HTTP.get(f"{address}/v1/reviews/1").json() == {"id": "1", "object": "review", "text": "let go"}
        assert HTTP.get(f"{address}/v1/reviews/2").status_code == 404


def test_the_engine_stops_where_the_guard_does(reviews: ListedReviews) -> None:
    parrot = Parrot(context=2000)
    with running(Service({"parrot": parrot}, guard=WordGuard("enforce"), reviews=reviews)) as address:
        whole = ask(address, "ld and then ho", max_tokens=1500).json()
        assert whole["choices"][0]["finish_reason"] == "content_filter" and whole["usage"]["completion_tokens"] == 16
        assert parrot.cancelled == 1 and parrot.open == 0


def test_a_held_prompt_is_not_written_to(enforcing: str, reviews: ListedReviews) -> None:
    (choice,) = ask(enforcing, "please hold").json()["choices"]
    assert len(choice["guard"]) == 1
    assert (choice["text"], choice["finish_reason"]) == ("", "content_filter")
    assert choice["guard"][0]["direction"] == "prompt" and choice["guard"][0]["review"] == "1"
    assert reviews.items[0]["completion"] == ""


def test_logprobs_do_not_spell_what_the_guard_took_out(enforcing: str) -> None:
    (clean,) = ask(enforcing, "harmless", logprobs=0).json()["choices"]
    assert "".join(clean["logprobs"]["tokens"]) == clean["text"] and len(clean["text"]) == 20
    (masked,) = ask(enforcing, "sk here is a ma", logprobs=1, max_tokens=30).json()["choices"]
    assert "<m>" in masked["text"] and masked["logprobs"] is None


def test_a_logging_guard_changes_nothing_and_tells(reviews: ListedReviews) -> None:
    service = Service({"parrot": Parrot()}, guard=WordGuard("log"), reviews=reviews)
    with running(service) as address:
        (choice,) = ask(address, "mask hold refuse ", logprobs=0).json()["choices"]
        assert choice["text"] == "mask hold refuse mas" and choice["finish_reason"] == "length"
        assert choice["guard"][0]["action"] == "refuse"
        assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
        assert len(reviews.items) == 1 and reviews.items[0]["completion"] == choice["text"]
        figures = HTTP.get(f"{address}/metrics").text
        assert 'polyglot_guard_actions_total{action="refuse",direction="prompt"} 1.0' in figures


def test_a_guard_that_is_off_sees_nothing() -> None:
    with running(Service({"parrot": Parrot()}, guard=WordGuard("off"))) as address:
        done = openai.OpenAI(base_url=f"{address}/v1", api_key="x").completions.create(model="parrot", prompt="refuse ")
        assert done.choices[0].text == "refuse refuse re"
