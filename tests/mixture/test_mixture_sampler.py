"""The order of reading: equal to a plain twin's, shares kept at every moment, every document once an epoch."""

import itertools
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_sampler import epoch_of, stream, turns
from tiny_sources import CONTEXT, DOCUMENT, NAMES, SOURCE, documents_of, sampler_over, shares_of, write_source

from polyglot_lm.mixture import Sampler, Shares
from polyglot_lm.mixture.log import WINDOW
from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.shards import TokenDataset, write_tokens

Datasets = dict[str, TokenDataset]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    root = tmp_path_factory.mktemp("sources")
    return {name: write_source(root / name, number) for number, name in enumerate(NAMES)}


def plain_windows(
    sampler: Sampler, count: int, times: Sequence[Sequence[int]] | None = None, seed: int = 0
) -> list[tuple[str, list[int]]]:
    """Return the first windows by the plain twin, with the weights of the sampler's log."""
    documents = {name: documents_of(number) for number, name in enumerate(sampler.names)}
    occur = dict(zip(sampler.names, times, strict=True)) if times else {name: [1] * len(documents[name]) for name in documents}
    log = [
        (start, {name: Fraction(weight, WINDOW) for name, weight in zip(sampler.names, weights, strict=True)})
        for start, weights in sampler.log.entries
    ]
    order = list(itertools.islice(turns(log), count))
    needed = Counter(order)
    tokens = {name: stream(documents[name], occur[name], seed, name, needed[name] * CONTEXT + 1) for name in documents}
    read: Counter[str] = Counter()
    windows = []
    for name in order:
        windows.append((name, tokens[name][read[name] * CONTEXT : (read[name] + 1) * CONTEXT + 1]))
        read[name] += 1
    return windows


WEIGHTS = st.lists(st.floats(0.001, 1), min_size=1, max_size=8)
HELD = st.lists(st.floats(0.2, 5), min_size=8, max_size=8)


@settings(deadline=None, max_examples=60)
@given(WEIGHTS, HELD, st.integers(0, 3), st.integers(1, 200))
def test_every_window_is_the_plain_twins(
    datasets: Datasets, weights: list[float], held: list[float], seed: int, count: int
) -> None:
    sampler = sampler_over(datasets, weights, held, seed)
    assert [(name, window.tolist()) for name, window in (sampler.next_window() for _ in range(count))] == plain_windows(
        sampler_over(datasets, weights, held, seed), count, seed=seed
    )


@settings(deadline=None, max_examples=40)
@given(st.data(), WEIGHTS)
def test_documents_that_occur_several_times_or_never_come_as_the_plain_twins(
    datasets: Datasets, data: st.DataObject, weights: list[float]
) -> None:
    names = NAMES[: len(weights)]
    numbers = [st.lists(st.integers(0, 4), min_size=len(datasets[name]), max_size=len(datasets[name])) for name in names]
    times = [data.draw(drawn.filter(any)) for drawn in numbers]
    occurrences = {name: np.array(found, np.uint8) for name, found in zip(names, times, strict=True)}
    sampler = sampler_over(datasets, weights, occurrences=occurrences)
    assert [(name, window.tolist()) for name, window in (sampler.next_window() for _ in range(150))] == plain_windows(
        sampler, 150, times
    )


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.lists(st.tuples(st.integers(1, 60), WEIGHTS), max_size=4))
def test_a_change_of_weights_alters_nothing_before_it_and_the_twin_agrees_after_it(
    datasets: Datasets, weights: list[float], changes: list[tuple[int, list[float]]]
) -> None:
    sampler, without = sampler_over(datasets, weights), sampler_over(datasets, weights)
    read: list[tuple[str, list[int]]] = []
    for steps, others in changes:
        before = sampler.num_windows
        now = [(name, window.tolist()) for name, window in (sampler.next_window() for _ in range(steps))]
        if before == 0:
            assert now == [(name, window.tolist()) for name, window in (without.next_window() for _ in range(steps))]
        read += now
        sampler.change_shares(shares_of((others * 8)[: len(weights)]))
    read += [(name, window.tolist()) for name, window in (sampler.next_window() for _ in range(80))]
    assert read == plain_windows(sampler, len(read))


@settings(deadline=None)
@given(WEIGHTS, HELD)
@example([0.02, 0.02, 0.96], [1.0] * 8)  # small sources that come due together must not delay a large one
@example([0.05, 0.05, 0.9], [5.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
def test_every_source_is_within_a_window_of_its_share_at_every_moment(
    datasets: Datasets, weights: list[float], held: list[float]
) -> None:
    sampler = sampler_over(datasets, weights, held)
    per_window = np.array(weights) / held[: len(weights)]
    turns = sampler.take_turns(3000)
    counts = np.cumsum(turns[:, None] == np.arange(len(weights)), axis=0)
    planned = np.arange(1, 3001)[:, None] * np.array(sampler.log.weights(0)) / WINDOW
    assert np.abs(counts - planned).max() < 1
    assert np.abs(np.array(sampler.log.weights(0)) / WINDOW - per_window / per_window.sum()).max() < len(weights) / WINDOW
    assert list(sampler.counts.values()) == counts[-1].tolist()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 40), st.lists(st.floats(0.001, 1), min_size=8, max_size=8)), min_size=2, max_size=20))
def test_what_is_owed_when_the_weights_change_stays_owed(datasets: Datasets, stages: list[tuple[int, list[float]]]) -> None:
    sampler = sampler_over(datasets, stages[0][1])
    planned = np.zeros(8)
    for steps, weights in stages:
        sampler.change_shares(shares_of(weights))
        sampler.seek(sampler.num_windows + steps)
        planned += steps * np.array(sampler.log.entries[-1][1]) / WINDOW
        assert np.abs(np.array(list(sampler.counts.values())) - planned).max() < 2  # random search: 1.7


@pytest.mark.parametrize(("windows", "points"), [(1_000, 0.5), (100_000, 0.05)])
@pytest.mark.parametrize("unit", [[1.0] * 8, [1 / 3, 2.7182818, 1.1, 0.9, 1.7, 2.3, 0.77, 3.1]])
def test_realised_shares_are_the_plan(datasets: Datasets, windows: int, points: float, unit: list[float]) -> None:
    weights = [0.301, 0.003, 0.17, 0.11, 0.2, 0.09, 0.081, 0.045]
    sampler = sampler_over(datasets, weights, unit)
    sampler.seek(windows)
    amounts = sampler.amounts
    for name, weight in zip(NAMES, weights, strict=True):
        assert abs(100 * amounts[name] / sum(amounts.values()) - 100 * weight / sum(weights)) < points


def test_no_document_is_read_again_before_its_epoch_ends(datasets: Datasets) -> None:
    sampler = sampler_over(datasets)
    read: dict[str, list[int]] = {name: [] for name in NAMES}
    for name, window in (sampler.next_window() for _ in range(1500)):
        read[name] += window[:-1].tolist()
    for number, name in enumerate(NAMES):
        begun = [token % SOURCE // DOCUMENT for token in read[name] if token % DOCUMENT == 0]
        size = len(datasets[name])
        epochs = [begun[start : start + size] for start in range(0, len(begun) - size, size)]
        assert epochs and all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert epochs[0] == epoch_of(documents_of(number), [1] * size, 0, name, 0)
        assert size < 4 or epochs[0] != epochs[1] != epochs[2]


def test_a_batch_says_where_documents_begin_and_where_its_rows_come_from(datasets: Datasets) -> None:
    batch = sampler_over(datasets).next_batch(300)
    assert (batch.starts == (batch.tokens % DOCUMENT == 0)).all()
    assert (batch.sources == batch.tokens[:, 0] // SOURCE).all()
    assert (batch.documents == batch.tokens[:, 0] % SOURCE // DOCUMENT).all()


def test_counts_amounts_and_shares_are_those_of_the_windows_read(datasets: Datasets) -> None:
    sampler = sampler_over(datasets, [0.2, 0.5, 0.3], [1.0, 2.5, 0.7])
    assert sampler.shares.values == pytest.approx({"a": 0.2, "b": 0.5, "c": 0.3}, abs=2e-6)
    taken = Counter(sampler.next_window()[0] for _ in range(100))
    sampler.change_shares(shares_of([0.6, 0.1, 0.3]))
    assert sampler.shares.values == pytest.approx({"a": 0.6, "b": 0.1, "c": 0.3}, abs=2e-6)
    taken += Counter(sampler.next_window()[0] for _ in range(77))
    assert sampler.counts == taken
    for name, held in zip("abc", [1.0, 2.5, 0.7], strict=True):
        assert sampler.amounts[name] == pytest.approx(taken[name] * CONTEXT * held)


def test_another_seed_another_name_and_another_epoch_give_another_order(datasets: Datasets) -> None:
    orders = [sampler_over(datasets, seed=seed).next_windows(100) for seed in (1, 2, 1)]
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])
    both = Sampler(
        {"x": datasets["h"], "y": datasets["h"]}, Shares(unit="tokens", values={"x": 0.5, "y": 0.5}), {"x": 1, "y": 1}, CONTEXT, 0
    )
    batch = both.next_batch(40)
    assert not np.array_equal(batch.documents[batch.sources == 0], batch.documents[batch.sources == 1])


def test_the_order_of_the_sources_in_the_dictionary_does_not_matter(datasets: Datasets) -> None:
    backwards = Sampler(dict(reversed(datasets.items())), shares_of([1.0] * 8), dict.fromkeys(NAMES, 1.0), CONTEXT, 0)
    np.testing.assert_array_equal(sampler_over(datasets).next_windows(100), backwards.next_windows(100))


def test_a_source_that_is_added_leaves_the_streams_of_the_others_as_they_were(datasets: Datasets) -> None:
    few, many = sampler_over(datasets, [1.0] * 3).next_batch(90), sampler_over(datasets).next_batch(240)
    for source in range(3):
        np.testing.assert_array_equal(few.tokens[few.sources == source], many.tokens[many.sources == source])


def test_sources_that_do_not_fit_together_are_refused(datasets: Datasets, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sources \['a', 'b'\] and shares \['a', 'z'\] must match"):
        Sampler(
            {name: datasets[name] for name in "ab"},
            Shares(unit="tokens", values={"a": 0.5, "z": 0.5}),
            {"a": 1, "b": 1},
            CONTEXT,
            0,
        )
    write_tokens(tmp_path / "empty", (), 512, {"lang": "en", "source": "web", "byte_premium": 1.0, "tokenizer": "t"})
    with pytest.raises(UserError, match=r"sources \['a'\] have no documents"):
        sampler_over({"a": TokenDataset(tmp_path / "empty")}, [1.0])
    foreign = write_source(tmp_path / "foreign", 1, tokenizer="u")
    with pytest.raises(UserError, match=r"different tokenizers \({'t': 'a', 'u': 'b'}\)"):
        sampler_over({"a": datasets["a"], "b": foreign}, [1.0, 1.0])


@pytest.mark.parametrize("held", [0.0, -1.0, float("nan"), float("inf")])
def test_an_amount_a_token_that_is_none_is_refused(datasets: Datasets, held: float) -> None:
    with pytest.raises(UserError, match=r"source 'b' holds .* english_bytes; it must be finite and above 0"):
        sampler_over(datasets, [1.0, 1.0], [1.0, held])


@pytest.mark.parametrize("occurrences", [[1, 1], [0, 0, 0]])
def test_occurrences_that_do_not_fit_are_refused(datasets: Datasets, occurrences: list[int]) -> None:
    with pytest.raises(UserError, match=r"source 'a' has 3 documents and"):
        sampler_over(datasets, [1.0], occurrences={"a": np.array(occurrences, np.uint8)})


def test_a_flipped_bit_is_named_when_it_is_read(tmp_path: Path) -> None:
    sources = {"a": write_source(tmp_path, 2)}
    path = tmp_path / "shard-00000.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"shard-00000\.bin is damaged \(the document at its token \d+ is not what"):
        sampler_over(sources, [1.0]).next_windows(30)
