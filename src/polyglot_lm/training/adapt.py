"""Begin from a model that exists: any GPT-NeoX folder in the Hugging Face format, and, where wished, with another vocabulary.

    their folder ─┬─ weights ───────────────► the same blocks
                  └─ embedding, head, tokenizer ─┬─► rows of the new vocabulary
                                 new tokenizer ──┘

A token that both tokenizers have keeps its rows, whatever its number. Any other begins as the mean of the rows of the tokens that
the old tokenizer cuts it into: the model has met those in its place, so it reads the new token as what it means and not as noise.
One that has no bytes of its own, such as a special token that is new, begins as the mean of all rows.
"""

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig, padded_vocab_size
from polyglot_lm.model.hf import CONFIG, HEAD, from_hf_config, load_hf, save_hf, weight_files
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Counters, UserError, read_json, stage, xxh3_128_file
from polyglot_lm.tokenizer import CONFIG_FILE, TOKENIZER_FILE, Tokenizer

EMBEDDING = "embed_in.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFolder:
    """A model of the user's on this machine; its identity is what it holds, not where."""

    path: Path

    def __post_init__(self) -> None:
        for name in (CONFIG, TOKENIZER_FILE):
            if not (self.path / name).exists():
                raise UserError(f"no {name} in {str(self.path)!r}; give the folder of an exported GPT-NeoX model")

    @property
    def shape(self) -> ModelConfig:
        """The model's shape, its vocabulary padded; raises UserError for another architecture."""
        return from_hf_config(read_json(self.path / CONFIG))

    def identity(self) -> Any:
        files = [self.path / CONFIG, self.path / TOKENIZER_FILE, *weight_files(self.path)]
        return {"type": "ModelFolder", "files": {file.name: content_hash(file, file.stat().st_mtime_ns) for file in files}}


@functools.cache
def content_hash(file: Path, _changed: int) -> str:
    return xxh3_128_file(file)


@stage(version=1)
def adapt_model(out: Path, *, model: ModelFolder | Path, tokenizer: Path | None, context: int | None) -> Counters:
    """Write the model with the vocabulary of `tokenizer` and a context (None: its own), and the tokenizer beside it.

    Rotary positions have no table to extend, but beyond the old context they are untrained.
    """
    folder = model.path if isinstance(model, ModelFolder) else model
    chosen = tokenizer or folder
    network, old, new = load_hf(folder), Tokenizer(folder), Tokenizer(chosen)
    cuts = pieces(new, old)
    if tokenizer is not None:
        network = with_vocabulary(network, cuts, padded_vocab_size(new.vocab_size))
    if context is not None:
        network.config = replace(network.config, context=context)
    save_hf(network, out, end_id=new.end_id)
    for name in (TOKENIZER_FILE, CONFIG_FILE):
        if (chosen / name).exists():
            shutil.copyfile(chosen / name, out / name)
    return {
        "parameters": network.config.num_parameters,
        "vocab_size": new.vocab_size,
        "tokens_kept": sum(len(cut) == 1 for cut in cuts),
        "tokens_composed": sum(len(cut) > 1 for cut in cuts),
    }


def pieces(new: Tokenizer, old: Tokenizer) -> list[list[int]]:
    """Return for every id of the new tokenizer the ids of the old one that stand for the same bytes, none where there are none."""
    known: dict[str, int] = old.library.get_vocab(with_added_tokens=True)
    spelled = {old.aliases.get(text, text): number for text, number in new.library.get_vocab(with_added_tokens=True).items()}
    cuts: list[list[int]] = [[] for _ in range(new.vocab_size)]
    for text, number in spelled.items():
        if text in known:
            cuts[number] = [known[text]]
        elif number not in new.special_ids:
            cuts[number] = [token.id for token in old.library.model.tokenize(text)]
    return cuts


def with_vocabulary(network: GPTNeoX, cuts: Sequence[Sequence[int]], rows: int) -> GPTNeoX:
    """Return the network with `rows` rows of embedding and head: means of the old rows in `cuts`, or of all; padding is zero."""
    weights = network.state_dict()
    for name in (EMBEDDING, HEAD):
        weights[name] = composed(weights[name], cuts, rows)
    with torch.device("meta"):
        changed = GPTNeoX(replace(network.config, vocab_size=rows))
    changed.load_state_dict(weights, assign=True)
    if network.config.tied_head:
        changed.embed_out.weight = changed.embed_in.weight
    return changed.eval()


def composed(old_VD: Tensor, cuts: Sequence[Sequence[int]], rows: int) -> Tensor:
    """Return the mean of old rows for each cut, of all old rows for an empty one, and zeros up to `rows`."""
    used = old_VD[old_VD.abs().sum(dim=1) > 0]  # padding is zero, or as it was drawn
    found = old_VD.new_zeros(rows, old_VD.shape[1])
    for number, cut in enumerate(cuts):
        found[number] = old_VD[list(cut)].mean(dim=0) if cut else used.mean(dim=0)
    return found
