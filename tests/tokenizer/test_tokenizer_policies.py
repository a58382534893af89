"""Sampling and merging policies: budgets that are kept, parity that is reached, and the same bytes every time."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from conftest import SENTENCES, write_corpus
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.pipeline import UserError
from polyglot_lm.pipeline.identity import canonical, fingerprint
from polyglot_lm.shards import DocumentWriter, part_path
from polyglot_lm.tokenizer import Balanced, Natural, ParallelText, Parity, Policy, Tokenizer, train_tokenizer
from polyglot_lm.tokenizer.parity import measure, read_measurable, read_parallel
from polyglot_lm.tokenizer.policies import Weighted
from polyglot_lm.tokenizer.train import texts_of_share

ONE = dict.fromkeys(SENTENCES, 1.0)
SUPPLY = st.dictionaries(st.sampled_from(list(SENTENCES)), st.floats(1, 1e15), min_size=1)


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return corpora with five times as much English as anything else."""
    root = tmp_path_factory.mktemp("skewed")
    return {code: write_corpus(root / code, code, 250 if n == 0 else 50) for n, code in enumerate(reversed(SENTENCES))}


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parallel") / "sentences.jsonl"
    path.write_text(json.dumps(SENTENCES, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def train(out: Path, corpora: dict[str, Path], policy: Policy, **more: Any) -> Path:
    out.mkdir()
    arguments = {"byte_premiums": ONE, "vocab_size": 512, "max_english_bytes": 10**9}
    train_tokenizer(out, corpora=corpora, policy=policy, **(arguments | more))
    return out


def merges(folder: Path) -> list[list[str]]:
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]  # type: ignore[no-any-return]


@given(SUPPLY, st.floats(1, 1e12))
def test_no_policy_asks_for_more_than_there_is_or_was_allowed(supply: dict[str, float], mean: float) -> None:
    for policy in (Natural(), Balanced(), Parity(parallel=None, plain_share=0.5)):
        budgets = policy.budgets(supply, mean)
        assert list(budgets) == list(supply)
        assert math.fsum(budgets.values()) <= mean * len(supply) * (1 + 1e-9)
        assert all(budgets[code] <= supply[code] * (1 + 1e-9) for code in supply)


def test_natural_keeps_the_shares_of_the_supply_and_balanced_the_smallest() -> None:
    supply = {"en": 900.0, "ko": 100.0}
    assert Natural().budgets(supply, 50) == pytest.approx({"en": 90, "ko": 10})
    assert Natural().budgets(supply, 10**9) == supply
    assert Balanced().budgets(supply, 50) == {"en": 50, "ko": 50}
    assert Balanced().budgets(supply, 10**9) == {"en": 100, "ko": 100}


def test_weighted_text_is_in_its_weights_as_far_as_the_supply_goes() -> None:
    supply = {"ko": 10.0, "th": 40.0, "en": 100.0}
    assert Weighted(weights={"ko": 1, "th": 1, "en": 8}).budgets(supply, 20.0) == pytest.approx({"ko": 6, "th": 6, "en": 48})
    assert Weighted(weights={"ko": 8, "th": 1, "en": 1}).budgets(supply, 20.0) == pytest.approx({"ko": 10, "th": 1.25, "en": 1.25})
    with pytest.raises(UserError, match="no weight for th, en"):
        Weighted(weights={"ko": 1}).budgets(supply, 20.0)


def test_parity_costs_every_language_more_alike_than_plain_bpe(tmp_path: Path, skewed: dict[str, Path], parallel: Path) -> None:
    sentences = read_parallel(parallel)
    policies = {
        "natural": Natural(),
        "balanced": Balanced(),
        "parity": Parity(parallel=ParallelText(path=parallel), plain_share=0.0),
    }
    gini = {
        name: measure(read_measurable(str(train(tmp_path / name, skewed, policy))), sentences, "en")["gini"]
        for name, policy in policies.items()
    }
    assert gini["parity"] < 0.6 * gini["balanced"]
    assert gini["parity"] < 0.6 * gini["natural"]


@pytest.mark.parametrize("variant", ["base", "window"])
def test_parity_training_gives_the_same_bytes_and_the_fixed_ids(
    tmp_path: Path, skewed: dict[str, Path], parallel: Path, variant: Any
) -> None:
    policy = Parity(parallel=ParallelText(path=parallel), plain_share=0.25, variant=variant)
    first, second = (train(tmp_path / name, skewed, policy) for name in ("first", "second"))
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    tokenizer = Tokenizer(first)
    assert tokenizer.vocab_size == 512
    assert [tokenizer.library.id_to_token(number) for number in (0, 2, 5, 63)] == [
        *("<|unused0|>", "<|endoftext|>", "<|tell|>", "<|reserved63|>")
    ]
    assert sorted(tokenizer.token_bytes[64:320]) == [bytes([value]) for value in range(256)]


def test_without_parallel_text_a_higher_byte_premium_gets_more_merges(tmp_path: Path, skewed: dict[str, Path]) -> None:
    policy = Parity(parallel=None, plain_share=0.0)
    thai = {code: 3.0 if code == "th" else 1.0 for code in SENTENCES}
    equal, premium = train(tmp_path / "equal", skewed, policy), train(tmp_path / "premium", skewed, policy, byte_premiums=thai)
    costs = [len(Tokenizer(folder).encode(SENTENCES["th"], parse_special=False)) for folder in (equal, premium)]
    assert costs[1] < costs[0]


def test_parallel_text_is_known_by_its_content(tmp_path: Path, parallel: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(parallel.read_bytes())
    one, same = (fingerprint(canonical(ParallelText(path=path), "p")) for path in (parallel, copy))
    copy.write_bytes(parallel.read_bytes() + b" ")
    assert one == same != fingerprint(canonical(ParallelText(path=copy), "p"))
    with pytest.raises(UserError, match="there is no parallel text at"):
        ParallelText(path=tmp_path / "none").identity()


def test_parallel_text_without_a_language_is_refused(tmp_path: Path, skewed: dict[str, Path]) -> None:
    path = tmp_path / "short.jsonl"
    path.write_text('{"en": "a"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1 of .*short\.jsonl has no sentence in"):
        train(tmp_path / "out", skewed, Parity(parallel=ParallelText(path=path), plain_share=0.0))


@pytest.mark.parametrize("share", [-0.1, 1.0, 2])
def test_a_plain_share_outside_its_bounds_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"plain_share is .*; it must be at least 0 and below 1"):
        Parity(parallel=None, plain_share=share)


def test_a_spread_sample_comes_from_all_over_a_corpus_and_the_rest_follows(tmp_path: Path) -> None:
    with DocumentWriter(part_path(tmp_path, 0)) as writer:
        for number in range(2000):
            writer.write({"id": f"{number:032x}", "text": str(number), "num_bytes": 4, "split": "train"})
    found = [int(text) for text in texts_of_share(tmp_path, 0.1)]
    assert sorted(found) == list(range(2000))
    first = found[: found.index(next(b for a, b in itertools.pairwise(found) if b < a))]
    assert 200 <= len(first) < 280
    assert sum(number < 1000 for number in first) == pytest.approx(len(first) / 2, rel=0.25)
    assert [int(text) for text in texts_of_share(tmp_path, 1.0)] == list(range(2000))


def test_a_spread_sample_has_as_many_bytes_as_one_of_first_documents(tmp_path: Path, skewed: dict[str, Path]) -> None:
    folders = {spread: train(tmp_path / str(spread), skewed, Balanced(), spread=spread, vocab_size=384) for spread in (False, True)}
    assert merges(folders[False]) != merges(folders[True])
