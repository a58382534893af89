"""Our transformer next to transformers' GPTNeoXForCausalLM: the same logits from the same weights, both ways."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyglot_lm.model.config import POLYGLOT_KO, ModelConfig, neox
from polyglot_lm.model.hf import CHECKSUMS, CONFIG, WEIGHTS, WEIGHTS_INDEX, from_hf_config, load_hf, save_hf, to_hf_config
from polyglot_lm.model.transformer import Cache, GPTNeoX, initialize
from polyglot_lm.pipeline import CorruptFileError, UserError, read_json

TOLERANCE = 1e-4
TINY = neox(vocab_size=384, context=32, num_layers=2, width=32, num_heads=4, rotary_dims=4)
# heads as wide as the released ones, so the same 64 dimensions are rotated of 128 or of 256; two layers are enough to tell
SCALED = {
    size: neox(
        vocab_size=384, context=32, num_layers=2, width=256, num_heads=256 // config.head_width, rotary_dims=config.rotary_dims
    )
    for size, config in POLYGLOT_KO.items()
}
VARIANTS = {
    **{f"polyglot-ko-{size}": config for size, config in SCALED.items()},
    "sequential": replace(TINY, parallel_residual=False),
    "tanh": replace(TINY, gelu="tanh"),
    "tied": replace(TINY, tied_head=True),
    "other numbers": replace(TINY, rotary_base=50_000.0, layer_norm_eps=1e-3, mlp_width=48, rotary_fraction=1.0),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_model(config: ModelConfig, seed: int = 0) -> GPTNeoX:
    """Initialise and then shake everything, so that no bias is 0 and no norm 1."""
    generator = torch.Generator().manual_seed(seed)
    model = GPTNeoX(config)
    initialize(model, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return model.eval()


def random_tokens(vocab_size: int = 384, length: int = 32) -> Tensor:
    return torch.randint(0, vocab_size, (3, length), generator=torch.Generator().manual_seed(1))


def theirs_from(folder: Path) -> Any:
    from transformers import GPTNeoXForCausalLM

    return GPTNeoXForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def their_model(config: ModelConfig, vocab_size: int = 384) -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    described = to_hf_config(config, end_id=2, dtype="float32") | {"vocab_size": vocab_size, "initializer_range": 0.2}
    return GPTNeoXForCausalLM(GPTNeoXConfig(**described)).eval()


@torch.no_grad()
def largest_difference(ours: GPTNeoX, theirs: Any, tokens: Tensor) -> float:
    logits, expected = ours(tokens), theirs(tokens).logits
    assert expected.abs().max() > 0.1  # not all zero
    return float((logits[..., : expected.shape[-1]] - expected).abs().max())


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_transformers_computes_our_logits_from_our_folder(tmp_path: Path, config: ModelConfig) -> None:
    model = random_model(config)
    save_hf(model, tmp_path, end_id=2)
    assert largest_difference(model, theirs_from(tmp_path), random_tokens()) < TOLERANCE


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_we_compute_transformers_logits_from_its_folder(tmp_path: Path, config: ModelConfig) -> None:
    theirs = their_model(config)
    theirs.save_pretrained(tmp_path)
    ours = load_hf(tmp_path)
    assert ours.config == config
    assert largest_difference(ours, theirs, random_tokens()) < TOLERANCE


def test_a_checkpoint_in_many_files_is_loaded(tmp_path: Path) -> None:
    theirs = their_model(TINY)
    theirs.save_pretrained(tmp_path, max_shard_size="30KB")
    assert (tmp_path / WEIGHTS_INDEX).exists() and len(list(tmp_path.glob("*.safetensors"))) > 2
    assert largest_difference(load_hf(tmp_path), theirs, random_tokens()) < TOLERANCE


def test_a_vocabulary_that_no_128_divides_is_padded_with_zero_rows(tmp_path: Path) -> None:
    theirs = their_model(TINY, vocab_size=303)
    theirs.save_pretrained(tmp_path)
    ours = load_hf(tmp_path)
    assert ours.config.vocab_size == 384
    assert largest_difference(ours, theirs, random_tokens(vocab_size=303)) < TOLERANCE
    assert ours.embed_in.weight[303:].abs().max() == 0 == ours.embed_out.weight[303:].abs().max()


@pytest.mark.parametrize("spelling", ["transformers 4", "transformers 5"])
def test_either_spelling_of_the_rotary_settings_is_understood(spelling: str) -> None:
    config = replace(TINY, rotary_base=77_000.0)
    described = to_hf_config(config, end_id=2, dtype="float32")
    for name in ("rope_parameters",) if spelling == "transformers 4" else ("rotary_pct", "rotary_emb_base"):
        del described[name]
    assert from_hf_config(described) == config


@pytest.mark.parametrize("config", [TINY, replace(TINY, tied_head=True)], ids=["untied", "tied"])
def test_a_saved_model_comes_back_equal(tmp_path: Path, config: ModelConfig) -> None:
    model = random_model(config)
    save_hf(model, tmp_path, end_id=2)
    loaded = load_hf(tmp_path)
    assert loaded.config == config
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert not loaded.training


@pytest.mark.parametrize("length", [1, 2, 31])
def test_cached_logits_equal_uncached(length: int) -> None:
    model, tokens = random_model(TINY), random_tokens()
    cache = Cache()
    with torch.no_grad():
        pieces = [model(tokens[:, :length], cache), *(model(tokens[:, n : n + 1], cache) for n in range(length, 32))]
        whole = model(tokens)
    assert cache.length == 32
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-5)


def test_a_token_does_not_see_what_follows() -> None:
    model, tokens = random_model(TINY), random_tokens()
    changed = tokens.clone()
    changed[:, 20] = (changed[:, 20] + 1) % 384
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.isclose(before[:, 20:], after[:, 20:]).all(dim=2).any()


def test_more_tokens_than_the_context_are_refused() -> None:
    model, cache = random_model(TINY), Cache()
    with pytest.raises(ValueError, match="33 tokens are more than the context of 32"):
        model(torch.zeros(1, 33, dtype=torch.long))
    model(torch.zeros(1, 30, dtype=torch.long), cache)
    with pytest.raises(ValueError, match="2 tokens cannot follow a filled cache; give one at a time"):
        model(torch.zeros(1, 2, dtype=torch.long), cache)


def test_a_damaged_weight_file_is_named(tmp_path: Path) -> None:
    save_hf(random_model(TINY), tmp_path, end_id=2)
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    data[-100] ^= 1
    (tmp_path / WEIGHTS).write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"model\.safetensors is damaged \(checksum"):
        load_hf(tmp_path)


def test_half_a_weight_file_without_checksums_is_named(tmp_path: Path) -> None:
    save_hf(random_model(TINY), tmp_path, end_id=2)
    (tmp_path / CHECKSUMS).unlink()
    data = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptFileError, match=r"model\.safetensors is damaged"):
        load_hf(tmp_path)


@pytest.mark.parametrize("name", [CONFIG, CHECKSUMS, WEIGHTS_INDEX])
def test_a_damaged_json_file_is_named(tmp_path: Path, name: str) -> None:
    their_model(TINY).save_pretrained(tmp_path, max_shard_size="30KB")
    (tmp_path / name).write_text('{"weight_map": {')
    with pytest.raises(CorruptFileError, match=name.replace(".", r"\.") + " is damaged"):
        load_hf(tmp_path)


def test_a_missing_piece_of_a_model_is_named(tmp_path: Path) -> None:
    their_model(TINY).save_pretrained(tmp_path, max_shard_size="30KB")
    missing = sorted(tmp_path.glob("*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(CorruptFileError, match=missing.name):
        load_hf(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("model_type", "llama"), ("hidden_act", "relu"), ("hidden_act", "swish")])
def test_a_model_of_another_kind_is_refused(tmp_path: Path, field: str, value: str) -> None:
    save_hf(random_model(TINY), tmp_path, end_id=2)
    described = read_json(tmp_path / CONFIG) | {field: value}
    (tmp_path / CONFIG).write_text(json.dumps(described))
    with pytest.raises(UserError, match=f"{field} is '{value}'; only"):
        load_hf(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json in .*; give the folder of an exported model"):
        load_hf(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(to_hf_config(TINY, end_id=2, dtype="float32")))
    with pytest.raises(UserError, match=r"no model\.safetensors in .*; give the folder of an exported model"):
        load_hf(tmp_path)


def test_initial_values_have_the_spread_of_gpt_neox() -> None:
    config = replace(TINY, width=256, num_heads=2, mlp_width=1024, rotary_fraction=0.5)
    model = GPTNeoX(config)
    initialize(model, torch.Generator().manual_seed(0))
    block = model.layers[0]
    small, wang = (2 / (5 * 256)) ** 0.5, 2 / (2 * 256**0.5)
    for weight in (
        model.embed_in.weight,
        model.embed_out.weight,
        block.attention.query_key_value.weight,
        block.mlp.dense_h_to_4h.weight,
    ):
        assert weight.std().item() == pytest.approx(small, rel=0.02)
    for weight in (block.attention.dense.weight, block.mlp.dense_4h_to_h.weight):
        assert weight.std().item() == pytest.approx(wang, rel=0.02)
    vectors = {name: set(parameter.tolist()) for name, parameter in model.named_parameters() if parameter.ndim == 1}
    assert all(values == ({0.0} if name.endswith("bias") else {1.0}) for name, values in vectors.items())
