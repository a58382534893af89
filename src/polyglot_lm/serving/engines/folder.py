"""Which engine a folder is for, and a folder that CTranslate2 can load, made once of one that it cannot.

A Hugging Face folder (GPT-NeoX, safetensors) is converted on first use into the user's cache, under a name made of what it was
made of: size and time of the weights and the hash of the tokenizer. Pickled weights are refused, since reading them can run code.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from polyglot_lm.pipeline import UserError, read_json
from polyglot_lm.pipeline.files import empty_folder
from polyglot_lm.tokenizer import TOKENIZER_FILE

if TYPE_CHECKING:
    from polyglot_lm.release.weights import Weights  # imports torch

CONFIG, WEIGHTS, WEIGHTS_INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"  # model.hf imports torch
CONVERTED = "model.bin"  # CTranslate2's weights
ARCHITECTURE = "gpt_neox"
CONTEXT = "max_position_embeddings"
CONVERSION = 1  # part of the cache's names; counts up when the conversion changes


def require_usable(folder: Path) -> None:
    """Raise UserError unless the folder holds a GPT-NeoX in safetensors, or one for CTranslate2, with its tokenizer."""
    if not folder.is_dir():
        raise UserError(f"there is no model {str(folder)!r}; give the folder of an exported model or the address of a server")
    if not (folder / CONFIG).exists():
        raise UserError(f"no {CONFIG} in {str(folder)!r}; give the folder that `polyglot export` wrote")
    if not (folder / TOKENIZER_FILE).exists():
        raise UserError(f"no {TOKENIZER_FILE} in {str(folder)!r}; export the model again with its tokenizer")
    config = read_json(folder / CONFIG)
    if is_converted(folder):
        if CONTEXT not in config:
            raise UserError(f"{str(folder / CONFIG)!r} has no {CONTEXT}; export the model again, or serve its Hugging Face folder")
        return
    if config.get("model_type") != ARCHITECTURE:
        raise UserError(f"model_type is {config.get('model_type')!r} in {str(folder / CONFIG)!r}; only {ARCHITECTURE} is served")
    if not any((folder / name).exists() for name in (WEIGHTS, WEIGHTS_INDEX)):
        raise UserError(f"no {WEIGHTS} in {str(folder)!r}; pickled weights are never read, `polyglot import` rewrites them")


def is_converted(folder: Path) -> bool:
    return (folder / CONVERTED).exists()


def context_of(folder: Path) -> int:
    return int(read_json(folder / CONFIG)[CONTEXT])


def converted(folder: Path, precision: str) -> Path:
    """Return the folder itself when it is CTranslate2's, else that of its conversion, converting on first use."""
    from polyglot_lm.release import ctranslate2_folder

    if is_converted(folder):
        return folder
    return made_once(folder, precision, CONVERTED, lambda weights, out: ctranslate2_folder.write(weights, folder, out, precision))


def made_once(folder: Path, what: str, file: str, write: Callable[["Weights", Path], None]) -> Path:
    """Return the folder of a conversion in the cache, written with `file` in it on first use."""
    from polyglot_lm.release.weights import Weights

    out = cache_folder() / f"{folder.resolve().name}-{what}-{fingerprint(folder)}"
    if not (out / file).exists():
        temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        empty_folder(temporary)
        write(Weights(folder), temporary)
        try:
            temporary.rename(out)
        except OSError:  # another process was quicker
            if not (out / file).exists():
                raise
    return out


def cache_folder() -> Path:
    """Return the user's cache of conversions, which may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polyglot" / "engines"


def fingerprint(folder: Path) -> str:
    """Return a hash that changes with the model: names, sizes and times of its weights, configuration and tokenizer."""
    paths = [*sorted(folder.glob("*.safetensors")), folder / CONFIG, folder / TOKENIZER_FILE]
    rows = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return xxhash.xxh3_128_hexdigest(repr((CONVERSION, str(folder.resolve()), rows)).encode())[:16]
