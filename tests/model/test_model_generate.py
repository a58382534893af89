"""Generation: cached equals uncached, seeds decide, padding is never drawn, and characters come out whole."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from conftest import SENTENCES
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.model.config import neox
from polyglot_lm.model.generate import Sampling, draw, generate, stream_text
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import UserError

CONTEXT, VOCAB, END = 16, 384, 2
GREEDY = Sampling(temperature=0)
PROMPT = [70, 80, 90]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> GPTNeoX:
    network = GPTNeoX(neox(vocab_size=VOCAB, context=CONTEXT, num_layers=2, width=32, num_heads=4, rotary_dims=4))
    initialize(network, torch.Generator().manual_seed(3))
    with torch.no_grad():
        network.embed_out.weight.mul_(8)  # an untrained model is nearly indifferent; let it have opinions
    return network.eval()


def tokens(
    model: GPTNeoX, sampling: Sampling, *, max_tokens: int = 12, allowed: int = VOCAB, prompt: list[int] = PROMPT
) -> list[int]:
    return list(generate(model, prompt, max_tokens=max_tokens, end_id=END, allowed=allowed, sampling=sampling))


@torch.no_grad()
def uncached(model: GPTNeoX, max_tokens: int) -> list[int]:
    """Slow twin: read everything anew for each token; past the context, start over from the newest half of it."""
    history, start = [END, *PROMPT], 0
    for _ in range(max_tokens):
        if len(history) - start > CONTEXT:
            start = len(history) - CONTEXT // 2
        token = int(model(torch.tensor([history[start:]]))[0, -1].argmax())
        if token == END:
            break
        history.append(token)
    return history[4:]


def test_cached_generation_takes_the_likeliest_tokens_of_the_uncached_model(model: GPTNeoX) -> None:
    found = tokens(model, GREEDY)
    assert len(found) == 12 and found == uncached(model, 12)


def test_generation_goes_on_past_the_context(model: GPTNeoX) -> None:
    found = tokens(model, GREEDY, max_tokens=3 * CONTEXT)
    assert len(found) == 3 * CONTEXT and found == uncached(model, 3 * CONTEXT)


def test_a_prompt_longer_than_the_context_is_read_from_its_end(model: GPTNeoX) -> None:
    prompt = [64 + number % 200 for number in range(100)]
    assert tokens(model, GREEDY, prompt=prompt, max_tokens=1) == tokens(model, GREEDY, prompt=prompt[-CONTEXT:], max_tokens=1)


def test_an_empty_prompt_starts_a_document(model: GPTNeoX) -> None:
    assert len(tokens(model, Sampling(seed=1), prompt=[], max_tokens=5)) == 5


def test_generation_stops_before_the_end_token(model: GPTNeoX) -> None:
    evenly = [Sampling(temperature=1000.0, top_p=1, seed=seed) for seed in range(20)]
    found = [tokens(model, sampling, allowed=4, max_tokens=200) for sampling in evenly]
    assert {token for text in found for token in text} == {0, 1, 3}
    assert max(map(len, found)) < 200 and len({len(text) for text in found}) > 1


def test_greedy_ignores_the_seed_and_repeats_itself(model: GPTNeoX) -> None:
    assert tokens(model, GREEDY) == tokens(model, Sampling(temperature=0, seed=9, top_k=3, top_p=0.1)) == tokens(model, GREEDY)


def test_the_same_seed_gives_the_same_text_and_another_seed_another(model: GPTNeoX) -> None:
    texts = [tokens(model, Sampling(temperature=1.5, top_p=1, seed=seed)) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("narrow", [Sampling(top_k=1, top_p=1), Sampling(top_p=1e-9), Sampling(temperature=1e-6)])
def test_a_choice_of_one_token_is_greedy(model: GPTNeoX, narrow: Sampling) -> None:
    assert tokens(model, narrow) == tokens(model, GREEDY)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=100.0, top_p=1, seed=1)])
def test_padding_rows_are_never_drawn(model: GPTNeoX, sampling: Sampling) -> None:
    found = tokens(model, sampling, allowed=100, max_tokens=200)
    assert max(found) < 100
    assert max(tokens(model, sampling, max_tokens=200)) >= 100  # the model itself would


@given(st.integers(1, 12), st.floats(0.05, 1), st.integers(0, 1000))
def test_only_the_likeliest_tokens_are_drawn(top_k: int, top_p: float, seed: int) -> None:
    probabilities = torch.tensor([0.3, 0.02, 0.25, 0.03, 0.2, 0.1, 0.06, 0.04])
    order = [0, 2, 4, 5, 6, 7, 3, 1]
    before = [sum(float(probabilities[token]) for token in order[:place]) for place in range(8)]
    allowed = {token for place, token in enumerate(order) if place < top_k and before[place] < top_p + 1e-6}
    generator = torch.Generator().manual_seed(seed)
    sampling = Sampling(temperature=1, top_k=top_k, top_p=top_p)
    assert {draw(probabilities.log(), sampling, generator) for _ in range(20)} <= allowed


def test_tokens_are_drawn_as_often_as_their_probability_says() -> None:
    logits = torch.tensor([0.6, 0.3, 0.1]).log()
    generator = torch.Generator().manual_seed(0)
    for sampling, expected in ((Sampling(temperature=1, top_p=1), 0.6), (Sampling(temperature=0.5, top_p=1), 0.36 / 0.46)):
        counts = Counter(draw(logits, sampling, generator) for _ in range(4000))
        assert counts[0] / 4000 == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", -0.1), ("temperature", math.nan), ("top_k", -1), ("top_p", 0.0), ("top_p", 1.1), ("top_p", math.nan)],
)
def test_sampling_out_of_bounds_is_refused_with_the_bound(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{field} is {value}; it must"):
        Sampling(**{field: value})


@pytest.mark.parametrize("code", SENTENCES)
def test_characters_come_out_whole_when_split_at_every_byte(code: str) -> None:
    text = SENTENCES[code] + " 👩‍🚀"
    pieces = list(stream_text(bytes([byte]) for byte in text.encode()))
    assert pieces == list(text)


@given(st.text(), st.data())
def test_any_text_streams_unbroken_however_it_is_cut(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    streamed = list(stream_text(pieces))
    assert "".join(streamed) == text
    assert "" not in streamed and ("\ufffd" in text or "\ufffd" not in "".join(streamed))


def test_bytes_that_never_become_a_character_show_as_a_replacement() -> None:
    assert "".join(stream_text([b"a", b"\xff", "가".encode()[:2]])) == "a\ufffd\ufffd"
