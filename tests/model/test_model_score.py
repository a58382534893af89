"""Bits of documents next to a slow twin that reads one window at a time, without batches and padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.model.config import neox
from polyglot_lm.model.score import document_bits
from polyglot_lm.model.transformer import GPTNeoX, initialize

CONTEXT, VOCAB, END = 8, 384, 2


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> GPTNeoX:
    network = GPTNeoX(neox(vocab_size=VOCAB, context=CONTEXT, num_layers=2, width=32, num_heads=4, rotary_dims=4))
    initialize(network, torch.Generator().manual_seed(3))
    with torch.no_grad():
        network.embed_out.weight.mul_(5)
    return network.eval()


@torch.no_grad()
def slow_bits(model: GPTNeoX, ids: list[int]) -> float:
    """Predict each token in turn: the first `CONTEXT` from all before, then each from the window that first reaches it,
    where windows start every `CONTEXT // 2` tokens."""
    tokens, total = [END, *ids, END], 0.0
    for place in range(1, len(tokens)):
        half = CONTEXT // 2
        start = max(0, -(-(place - CONTEXT) // half)) * half
        logits = model(torch.tensor([tokens[start:place]]))[0, -1].double()
        total -= float(torch.log_softmax(logits, dim=0)[tokens[place]]) / math.log(2)
    return total


DOCUMENTS = st.lists(st.lists(st.integers(3, VOCAB - 1), max_size=3 * CONTEXT), min_size=1, max_size=20)


@given(DOCUMENTS)
@settings(max_examples=25)
def test_bits_of_documents_equal_a_loop_over_single_tokens(model: GPTNeoX, documents: list[list[int]]) -> None:
    assert document_bits(model, documents, END) == pytest.approx([slow_bits(model, ids) for ids in documents], rel=1e-5)


@pytest.mark.parametrize("length", [0, 1, CONTEXT - 1, CONTEXT, CONTEXT + 1, 5 * CONTEXT + 3])
def test_documents_around_and_beyond_the_context_are_scored_to_their_end(model: GPTNeoX, length: int) -> None:
    document = [64 + number * 7 % 300 for number in range(length)]
    assert document_bits(model, [document], END) == pytest.approx([slow_bits(model, document)], rel=1e-5)


def test_bits_do_not_depend_on_the_other_documents_of_the_batch(model: GPTNeoX) -> None:
    documents = [[64 + number] * (number + 1) for number in range(40)]
    together = document_bits(model, documents, END)
    assert together == pytest.approx([document_bits(model, [document], END)[0] for document in documents], rel=1e-5)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary() -> None:
    network = GPTNeoX(neox(vocab_size=256, context=8, num_layers=1, width=16, num_heads=2, rotary_dims=4))
    with torch.no_grad():
        network.embed_out.weight.zero_()
    assert document_bits(network, [[5] * 30, []], END) == pytest.approx([31 * 8.0, 8.0])


def test_no_documents_have_no_bits(model: GPTNeoX) -> None:
    assert document_bits(model, [], END) == []
