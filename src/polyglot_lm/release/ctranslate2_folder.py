"""A model as CTranslate2 runs it on CPUs: written through its specification API.

CTranslate2 4.8 brings a converter for GPT-NeoX, but it reads attributes that transformers 5 renamed, and it needs the
whole model twice. Here each layer is quantised as it is read, so the model is held once, in the precision it is written in. The
tokenizer lies beside it, since CTranslate2 takes tokens and gives tokens.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import HEAD
from polyglot_lm.release.extras import required
from polyglot_lm.release.hugging_face import write_tokenizer
from polyglot_lm.release.proof import CLOSE, EXACT, Bound, Logits
from polyglot_lm.release.smoothing import Smoothed
from polyglot_lm.release.weights import Weights, by_kind
from polyglot_lm.tokenizer import END, Tokenizer

BOUNDS: Mapping[str, Bound] = {"float32": EXACT, "float16": CLOSE, "bfloat16": CLOSE, "int8": CLOSE}
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
PROGRAM = "ctranslate2"


def num_bytes(weights: Weights, precision: str) -> int:
    return weights.config.num_parameters * BYTES[precision]


def write(weights: Weights, tokenizer: Path, out: Path, precision: str) -> None:
    """Write `model.bin`, `config.json`, `vocabulary.json` and the tokenizer."""
    required(PROGRAM)
    spec = specification(weights.config)
    source = Smoothed(weights) if precision == "int8" else weights
    decoder = spec.decoder
    decoder.scale_embeddings = False
    put(decoder.embeddings, precision, weight=source.read("embed_in.weight"))
    put(decoder.projection, precision, weight=source.read(HEAD))
    norm(decoder.layer_norm, precision, source, "final_layer_norm")
    for number, layer in enumerate(decoder.layer):
        fill_layer(layer, precision, source, f"layers.{number}")
    spec.register_vocabulary(vocabulary(Tokenizer(tokenizer), weights.config.vocab_size))
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = END
    spec.config.layer_norm_epsilon = weights.config.layer_norm_eps
    spec.config.add_attribute("max_position_embeddings", weights.config.context)  # unread by CTranslate2; serving needs it
    spec.validate()
    spec.save(str(out))
    write_tokenizer(tokenizer, out)


def specification(config: ModelConfig) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    return transformer_spec.TransformerDecoderModelSpec.from_config(
        config.num_layers,
        config.num_heads,
        pre_norm=True,
        activation=common_spec.Activation.GELUTanh if config.gelu == "tanh" else common_spec.Activation.GELU,
        rotary_dim=config.rotary_dims,
        rotary_interleave=False,
        rotary_base=config.rotary_base,
        parallel_residual=config.parallel_residual,
        shared_layer_norm=False,
    )


def fill_layer(layer: Any, precision: str, source: Weights | Smoothed, name: str) -> None:
    parallel = source.config.parallel_residual
    first = layer.input_layer_norm if parallel else layer.self_attention.layer_norm
    second = layer.post_attention_layer_norm if parallel else layer.ffn.layer_norm
    norm(first, precision, source, f"{name}.input_layernorm")
    norm(second, precision, source, f"{name}.post_attention_layernorm")
    mixed = {kind: source.read(f"{name}.attention.query_key_value.{kind}") for kind in ("weight", "bias")}
    query_key_value, dense = layer.self_attention.linear
    put(query_key_value, precision, **{kind: by_kind(tensor, source.config) for kind, tensor in mixed.items()})
    linear(dense, precision, source, f"{name}.attention.dense")
    linear(layer.ffn.linear_0, precision, source, f"{name}.mlp.dense_h_to_4h")
    linear(layer.ffn.linear_1, precision, source, f"{name}.mlp.dense_4h_to_h")


def linear(part: Any, precision: str, source: Weights | Smoothed, name: str) -> None:
    put(part, precision, weight=source.read(f"{name}.weight"), bias=source.read(f"{name}.bias"))


def norm(part: Any, precision: str, source: Weights | Smoothed, name: str) -> None:
    put(part, precision, gamma=source.read(f"{name}.weight"), beta=source.read(f"{name}.bias"))


def put(part: Any, precision: str, **tensors: Tensor) -> None:
    """Set the tensors of the smallest part of a specification and quantise them.

    The library would do this at the end, to the whole model in fp32. The numbers are a copy, since quantising writes over them and
    a tensor that was read is a view of its file.
    """
    for name, tensor in tensors.items():
        setattr(part, name, tensor.to(torch.float32, copy=True).numpy())
    part.validate()
    part.optimize(quantization=precision)


def vocabulary(tokenizer: Tokenizer, size: int) -> list[str]:
    """Return a name for every row of the embedding; rows without a token get one that no text has."""
    names = [f"<|padding{number}|>" for number in range(size)]
    for token, number in tokenizer.library.get_vocab(with_added_tokens=True).items():
        names[number] = token
    return names


def logits(folder: Path) -> tuple[Logits, str]:
    """Return what CTranslate2 computes on this machine's CPU, and its version."""
    ctranslate2 = required(PROGRAM)
    generator = ctranslate2.Generator(str(folder), device="cpu", intra_threads=torch.get_num_threads())

    def compute(tokens_BT: Tensor) -> Tensor:
        return torch.from_numpy(np.array(generator.forward_batch(tokens_BT.tolist())))

    return compute, f"ctranslate2 {ctranslate2.__version__}"
