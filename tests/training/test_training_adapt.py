"""Begin from a model that exists: nothing changes without a new vocabulary, and with one the model still reads what it did."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import CONFIG, load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import texts
from polyglot_lm.tokenizer import Tokenizer, train_tokenizer
from polyglot_lm.tokenizer.extend import extend_tokenizer
from polyglot_lm.training.adapt import ModelFolder, adapt_model, pieces

TINY = neox(vocab_size=384, context=32, num_layers=2, width=32, num_heads=4, rotary_dims=4)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    """A model as another would publish it: weights, configuration and a tokenizer of English and Malay in one folder."""
    out = tmp_path_factory.mktemp("theirs")
    latin = {code: tiny_corpora[code] for code in ("en", "id", "ms")}
    train_tokenizer(out, corpora=latin, byte_premiums=dict.fromkeys(latin, 1.0), vocab_size=384, max_english_bytes=20_000)
    network = GPTNeoX(TINY)
    initialize(network, torch.Generator().manual_seed(1))
    save_hf(network, out, end_id=2)
    return out


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory, theirs: Path, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("larger")
    premiums = {"ko": 1.3, "vi": 1.3, "th": 2.8}
    corpora = {code: tiny_corpora[code] for code in premiums}
    extend_tokenizer(out, base=theirs, corpora=corpora, byte_premiums=premiums, vocab_size=512, max_english_bytes=20_000)
    return out


def adapted(out: Path, theirs: Path, tokenizer: Path | None, context: int | None = None) -> GPTNeoX:
    out.mkdir()
    found = adapt_model(out, model=ModelFolder(path=theirs), tokenizer=tokenizer, context=context)
    network = load_hf(out)
    assert found["parameters"] == network.config.num_parameters == sum(p.numel() for p in network.parameters())
    return network


@torch.no_grad()
def test_with_its_own_vocabulary_the_model_is_the_same(tmp_path: Path, theirs: Path) -> None:
    network, before = adapted(tmp_path / "out", theirs, None), load_hf(theirs)
    batch = torch.arange(60).view(2, 30)
    assert torch.equal(network(batch), before(batch))
    assert Tokenizer(tmp_path / "out").hash == Tokenizer(theirs).hash


@torch.no_grad()
def test_old_tokens_are_read_as_before_and_new_ones_as_the_mean_of_their_parts(tmp_path: Path, theirs: Path, larger: Path) -> None:
    network, before = adapted(tmp_path / "out", theirs, larger), load_hf(theirs)
    batch = torch.arange(60).view(2, 30)
    assert torch.allclose(network(batch)[..., :384], before(batch), atol=1e-6)
    new, old = Tokenizer(larger), Tokenizer(theirs)
    cuts = pieces(new, old)
    for number in range(384, 512):
        assert b"".join(old.token_bytes[part] for part in cuts[number]) == new.token_bytes[number] and len(cuts[number]) > 1
        for table, source in ((network.embed_in, before.embed_in), (network.embed_out, before.embed_out)):
            torch.testing.assert_close(table.weight[number], source.weight[cuts[number]].mean(dim=0))


def test_an_unrelated_tokenizer_keeps_what_both_know(tmp_path: Path, theirs: Path, tiny_corpora: dict[str, Path]) -> None:
    tokenizer = tmp_path / "thai"
    tokenizer.mkdir()
    train_tokenizer(
        tokenizer, corpora={"th": tiny_corpora["th"]}, byte_premiums={"th": 2.8}, vocab_size=384, max_english_bytes=20_000
    )
    network, before = adapted(tmp_path / "out", theirs, tokenizer), load_hf(theirs)
    new, old = Tokenizer(tokenizer), Tokenizer(theirs)
    assert torch.equal(network.embed_in.weight[:320], before.embed_in.weight[:320])  # special tokens and bytes
    for text in texts(tiny_corpora["th"], "test"):
        whole = [part for token in new.encode(text, parse_special=False) for part in pieces(new, old)[token]]
        assert old.decode_bytes(whole) == text.encode()
        break


def test_a_longer_context_changes_no_weight(tmp_path: Path, theirs: Path) -> None:
    network = adapted(tmp_path / "out", theirs, None, context=64)
    assert network.config == replace(TINY, context=64)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), load_hf(theirs).parameters(), strict=True))


def test_identity_is_content_and_not_place(tmp_path: Path, theirs: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    assert ModelFolder(path=copy).identity() == ModelFolder(path=theirs).identity()
    config = (copy / CONFIG).read_text()
    (copy / CONFIG).write_text(config.replace('"layer_norm_eps": 1e-05', '"layer_norm_eps": 1e-06'))
    assert ModelFolder(path=copy).identity() != ModelFolder(path=theirs).identity()


def test_a_folder_that_is_no_model_is_said(tmp_path: Path, theirs: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json in .*; give the folder of an exported GPT-NeoX model"):
        ModelFolder(path=tmp_path)
    (tmp_path / CONFIG).write_bytes((theirs / CONFIG).read_bytes())
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        ModelFolder(path=tmp_path)
