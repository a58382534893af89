"""LSH: buckets, verified edges and components equal slow twins, whatever the order of rows and edges."""

import numpy as np
import pytest
from conftest import tiny_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.lsh import MAX_LEADERS, Components, Edges, group, star_edges, verified_edges
from polyglot_lm.corpus.kernels.minhash import NUM_VALUES, band_keys, signatures

rows = st.lists(st.integers(0, 12), max_size=80)


def buckets_of(keys: list[int], documents: list[int]) -> set[tuple[int, ...]]:
    found = group(np.array(keys, np.uint64), np.array(documents, np.uint32))
    return {tuple(found.documents[a:b].tolist()) for a, b in zip(found.bounds[:-1], found.bounds[1:], strict=True)}


def slow_buckets(keys: list[int], documents: list[int]) -> set[tuple[int, ...]]:
    held: dict[int, list[int]] = {}
    for key, document in zip(keys, documents, strict=True):
        held.setdefault(key, []).append(document)
    return {tuple(sorted(bucket)) for bucket in held.values() if len(bucket) > 1}


@settings(max_examples=200, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_buckets_are_those_of_a_dictionary(keys: list[int], rng: object) -> None:
    documents = list(range(len(keys)))
    rng.shuffle(documents)  # type: ignore[attr-defined]
    assert buckets_of(keys, documents) == slow_buckets(keys, documents)


@pytest.mark.parametrize(("num_rows", "num_keys"), [(60_000, 50_000), (60_000, 3), (20_000, 20_000_000)])
@pytest.mark.parametrize("kind", [np.uint32, np.int64])
def test_many_parts_hold_the_same_buckets(num_rows: int, num_keys: int, kind: type[np.generic]) -> None:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, num_keys, num_rows).astype(np.uint64)
    documents = rng.permutation(num_rows).astype(kind)
    found = group(keys, documents)
    assert found.documents.dtype == kind
    wanted = slow_buckets(keys.tolist(), documents.tolist())
    assert {tuple(found.documents[a:b].tolist()) for a, b in zip(found.bounds[:-1], found.bounds[1:], strict=True)} == wanted


def slow_edges(buckets: set[tuple[int, ...]], signed: np.ndarray, min_agreement: float) -> set[tuple[int, int]]:
    edges = set()
    for bucket in buckets:
        leaders: list[int] = []
        for document in bucket:
            like = [leader for leader in leaders if (signed[leader] == signed[document]).sum() >= min_agreement * NUM_VALUES - 1e-9]
            edges |= {(leader, document) for leader in like[:1]}
            leaders += [document] * (not like and len(leaders) < MAX_LEADERS)
    return edges


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(0, 10_000), st.sampled_from([0.5, 0.72, 1.0]))
def test_edges_are_those_of_greedy_leaders(keys: list[int], seed: int, min_agreement: float) -> None:
    rng = np.random.default_rng(seed)
    signed = (rng.random((len(keys), NUM_VALUES)) < rng.choice([0.05, 0.2, 0.5])).astype(np.uint16)
    documents = list(range(len(keys)))
    edges = verified_edges(group(np.array(keys, np.uint64), np.array(documents, np.uint32)), signed, min_agreement)
    wanted = slow_edges(slow_buckets(keys, documents), signed, min_agreement)
    assert set(zip(edges.first.tolist(), edges.second.tolist(), strict=True)) == wanted


def test_a_bucket_has_64_leaders_at_most() -> None:
    count = MAX_LEADERS + 2
    signed = np.repeat(np.arange(count, dtype=np.uint16), 2)[:, None] + np.zeros(NUM_VALUES, np.uint16)
    documents = np.arange(2 * count, dtype=np.uint32)
    edges = verified_edges(group(np.zeros(2 * count, np.uint64), documents), signed, 0.72)
    assert edges.second.tolist() == list(range(1, 2 * MAX_LEADERS, 2))


def test_star_edges_join_a_bucket_to_its_smallest() -> None:
    found = star_edges(group(np.array([5, 9, 5, 7, 9, 5], np.uint64), np.array([4, 3, 0, 5, 1, 2], np.uint32)))
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == {(0, 2), (0, 4), (1, 3)}


def slow_labels(num_documents: int, pairs: list[tuple[int, int]]) -> list[int]:
    labels = list(range(num_documents))
    for _ in range(num_documents):
        for one, other in pairs:
            labels[one] = labels[other] = min(labels[one], labels[other])
    return labels


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40), st.randoms(use_true_random=False))
def test_components_do_not_depend_on_the_order_of_edges(pairs: list[tuple[int, int]], rng: object) -> None:
    wanted = slow_labels(30, pairs)
    for _ in range(2):
        components = Components(30)
        for part in (pairs[:5], pairs[5:]):
            components.join(Edges(np.array([a for a, _ in part], np.uint32), np.array([b for _, b in part], np.uint32)))
        assert components.labels().tolist() == wanted
        rng.shuffle(pairs)  # type: ignore[attr-defined]


def test_planted_duplicates_become_clusters() -> None:
    """Ten documents a language, each thrice with one word more: thirty become ten."""
    texts = [f"{text} {extra}" for code in ("en", "ko", "vi") for text in tiny_texts(code, 10, seed=5) for extra in ("", "x", "y")]
    signed = signatures(TextBatch.from_texts(texts), 3)
    keys, documents = band_keys(signed), np.arange(len(texts), dtype=np.uint32)
    components = Components(len(texts))
    for band in range(keys.shape[1]):
        components.join(verified_edges(group(keys[:, band].copy(), documents), signed, 0.72))
    assert components.labels().tolist() == [place - place % 3 for place in range(len(texts))]


def test_wrong_numbers_are_said() -> None:
    none = np.zeros(0, np.uint32)
    with pytest.raises(ValueError, match="2 keys and 1 documents"):
        group(np.zeros(2, np.uint64), np.zeros(1, np.uint32))
    with pytest.raises(ValueError, match="an edge names a document of 3 or above"):
        Components(3).join(Edges(np.array([1], np.uint32), np.array([3], np.uint32)))
    with pytest.raises(ValueError, match="min_agreement is 0"):
        verified_edges(group(np.zeros(0, np.uint64), none), np.zeros((0, NUM_VALUES), np.uint16), 0)
    assert len(star_edges(group(np.zeros(0, np.uint64), none)).first) == 0
