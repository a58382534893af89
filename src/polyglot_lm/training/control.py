"""Held-out text that may be looked at while training: bits per byte of each language, computed by all ranks together.

Documents are scored as `model.score` does, alone and in overlapping windows; but only their sums by language are wanted, so the
training's own loss computes them, without logits, and every rank takes every n-th batch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from polyglot_lm.model.score import BATCH_WINDOWS, Window, batched, windows
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import read_documents
from polyglot_lm.tokenizer import Tokenizer
from polyglot_lm.training.compute import Compute, loss_sum
from polyglot_lm.training.loss import IGNORED
from polyglot_lm.training.parallel import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The control text of every language, encoded."""

    documents: Mapping[str, list[list[int]]]
    num_bytes: Mapping[str, int]
    end_id: int

    @classmethod
    def read(cls, corpora: Mapping[str, Path], tokenizer: Path, expected: set[str]) -> "Control":
        """Encode the control text; raises UserError when the shards were written with another tokenizer."""
        loaded = Tokenizer(tokenizer)
        if expected != {loaded.hash}:
            raise UserError(f"the token shards were not encoded with {tokenizer}; encode them with it, or name theirs")
        texts = {
            language: [row["text"] for row in read_documents(folder, ("text",), "control")] for language, folder in corpora.items()
        }
        return cls(
            documents={name: loaded.encode_batch(found, parse_special=True) for name, found in texts.items()},
            num_bytes={name: sum(len(text.encode()) for text in found) for name, found in texts.items()},
            end_id=loaded.end_id,
        )

    def measure(self, network: GPTNeoX, compute: Compute, world: World) -> tuple[dict[str, float], dict[str, float]]:
        """Return bits per byte and nats a token by language, the same on all ranks."""
        compute = replace(compute, z_loss=0.0)
        with world.looking(network):
            parts = torch.stack([self.nats(name, network, compute, world) for name in self.documents])
        nats = world.sum(parts).tolist()
        num_tokens = [sum(len(ids) + 1 for ids in found) for found in self.documents.values()]
        bits_per_byte = {name: found / math.log(2) / self.num_bytes[name] for name, found in zip(self.documents, nats, strict=True)}
        loss = {name: found / count for name, found, count in zip(self.documents, nats, num_tokens, strict=True)}
        return bits_per_byte, loss

    def nats(self, language: str, network: GPTNeoX, compute: Compute, world: World) -> Tensor:
        """Return what this rank's batches of a language add to its loss."""
        batches = list(batched(windows(self.documents[language], self.end_id, network.config.context)))
        total = torch.zeros((), dtype=torch.float64, device=world.device)
        rank, size = world.part
        for start in range(0, len(batches), size):
            # sharded models compute together, so a rank whose turn is missing repeats another's and forgets the result
            present = start + rank < len(batches)
            batch = batches[start + rank if present else start]
            inputs, targets = padded(batch, network.config.context if compute.compile else None)
            if not present:
                targets.fill_(IGNORED)
            total += loss_sum(network, inputs.to(world.device), targets.to(world.device), compute)
        return total


def padded(batch: list[Window], compiled_context: int | None) -> tuple[Tensor, Tensor]:
    """Return inputs and targets [B, T]; targets that are padding or scored elsewhere are ignored. Compiled blocks get one shape."""
    rows = BATCH_WINDOWS if compiled_context else len(batch)
    length = compiled_context or max(len(window.tokens) for window in batch) - 1
    inputs, targets = torch.zeros(rows, length, dtype=torch.int64), torch.full((rows, length), IGNORED)
    for row, window in enumerate(batch):
        last = len(window.tokens) - 1
        inputs[row, :last] = window.tokens[:-1]
        targets[row, window.first_scored : last] = window.tokens[1 + window.first_scored :]
    return inputs, targets
