"""A model as transformers 4 and 5 and vLLM load it: sharded safetensors, configurations, tokenizer.

    model-00001-of-00006.safetensors ...   one `model.safetensors` where it fits
    model.safetensors.index.json           which tensor is where, when there are several
    config.json, generation_config.json    rotary settings as transformers 4 and as transformers 5 name them
    tokenizer.json, tokenizer_config.json  as AutoTokenizer loads them without options
    checksums.json                         xxh3-128 of the weight files

One shard is in memory at a time.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyglot_lm.model.hf import CHECKSUMS, CONFIG, HEAD, PREFIX, WEIGHTS, WEIGHTS_INDEX, save_weights, to_hf_config
from polyglot_lm.pipeline import atomic_path, read_json, write_json, xxh3_128_file
from polyglot_lm.release.proof import CLOSE, EXACT, Bound, Logits
from polyglot_lm.release.weights import TensorFiles, Weights, streamed
from polyglot_lm.tokenizer import CONFIG_FILE, TOKENIZER_FILE, Tokenizer

GENERATION = "generation_config.json"
SHARD_BYTES = 1_000_000_000  # as the safetensors of Polyglot-Ko on the hub
PRECISIONS: Mapping[str, tuple[torch.dtype, Bound]] = {
    "float32": (torch.float32, EXACT),
    "bfloat16": (torch.bfloat16, CLOSE),
    "float16": (torch.float16, CLOSE),
}
BOUNDS = {name: bound for name, (_, bound) in PRECISIONS.items()}


def num_bytes(weights: Weights, precision: str) -> int:
    return weights.config.num_parameters * PRECISIONS[precision][0].itemsize


def write(weights: Weights, tokenizer: Path, out: Path, precision: str) -> None:
    """Write the folder, one shard in memory at a time."""
    dtype = PRECISIONS[precision][0]
    loaded = Tokenizer(tokenizer)
    shards = shards_of(weights, dtype)
    names = [WEIGHTS] if len(shards) == 1 else [f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    for name, tensors in zip(names, shards, strict=True):
        shard = {their_name(ours): weights.read(ours).to(dtype).contiguous() for ours in tensors}
        with atomic_path(out / name) as temporary:
            save_weights(shard, temporary)
        del shard
    if len(shards) > 1:
        total = {"total_parameters": weights.config.num_parameters, "total_size": num_bytes(weights, precision)}
        places = {their_name(ours): name for name, tensors in zip(names, shards, strict=True) for ours in tensors}
        write_json(out / WEIGHTS_INDEX, {"metadata": total, "weight_map": places})
    write_json(out / CHECKSUMS, {name: xxh3_128_file(out / name) for name in names})
    write_tokenizer(tokenizer, out)
    ids = {f"{name}_token_id": loaded.end_id for name in ("bos", "eos", "pad")}
    write_json(out / GENERATION, {"_from_model_config": True, **ids})
    write_json(out / CONFIG, to_hf_config(weights.config, end_id=loaded.end_id, dtype=precision))


def their_name(name: str) -> str:
    return name if name == HEAD else PREFIX + name


def shards_of(weights: Weights, dtype: torch.dtype) -> list[list[str]]:
    """Cut the tensors, in the model's order, into runs of at most `SHARD_BYTES`; a larger tensor is alone."""
    shards, size = [list[str]()], 0
    for name, shape in weights.shapes.items():
        if name == HEAD and weights.config.tied_head:
            continue
        tensor_bytes = torch.Size(shape).numel() * dtype.itemsize
        if shards[-1] and size + tensor_bytes > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor_bytes
    return shards


def write_tokenizer(tokenizer: Path, out: Path) -> None:
    """Copy a tokenizer; its configuration never asks for `token_type_ids`, which GPT-NeoX does not take."""
    shutil.copyfile(tokenizer / TOKENIZER_FILE, out / TOKENIZER_FILE)
    end = {f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "pad")}
    given = read_json(tokenizer / CONFIG_FILE) if (tokenizer / CONFIG_FILE).exists() else end
    needed = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    write_json(out / CONFIG_FILE, given | needed)


def logits(folder: Path) -> tuple[Logits, str]:
    """Return what transformers computes with a folder, streamed, and its version; raises ValueError where tensors do not fit."""
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM

    config, files = AutoConfig.from_pretrained(folder), TensorFiles(folder)
    with torch.device("meta"):
        network: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    network.gpt_neox.rotary_emb = type(network.gpt_neox.rotary_emb)(config)  # its frequencies are computed, not loaded
    names = {name: stored_name(network, name) for name in network.state_dict()}
    if odd := sorted(set(names.values()) ^ files.shapes.keys()):
        raise ValueError(f"transformers and the files do not agree on the tensor {odd[0]}")
    streamed(network, lambda name: files.read(names[name]))
    return lambda tokens_BT: network(tokens_BT, use_cache=False).logits, f"transformers {transformers.__version__}"


def stored_name(network: Any, name: str) -> str:
    """Return a parameter's name in the files: transformers 5 calls the head `lm_head` and loads it from `embed_out`."""
    if network.get_submodule(name.rpartition(".")[0]) is not network.get_output_embeddings():
        return name
    return PREFIX + "embed_in.weight" if network.config.tie_word_embeddings else HEAD


def tokenizer_complaints(folder: Path, tokenizer: Tokenizer, texts: Mapping[str, list[str]]) -> list[str]:
    """Say where AutoTokenizer, loaded without options, cuts text differently from the tokenizer of the training."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    return [
        f"AutoTokenizer cuts {code!r} text differently"
        for code, documents in texts.items()
        if theirs(documents)["input_ids"] != tokenizer.encode_batch(documents, parse_special=True)
    ]
