"""The same model under Hugging Face's names: configuration and weights, both ways.

Parameters differ by the prefix `gpt_neox.` alone; the configuration differs in names. Rotary settings are written as
transformers 4 (`rotary_pct`, `rotary_emb_base`) and as transformers 5 (`rope_parameters`) read them, and either is understood.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyglot_lm.model.config import ModelConfig, padded_vocab_size
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import CorruptFileError, UserError, atomic_path, read_json, write_json, xxh3_128_file

PREFIX = "gpt_neox."
HEAD = "embed_out.weight"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
MODEL_FOLDER = "model"  # where a training puts its model, inside its own folder
CHECKSUMS = "checksums.json"  # xxh3-128 of the weight files, checked when it is there
HF_ACTIVATIONS = {"exact": "gelu", "tanh": "gelu_pytorch_tanh"}
# what transformers calls the same two functions
GELUS: Mapping[str, Literal["exact", "tanh"]] = {
    "gelu": "exact",
    "gelu_pytorch_tanh": "tanh",
    "gelu_new": "tanh",
    "gelu_fast": "tanh",
}
IGNORED = ("attention.bias", "attention.masked_bias", "rotary_emb.inv_freq")  # buffers of old checkpoints


def to_hf_config(config: ModelConfig, *, end_id: int, dtype: str) -> dict[str, Any]:
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.width,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_width,
        "hidden_act": HF_ACTIVATIONS[config.gelu],
        "rotary_pct": config.rotary_fraction,
        "rotary_emb_base": config.rotary_base,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rotary_base,
            "partial_rotary_factor": config.rotary_fraction,
        },
        "layer_norm_eps": config.layer_norm_eps,
        "use_parallel_residual": config.parallel_residual,
        "tie_word_embeddings": config.tied_head,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "initializer_range": 0.02,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "pad_token_id": end_id,
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def from_hf_config(read: Mapping[str, Any]) -> ModelConfig:
    """Read a GPT-NeoX `config.json` of transformers 4 or 5; raises UserError for another architecture or activation."""
    if read.get("model_type") != "gpt_neox":
        raise UserError(f"model_type is {read.get('model_type')!r}; only gpt_neox models can be loaded")
    activation = read.get("hidden_act", "gelu")
    if activation not in GELUS:
        raise UserError(f"hidden_act is {activation!r}; only {', '.join(GELUS)} are supported")
    rope = read.get("rope_parameters") or {}
    return ModelConfig(
        vocab_size=padded_vocab_size(read["vocab_size"]),
        context=read["max_position_embeddings"],
        num_layers=read["num_hidden_layers"],
        width=read["hidden_size"],
        num_heads=read["num_attention_heads"],
        mlp_width=read["intermediate_size"],
        rotary_fraction=rope.get("partial_rotary_factor", read.get("rotary_pct", 0.25)),
        rotary_base=float(rope.get("rope_theta", read.get("rotary_emb_base", 10_000))),
        layer_norm_eps=read.get("layer_norm_eps", 1e-5),
        parallel_residual=read.get("use_parallel_residual", True),
        tied_head=read.get("tie_word_embeddings", False),
        gelu=GELUS[activation],
    )


def to_hf_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name if name == HEAD else PREFIX + name: tensor.contiguous() for name, tensor in weights.items()}


def from_hf_weights(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return the weights under our names, embeddings padded with zero rows to the configuration's vocabulary."""
    named = {name.removeprefix(PREFIX): tensor for name, tensor in weights.items() if not name.endswith(IGNORED)}
    if config.tied_head:
        named.setdefault(HEAD, named["embed_in.weight"])
    for name in ("embed_in.weight", HEAD):
        missing = config.vocab_size - named[name].shape[0]
        if missing:
            named[name] = torch.cat([named[name], named[name].new_zeros(missing, config.width)])
    return named


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file that others may read: the library leaves it to its owner alone, a server has another user."""
    save_file(dict(weights), path, metadata={"format": "pt"})
    path.chmod(0o644)


def save_hf(model: GPTNeoX, folder: Path, *, end_id: int) -> None:
    """Write `config.json` and `model.safetensors` as GPTNeoXForCausalLM loads them, and the checksum of the weights."""
    weights = to_hf_weights(model.state_dict())
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    if model.config.tied_head:
        del weights[HEAD]
    with atomic_path(folder / WEIGHTS) as temporary:
        save_weights(weights, temporary)
    write_json(folder / CHECKSUMS, {WEIGHTS: xxh3_128_file(folder / WEIGHTS)})
    write_json(folder / CONFIG, to_hf_config(model.config, end_id=end_id, dtype=dtype))


def load_hf(folder: Path) -> GPTNeoX:
    """Load a GPT-NeoX folder in the Hugging Face format, or the one a training step wrote; raises UserError when it is neither,
    CorruptFileError when damaged."""
    folder = folder / MODEL_FOLDER if (folder / MODEL_FOLDER / CONFIG).exists() else folder
    if not (folder / CONFIG).exists():
        raise UserError(f"no {CONFIG} in {str(folder)!r}; give the folder of an exported model")
    config = from_hf_config(read_json(folder / CONFIG))
    weights: dict[str, Tensor] = {}
    checksums = read_json(folder / CHECKSUMS) if (folder / CHECKSUMS).exists() else {}
    for path in weight_files(folder):
        if path.name in checksums and (found := xxh3_128_file(path)) != checksums[path.name]:
            raise CorruptFileError(path, f"checksum {found}, expected {checksums[path.name]}")
        try:
            weights |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise CorruptFileError(path, str(error)) from error
    with torch.device("meta"):
        model = GPTNeoX(config)
    model.load_state_dict(from_hf_weights(weights, config), assign=True)
    return model.eval()


def weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS_INDEX).exists():
        index = read_json(folder / WEIGHTS_INDEX)
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    if not (folder / WEIGHTS).exists():
        raise UserError(f"no {WEIGHTS} in {str(folder)!r}; give the folder of an exported model")
    return [folder / WEIGHTS]
