"""The order of reading: shares kept at every moment, every document once an epoch, and the same from any place it is resumed.

Tokens of these datasets name their source, document and position, so that what was read can be told from the windows alone.
"""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyglot_lm.mixture import Sampler, Shares
from polyglot_lm.pipeline import CorruptFileError
from polyglot_lm.shards import EncodedDocument, TokenDataset, write_tokens

CONTEXT = 8
NAMES = tuple("abcdefgh")
SOURCE, DOCUMENT = 1_000_000, 1_000  # a token is SOURCE · source + DOCUMENT · document + position
DESCRIPTION = {"lang": "en", "source": "web", "byte_premium": 1.0, "tokenizer": "t", "upstream": []}


def write_source(folder: Path, number: int) -> TokenDataset:
    lengths = [random.Random(f"{number}:{document}").randint(1, 30) for document in range(3 + 4 * number)]
    rows = (
        EncodedDocument(
            id=str(document),
            tokens=[SOURCE * number + DOCUMENT * document + position for position in range(length)],
            num_bytes=length,
            cluster_size=1,
            quality=None,
        )
        for document, length in enumerate(lengths)
    )
    write_tokens(folder, rows, 2**31 - 1, DESCRIPTION)
    return TokenDataset(folder)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenDataset]:
    root = tmp_path_factory.mktemp("sources")
    return {name: write_source(root / name, number) for number, name in enumerate(NAMES)}


def sampler_over(
    datasets: dict[str, TokenDataset], shares: list[float] | None = None, held: list[float] | None = None, seed: int = 0
) -> Sampler:
    """Sample the first sources with weights `shares` (equal if not given) and `held` by a token (1 if not given)."""
    weights = shares or [1.0] * len(datasets)
    names = NAMES[: len(weights)]
    values = {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}
    amounts = dict(zip(names, held or [1.0] * len(names), strict=True))
    chosen = {name: datasets[name] for name in names}
    return Sampler(chosen, Shares(unit="english_bytes", values=values), amounts, CONTEXT, seed)


def stream(sampler: Sampler, name: str, num_epochs: int) -> list[int]:
    """Slow twin: whole documents of whole epochs in the order of their permutations, one after another."""
    dataset = sampler.datasets[name]
    return [
        int(token)
        for epoch in range(num_epochs)
        for place in range(len(dataset))
        for token in dataset.document(sampler.permutation(name, epoch)(place))
    ]


SOURCES = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.2, 5)), min_size=1, max_size=8)  # share and amount a token


@given(SOURCES, st.integers(1, 120))
@example([(0.02, 1.0), (0.02, 1.0), (0.96, 1.0)], 40)  # two small sources must not delay a large one
@example([(0.05, 5.0), (0.05, 5.0), (0.9, 1.0)], 120)
def test_amounts_stay_within_harmonic_number_windows_of_the_shares(
    # eight sources: 2.7 windows; random search over mixtures found 1.74
    datasets: dict[str, TokenDataset],
    sources: list[tuple[float, float]],
    num_windows: int,
) -> None:
    sampler = sampler_over(datasets, [share for share, _ in sources], [held for _, held in sources])
    window = max(sampler.window_amount.values()) * sum(1 / k for k in range(1, len(sources) + 1))
    for _ in range(num_windows):
        sampler.next_window()
        total = sum(sampler.amounts.values())
        for name, amount in sampler.amounts.items():
            assert abs(amount - sampler.shares.values[name] * total) <= window * (1 + 1e-9)


@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=8))
def test_equal_shares_are_kept_within_one_window_at_every_moment(datasets: dict[str, TokenDataset], held: list[float]) -> None:
    sampler = sampler_over(datasets, [1.0] * len(held), held)
    window = max(sampler.window_amount.values())
    for _ in range(60):
        sampler.next_window()
        mean = sum(sampler.amounts.values()) / len(held)
        assert all(abs(amount - mean) <= window * (1 + 1e-9) for amount in sampler.amounts.values())


def test_amounts_count_the_windows_read_of_each_source(datasets: dict[str, TokenDataset]) -> None:
    sampler = sampler_over(datasets, [0.2, 0.5, 0.3], [1.0, 2.5, 0.7])
    taken = Counter(sampler.next_window()[0] for _ in range(100))
    assert sampler.num_windows == 100 == sum(taken.values())
    for name, held in zip("abc", [1.0, 2.5, 0.7], strict=True):
        assert sampler.amounts[name] == pytest.approx(taken[name] * CONTEXT * held)


@pytest.mark.parametrize("seed", range(3))
def test_windows_are_cut_from_whole_permuted_epochs_one_after_another(datasets: dict[str, TokenDataset], seed: int) -> None:
    sampler = sampler_over(datasets, seed=seed)
    read: dict[str, int] = Counter()
    whole = {name: stream(sampler, name, 12) for name in NAMES}
    for _ in range(400):
        name, window = sampler.next_window()
        start = read[name] * CONTEXT
        assert window.tolist() == whole[name][start : start + CONTEXT + 1]
        read[name] += 1


def test_every_document_of_an_epoch_is_read_once_before_the_next(datasets: dict[str, TokenDataset]) -> None:
    sampler = sampler_over(datasets, [1.0] * 4)
    inputs: dict[str, list[int]] = {name: [] for name in NAMES[:4]}
    for _ in range(400):
        name, window = sampler.next_window()
        inputs[name] += window[:-1].tolist()
    for name, tokens in inputs.items():
        epoch = int(datasets[name].lengths.sum())
        assert len(tokens) >= 3 * epoch
        everything = sorted(stream(sampler, name, 1))
        orders = [tokens[start : start + epoch] for start in range(0, 3 * epoch, epoch)]
        assert all(sorted(order) == everything for order in orders)
        assert len(datasets[name]) < 4 or orders[0] != orders[1] != orders[2]


def test_windows_of_a_source_overlap_by_exactly_one_token(datasets: dict[str, TokenDataset]) -> None:
    sampler = sampler_over(datasets)
    last: dict[str, int] = {}
    for _ in range(200):
        name, window = sampler.next_window()
        assert window.shape == (CONTEXT + 1,) and window.dtype == np.int64
        assert (window // SOURCE == NAMES.index(name)).all()
        assert last.get(name, window[0]) == window[0]
        last[name] = window[-1]


@given(st.integers(0, 150), st.integers(1, 100), st.integers(0, 3))
def test_a_state_through_json_goes_on_as_if_uninterrupted(
    datasets: dict[str, TokenDataset], before: int, after: int, seed: int
) -> None:
    first, second = (sampler_over(datasets, [0.5, 0.3, 0.2], [1.0, 3.0, 0.5], seed) for _ in range(2))
    for _ in range(before):
        first.next_window()
    second.load_state(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    np.testing.assert_array_equal(first.next_windows(after), second.next_windows(after))
    assert second.state() == first.state()


def test_a_state_does_not_move_when_its_sampler_does(datasets: dict[str, TokenDataset]) -> None:
    sampler = sampler_over(datasets)
    state = sampler.state()
    before = json.dumps(state)
    sampler.next_windows(50)
    assert json.dumps(state) == before


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_the_order_does_not_depend_on_how_many_windows_are_taken_at_once(
    datasets: dict[str, TokenDataset], counts: list[int]
) -> None:
    many, single = sampler_over(datasets), sampler_over(datasets)
    taken = np.concatenate([many.next_windows(count) for count in counts])
    np.testing.assert_array_equal(taken, [single.next_window()[1] for _ in range(sum(counts))])


def test_two_seeds_give_two_orders_and_one_seed_one(datasets: dict[str, TokenDataset]) -> None:
    orders = [sampler_over(datasets, seed=seed).next_windows(100) for seed in (1, 2, 1)]
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])


def test_sources_of_equal_size_are_read_in_different_orders(datasets: dict[str, TokenDataset]) -> None:
    sampler = Sampler(
        {"x": datasets["h"], "y": datasets["h"]}, Shares(unit="tokens", values={"x": 0.5, "y": 0.5}), {"x": 1, "y": 1}, CONTEXT, 0
    )
    assert stream(sampler, "x", 1) != stream(sampler, "y", 1)


def test_the_order_of_the_sources_in_the_dictionary_does_not_matter(datasets: dict[str, TokenDataset]) -> None:
    sampler = sampler_over(datasets)
    backwards = Sampler(dict(reversed(datasets.items())), sampler.shares, dict.fromkeys(NAMES, 1.0), CONTEXT, 0)
    np.testing.assert_array_equal(sampler.next_windows(100), backwards.next_windows(100))


def test_the_state_of_eight_sources_takes_less_than_a_kilobyte(datasets: dict[str, TokenDataset]) -> None:
    sampler = sampler_over(datasets, held=[1 / 3, 2.7182818, 1.1, 0.9, 1.7, 2.3, 0.77, 3.1])
    sampler.next_windows(1000)
    state = sampler.state()
    large = {name: {"epoch": 12, "place": 123_456_789, "offset": 65_432} for name in state["cursors"]}
    assert len(json.dumps({**state, "num_windows": 10**9, "cursors": large})) < 1024


def test_shares_of_other_sources_are_refused(datasets: dict[str, TokenDataset]) -> None:
    shares = Shares(unit="tokens", values={"a": 0.5, "z": 0.5})
    with pytest.raises(ValueError, match=r"sources \['a', 'b'\] and shares \['a', 'z'\] must match"):
        Sampler({name: datasets[name] for name in "ab"}, shares, {"a": 1.0, "b": 1.0}, CONTEXT, 0)


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    write_tokens(tmp_path, (), 512, DESCRIPTION)
    with pytest.raises(ValueError, match=r"empty: \['a'\]"):
        Sampler({"a": TokenDataset(tmp_path)}, Shares(unit="tokens", values={"a": 1.0}), {"a": 1.0}, CONTEXT, 0)


def test_a_flipped_bit_is_named_when_it_is_first_read(tmp_path: Path) -> None:
    write_source(tmp_path, 2)
    path = tmp_path / "shard-00000.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    sampler = Sampler({"a": TokenDataset(tmp_path)}, Shares(unit="tokens", values={"a": 1.0}), {"a": 1.0}, CONTEXT, 0)
    with pytest.raises(CorruptFileError, match=r"shard-00000\.bin is damaged \(block 0"):
        sampler.next_window()
