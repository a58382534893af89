"""Reading tensor by tensor gives what loading whole gives, from one file or many, of this format or the old one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import HEAD, load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import UserError, read_json
from polyglot_lm.release import hugging_face
from polyglot_lm.release.smoothing import Smoothed, norm_and_linear
from polyglot_lm.release.weights import Weights

SHAPE = neox(vocab_size=256, context=16, num_layers=2, width=16, num_heads=2, rotary_dims=4)
TOKENS = torch.randint(0, 256, (3, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    network = GPTNeoX(SHAPE)
    initialize(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.add_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 3)
    save_hf(network, path, end_id=2)
    return path


def logits(network: GPTNeoX) -> torch.Tensor:
    with torch.no_grad():
        return network(TOKENS)


def test_a_streamed_network_computes_what_a_loaded_one_does(folder: Path) -> None:
    network = Weights(folder).network()
    assert torch.equal(logits(network), logits(load_hf(folder)))
    assert all(parameter.is_meta for parameter in network.parameters())  # nothing stays in memory


def test_shards_hold_every_tensor_once_and_load_alike(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer_folder: Path
) -> None:
    monkeypatch.setattr(hugging_face, "SHARD_BYTES", 5_000)
    hugging_face.write(Weights(folder), tokenizer_folder, tmp_path, "float32")
    files = sorted(tmp_path.glob("*.safetensors"))
    index = read_json(tmp_path / "model.safetensors.index.json")
    assert len(files) > 3 and files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    held = [(name, path.name) for path in files for name in load_file(path)]
    assert dict(held) == index["weight_map"] and len(held) == len(index["weight_map"])
    assert index["metadata"] == {"total_parameters": SHAPE.num_parameters, "total_size": 4 * SHAPE.num_parameters}
    limit = 256 * 16 * 4  # the embedding is larger than a shard and lies alone
    assert max(sum(tensor.nbytes for tensor in load_file(path).values()) for path in files) == limit
    assert torch.equal(logits(load_hf(tmp_path)), logits(load_hf(folder)))


@pytest.mark.parametrize("split", [False, True])
def test_pickled_checkpoints_of_old_are_read(folder: Path, tmp_path: Path, split: bool) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["gpt_neox.layers.0.attention.masked_bias"] = torch.tensor(-1e9)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    if split:
        names = {name: f"pytorch_model-0000{1 + number % 2}-of-00002.bin" for number, name in enumerate(tensors)}
        for file in set(names.values()):
            torch.save({name: tensor for name, tensor in tensors.items() if names[name] == file}, tmp_path / file)
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    else:
        torch.save(tensors, tmp_path / "pytorch_model.bin")
    assert torch.equal(logits(Weights(tmp_path).network()), logits(load_hf(folder)))


def test_a_folder_without_weights_is_a_users_mistake(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(UserError, match=r"no model\.safetensors in"):
        Weights(tmp_path)
    with pytest.raises(UserError, match=r"no config\.json in"):
        Weights(tmp_path / "nowhere")


def test_smoothing_changes_weights_and_not_the_model(folder: Path) -> None:
    weights = Weights(folder)
    smoothed = Smoothed(weights)
    network = load_hf(folder)
    network.load_state_dict({name: smoothed.read(name) for name in weights.shapes})
    changed = [name for name in weights.shapes if not torch.equal(smoothed.read(name), weights.read(name))]
    assert HEAD in changed and "layers.0.mlp.dense_h_to_4h.weight" in changed and "embed_in.weight" not in changed
    assert torch.allclose(logits(network), logits(load_hf(folder)), atol=2e-5)


def test_smoothing_knows_which_linear_reads_which_norm() -> None:
    assert norm_and_linear("layers.3.input_layernorm.bias") == (
        "layers.3.input_layernorm",
        "layers.3.attention.query_key_value.weight",
    )
    assert norm_and_linear("layers.3.attention.query_key_value.bias") is None
    assert norm_and_linear("final_layer_norm.weight") == ("final_layer_norm", HEAD)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    from polyglot_lm.tokenizer import train_tokenizer

    out = tmp_path_factory.mktemp("tokenizer")
    chosen = {code: tiny_corpora[code] for code in ("ko", "en")}
    train_tokenizer(out, corpora=chosen, byte_premiums={"ko": 1.0, "en": 1.0}, vocab_size=384, max_english_bytes=20_000)
    return out
