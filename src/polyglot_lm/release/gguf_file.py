"""A model as llama.cpp runs it: one GGUF file, written tensor by tensor through the `gguf` package.

Matrices are quantised, vectors stay fp32; with 4 bits the embedding and the head keep 8, where rounding costs most. llama.cpp knows
pre-tokenizers by name only and has none with our pattern. Of those it has, `qwen35` cuts letters and marks as we do (others
break Thai at every vowel sign) and differs in numbers, which it reads digit by digit; text is not normalised to NFC. The
proof reads the file back, dequantised, into our own network; `benchmarks/release/llama.py` asks llama.cpp itself.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import HEAD, PREFIX
from polyglot_lm.pipeline import UserError, atomic_path, read_json
from polyglot_lm.release.extras import required
from polyglot_lm.release.proof import CLOSE, EXACT, Bound, Logits
from polyglot_lm.release.weights import MIXED, Weights, bare, by_head, by_kind, streamed
from polyglot_lm.tokenizer import Tokenizer

BLOCK = 32  # numbers that share a scale
INT4 = Bound(min_top1=0.85, max_bits_increase=0.1)
BOUNDS: Mapping[str, Bound] = {"float32": EXACT, "float16": CLOSE, "bfloat16": CLOSE, "int8": CLOSE, "int4": INT4}
MATRICES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 34 / 32, "int4": 18 / 32}
EDGES = ("embed_in.weight", HEAD)
GPT2_SPLIT = "gpt-2"
OUR_SPLIT = "qwen35"
NORMAL, CONTROL, UNUSED = 1, 3, 5  # llama.cpp's token types


def file_name(precision: str) -> str:
    return f"model-{MATRICES[precision].lower()}.gguf"


def num_bytes(weights: Weights, precision: str) -> int:
    config = weights.config
    edges = 2 * config.vocab_size * config.width * (BYTES["int8"] if precision == "int4" else BYTES[precision])
    return int(config.num_parameters * BYTES[precision] + edges)


def write(weights: Weights, tokenizer: Path, out: Path, precision: str) -> None:
    """Write one file, `model-q8_0.gguf` or the like; raises UserError where rows do not divide into blocks."""
    found, rows = Tokenizer(tokenizer), weights.config.vocab_size
    write_file(weights, out / file_name(precision), precision, lambda writer: write_vocabulary(writer, found, rows), rows)


def write_numbered(weights: Weights, path: Path, precision: str, *, num_tokens: int, end_id: int) -> None:
    """Write a file whose tokens are called by their numbers, each with a comma, without rows that only pad: for a program that
    hands token ids in and reads them off the text that it gets."""
    write_file(weights, path, precision, lambda writer: write_numbers(writer, num_tokens, end_id), num_tokens)


def write_file(weights: Weights, path: Path, precision: str, vocabulary: Callable[[Any], None], rows: int) -> None:
    """Write a file with the first `rows` rows of the embedding and the head, and what `vocabulary` writes of tokens."""
    gguf = required("gguf")
    if precision.startswith("int") and weights.config.width % BLOCK:
        raise UserError(f"width is {weights.config.width}; {precision} in GGUF needs a multiple of {BLOCK}")
    with atomic_path(path) as temporary:
        writer = gguf.GGUFWriter(temporary, "gptneox")
        describe(writer, weights.config, precision)
        vocabulary(writer)
        names = [name for name in weights.shapes if not (name == HEAD and weights.config.tied_head)]
        kinds = {name: kind_of(name, len(weights.shapes[name]), precision) for name in names}
        for name, kind in kinds.items():
            shape = (rows, *weights.shapes[name][1:]) if name in EDGES else weights.shapes[name]
            shape = gguf.quant_shape_to_byte_shape(shape, kind) if quantised(kind) else shape
            dtype = np.uint8 if quantised(kind) else {"F32": np.float32, "F16": np.float16}[kind.name]
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            writer.add_tensor_info(gguf_name(name), shape, np.dtype(dtype), size, raw_dtype=kind if quantised(kind) else None)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, kind in kinds.items():
            tensor = weights.read(name)[: rows if name in EDGES else None].float()
            numbers = (by_kind(tensor, weights.config) if MIXED in name else tensor).numpy()
            writer.write_tensor_data(gguf.quants.quantize(numbers, kind))
        writer.close()


def describe(writer: Any, config: ModelConfig, precision: str) -> None:
    gguf = required("gguf")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.mlp_width)
    writer.add_rope_dimension_count(config.rotary_dims)
    writer.add_rope_freq_base(config.rotary_base)
    writer.add_head_count(config.num_heads)
    writer.add_parallel_residual(config.parallel_residual)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    kind = MATRICES[precision]
    writer.add_file_type(gguf.LlamaFileType["ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_vocabulary(writer: Any, tokenizer: Tokenizer, size: int) -> None:
    read = read_json(tokenizer.path)
    names, kinds = [f"<|padding{number}|>" for number in range(size)], [UNUSED] * size
    for token, number in tokenizer.library.get_vocab(with_added_tokens=True).items():
        names[number], kinds[number] = token, CONTROL if number in tokenizer.special_ids else NORMAL
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in read["model"]["merges"]]
    describe_tokens(writer, split_name(read), names, kinds, merges, tokenizer.end_id)


def write_numbers(writer: Any, count: int, end_id: int) -> None:
    names = [f"{number}," for number in range(count)]
    describe_tokens(writer, GPT2_SPLIT, names, [NORMAL] * count, ["0 ,"], end_id)  # one merge, since there must be some


def describe_tokens(writer: Any, split: str, names: list[str], kinds: list[int], merges: list[str], end_id: int) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(end_id)
    writer.add_add_bos_token(False)


def split_name(read: Mapping[str, Any]) -> str:
    """Return llama.cpp's name for the nearest pattern: GPT-2's where the tokenizer uses that of ByteLevel (Polyglot-Ko, Pythia)."""
    given = read["pre_tokenizer"] or {}
    parts = given.get("pretokenizers", [given])
    return GPT2_SPLIT if any(part.get("type") == "ByteLevel" and part.get("use_regex", True) for part in parts) else OUR_SPLIT


def kind_of(name: str, dimensions: int, precision: str) -> Any:
    """Return the `GGMLQuantizationType` a tensor is stored in."""
    kinds = required("gguf").GGMLQuantizationType
    if dimensions < 2:
        return kinds.F32
    return kinds["Q8_0" if precision == "int4" and name in EDGES else MATRICES[precision]]


def quantised(kind: Any) -> bool:
    return kind.name not in ("F32", "F16")


def gguf_name(name: str) -> str:
    gguf = required("gguf")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPTNEOX, 1 + layer_number(name))
    found: str = names.get_name(name if name == HEAD else PREFIX + name, try_suffixes=(".weight", ".bias"))
    return found


def layer_number(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("layers.") else 0


def logits(folder: Path, config: ModelConfig) -> tuple[Logits, str]:
    """Return what the numbers in the file say, computed by our network, and the version of the reader."""
    gguf = required("gguf")
    (path,) = folder.glob("*.gguf")
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}

    def read(name: str) -> Tensor:
        held = stored.get(gguf_name(name)) or stored[gguf_name("embed_in.weight")]  # a tied head is stored once
        numbers: npt.NDArray[np.float32] = gguf.quants.dequantize(held.data, held.tensor_type)
        shape = tuple(int(size) for size in reversed(held.shape))
        tensor = torch.from_numpy(np.array(numbers, dtype=np.float32)).reshape(shape)
        return by_head(tensor, config) if MIXED in name else tensor

    return streamed(bare(config), read), "gguf, read back"
