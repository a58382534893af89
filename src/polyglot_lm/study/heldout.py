"""Bits of held-out text, scored where the model is: the windows of `evaluation.content`, cut once and kept on the device.

    documents ─► windows of equal content ─► batches of like length [B, T] ─► nats of each token ─► bits of each document

It is `evaluation.content.text_bits` for a network of ours, without a copy to the host between batches: a study scores the same few
million tokens after each of hundreds of trainings. A test holds the two against each other.

Shapes: B windows, T positions, N = B·T, D width, V vocabulary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from polyglot_lm.evaluation.content import content_windows
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.study.gather import Documents
from polyglot_lm.training.loss import IGNORED

BATCH_TOKENS = 2**15
CHUNK_TOKENS = 2**13  # whose logits exist at once


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and targets [B, T], IGNORED where padded or scored elsewhere, and the document of each row [B]."""

    inputs: Tensor
    targets: Tensor
    documents: Tensor


@dataclass(frozen=True, slots=True)
class Scored:
    """One language of one split on a device."""

    batches: list[Batch]
    num_bytes: npt.NDArray[np.int64]

    @torch.no_grad()
    def bits(self, network: GPTNeoX, *, low_precision: bool) -> Tensor:
        """Return the bits of each document, float64, without waiting for the device."""
        device = network.embed_in.weight.device
        total = torch.zeros(len(self.num_bytes), dtype=torch.float64, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=low_precision):
            for batch in self.batches:
                targets_N = batch.targets.flatten()
                nats_N = network(batch.inputs, read_out=lambda hidden, head, t=targets_N: token_nats(hidden, head, t))
                total.index_add_(0, batch.documents, nats_N.view(batch.inputs.shape).sum(1, dtype=torch.float64))
        return total / math.log(2)


def token_nats(hidden_BTD: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Return −ln p of each target in fp32, 0 where it is IGNORED; logits are fp32 whatever the hidden states are."""
    hidden_ND = hidden_BTD.flatten(0, 1)
    with torch.autocast(hidden_ND.device.type, enabled=False):
        head_VD = head_VD.to(hidden_ND.dtype)
        nats = [
            F.cross_entropy(logits(part, head_VD), targets, ignore_index=IGNORED, reduction="none")
            for part, targets in zip(torch.split(hidden_ND, CHUNK_TOKENS), torch.split(targets_N, CHUNK_TOKENS), strict=True)
        ]
    return torch.cat(nats)


def logits(hidden_ND: Tensor, head_VD: Tensor) -> Tensor:
    if hidden_ND.dtype == torch.bfloat16 and hidden_ND.is_cuda:
        return torch.mm(hidden_ND, head_VD.T, out_dtype=torch.float32)
    return (hidden_ND @ head_VD.T).float()


def placed(documents: Documents, *, end_id: int, window_bytes: float, context: int, device: torch.device) -> Scored:
    """Cut documents into windows of so many bytes and put them on a device, those of like length together."""
    texts = [np.concatenate([[end_id], ids, [end_id]]) for ids in documents.ids]
    cut = [
        (number, window)
        for number, lengths in enumerate(documents.lengths)
        for window in content_windows(np.append(lengths, 0), window_bytes, context)
    ]
    cut.sort(key=lambda job: job[1].start - job[1].stop)
    batches = []
    while cut:
        longest = cut[0][1].stop - cut[0][1].start
        batch, cut = cut[: max(1, BATCH_TOKENS // longest)], cut[max(1, BATCH_TOKENS // longest) :]
        inputs, targets = np.zeros((len(batch), longest), np.int64), np.full((len(batch), longest), IGNORED)
        for row, (number, window) in enumerate(batch):
            tokens, first, size = texts[number], window.first - window.start, window.stop - window.start
            inputs[row, :size] = tokens[window.start : window.stop]
            targets[row, first:size] = tokens[window.first + 1 : window.stop + 1]
        rows = torch.tensor([number for number, _ in batch])
        batches.append(Batch(*(each.to(device) for each in (torch.from_numpy(inputs), torch.from_numpy(targets), rows))))
    return Scored(batches, documents.num_bytes)


def place_all(
    heldout: Mapping[tuple[str, str], Documents],
    *,
    end_id: int,
    window_english_bytes: int,
    byte_premiums: Mapping[str, float],
    context: int,
    device: torch.device,
) -> dict[tuple[str, str], Scored]:
    """Place every split of every language."""
    return {
        (split, code): placed(
            documents, end_id=end_id, window_bytes=window_english_bytes * byte_premiums[code], context=context, device=device
        )
        for (split, code), documents in heldout.items()
    }
