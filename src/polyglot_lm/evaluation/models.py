"""Any model on the bench: a folder of ours, a causal model of the hub, or one of the presets (`presets.toml`).

A preset is a name, the model's place on the hub and the facts that a report needs beside its numbers. Everything is loaded by
transformers: one path for all, and what is measured is what a user of that model gets. Masked models (mBERT) are loaded too, and
say so: they have no likelihood of a text, only a pseudo-log-likelihood (see `masked`).
"""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polyglot_lm.model.hf import CHECKSUMS, CONFIG
from polyglot_lm.pipeline import UserError, read_json, xxh3_128_file

PRESETS_FILE = Path(__file__).parent / "presets.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A model of the literature; `tokens` read in training, `trained_on` those of our languages that were among them."""

    name: str
    hub: str
    parameters: int
    trained_on: tuple[str, ...]
    tokens: int | None = None


@functools.cache
def presets() -> Mapping[str, Preset]:
    """Return the models of the literature by name."""
    found = tomllib.loads(PRESETS_FILE.read_text())
    return {name: Preset(name=name, **{**facts, "trained_on": tuple(facts["trained_on"])}) for name, facts in found.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchedModel:
    """A model ready to be measured. `identity` changes when its weights do; `context` is how many tokens it reads at most."""

    name: str
    identity: str
    network: Any
    tokenizer: Any
    masked: bool
    context: int

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device


def device_named(device: str) -> torch.device:
    """Return a device; auto is a GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)


def load_model(name: str, *, device: str = "auto") -> BenchedModel:
    """Load a preset, a folder or a model of the hub: bf16 on a GPU, fp32 elsewhere.

    Raises UserError when it cannot be had, is neither a causal nor a masked model, or does not fit its tokenizer.
    """
    place = presets()[name].hub if name in presets() else name
    folder = Path(place) if Path(place).is_dir() else None
    if folder is None and ("/" not in place or place.startswith((".", "/"))):
        raise UserError(f"no model {name!r}; give a folder, OWNER/NAME of the hub, or one of {', '.join(presets())}")
    chosen = device_named(device)
    config, tokenizer, network, masked = with_transformers(name, place, torch.bfloat16 if chosen.type == "cuda" else torch.float32)
    rows = network.get_input_embeddings().weight.shape[0]
    if (needed := max(tokenizer.get_vocab().values()) + 1) > rows:
        raise UserError(
            f"the tokenizer of {name!r} has {needed:,} tokens, its model {rows:,}; put the tokenizer of this model there"
        )
    identity = folder_identity(folder) if folder else f"{place}@{getattr(config, '_commit_hash', None) or 'unknown'}"
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "seq_length", None) or 2048
    return BenchedModel(
        name=name, identity=identity, network=network.to(chosen).eval(), tokenizer=tokenizer, masked=masked, context=context
    )


def with_transformers(name: str, place: str, dtype: torch.dtype) -> tuple[Any, Any, Any, bool]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(place)
        masked = any("MaskedLM" in kind or "ForPreTraining" in kind for kind in config.architectures or ())
        tokenizer = AutoTokenizer.from_pretrained(place)
        network = (AutoModelForMaskedLM if masked else AutoModelForCausalLM).from_pretrained(place, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"model {name!r} cannot be loaded ({reason}); give a whole folder, or see that the hub is reachable"
        ) from error
    return config, tokenizer, network, masked


def folder_identity(folder: Path) -> str:
    """Return what the weights' bytes decide: of a folder of ours its checksums, else the hash of every weight file."""
    if (folder / CHECKSUMS).exists():
        hashes = read_json(folder / CHECKSUMS)
    else:
        hashes = {path.name: xxh3_128_file(path) for path in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))}
    hashes |= {CONFIG: xxh3_128_file(folder / CONFIG)}
    return "+".join(f"{key}:{value}" for key, value in sorted(hashes.items()))
