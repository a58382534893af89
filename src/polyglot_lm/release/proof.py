"""The proof of an export: what it computes, against the model that was trained, on real text of every language.

Both read the same tokens and are asked for every next one. An exact format (float32) must give the same logits; a smaller one
must name the same likeliest token and need hardly more bits. The result is written to `proof.json` whether it passed
or not; what did not pass stays for a look and is refused by `polyglot push`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from polyglot_lm.pipeline import write_json

PROOF_FILE = "proof.json"
TEXT_TOKENS = 128  # of each text its head
BATCH_TOKENS = 2048
LN2 = 0.6931471805599453
Logits = Callable[[Tensor], Tensor]  # token ids [B, T] to logits [B, T, V] in fp32


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What a format must keep: logits, the share of likeliest tokens, the bits a text needs; None is not asked."""

    max_logits_difference: float | None = None
    min_top1: float | None = None
    max_bits_increase: float | None = None

    def holds(self, found: "Agreement") -> bool:
        checks = (
            self.max_logits_difference is None or found.logits_difference <= self.max_logits_difference,  # False for NaN too
            self.min_top1 is None or found.top1 >= self.min_top1,
            self.max_bits_increase is None or found.bits_increase <= self.max_bits_increase,
        )
        return all(checks)


EXACT = Bound(max_logits_difference=1e-4)  # fp32 logits of two implementations; seen differences are near 1e-5
CLOSE = Bound(min_top1=0.97, max_bits_increase=0.01)


@dataclass(slots=True)
class Agreement:
    """What an export and its model agree on in one language, over `tokens` predictions."""

    tokens: int = 0
    same: int = 0
    logits_difference: float = 0.0
    model_bits: float = 0.0
    export_bits: float = 0.0

    @property
    def top1(self) -> float:
        return self.same / self.tokens

    @property
    def bits_increase(self) -> float:
        return self.export_bits / self.model_bits - 1

    def add(self, model_TV: Tensor, export_TV: Tensor, next_T: Tensor) -> None:
        difference = float((model_TV - export_TV).abs().max())
        self.logits_difference = max(self.logits_difference, difference) if difference == difference else difference
        self.tokens += len(next_T)
        self.same += int((model_TV.argmax(1) == export_TV.argmax(1)).sum())
        self.model_bits += float(F.cross_entropy(model_TV, next_T, reduction="sum")) / LN2
        self.export_bits += float(F.cross_entropy(export_TV, next_T, reduction="sum")) / LN2


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What was found about an export; `program` computed it, `complaints` are whole sentences."""

    form: str
    precision: str
    program: str
    bound: Bound
    languages: Mapping[str, Agreement]
    complaints: Sequence[str] = field(default_factory=tuple)

    @property
    def failures(self) -> list[str]:
        """Say what is wrong, worst first; empty when the export is proved."""
        return [
            *self.complaints,
            *(
                f"{code}: logits differ by {found.logits_difference:.2g}, likeliest tokens agree on {found.top1:.1%}, bits grow by "
                f"{found.bits_increase:.2%}"
                for code, found in self.languages.items()
                if not self.bound.holds(found)
            ),
        ]

    def write(self, folder: Path, about: Mapping[str, Any]) -> None:
        rows = {
            code: {**asdict(found), "top1": found.top1, "bits_increase": found.bits_increase}
            for code, found in self.languages.items()
        }
        proof = {"passed": not self.failures, "failures": self.failures, "program": self.program, "bound": asdict(self.bound)}
        write_json(folder / PROOF_FILE, {"format": self.form, "precision": self.precision, **about, **proof, "languages": rows})


@torch.no_grad()
def compare(
    model: Logits, export: Logits, documents: Mapping[str, Sequence[Sequence[int]]], end_id: int, vocab_size: int
) -> dict[str, Agreement]:
    """Ask both for every next token; `documents` are token ids by language, each read after `end_id` as in training."""
    found = {code: Agreement() for code in documents}
    for rows in batches(documents, end_id):
        tokens_BT = torch.nn.utils.rnn.pad_sequence([row for _, row in rows], batch_first=True, padding_value=end_id)
        model_BTV, export_BTV = model(tokens_BT[:, :-1]), export(tokens_BT[:, :-1])
        for number, (code, row) in enumerate(rows):
            scored = slice(0, len(row) - 1)
            found[code].add(model_BTV[number, scored, :vocab_size], export_BTV[number, scored, :vocab_size], row[1:])
    return found


def batches(documents: Mapping[str, Sequence[Sequence[int]]], end_id: int) -> Iterator[list[tuple[str, Tensor]]]:
    """Put texts of like length together, so that little is padded and a streamed model is read seldom."""
    rows = [(code, torch.tensor([end_id, *ids])) for code, texts in documents.items() for ids in texts if ids]
    batch: list[tuple[str, Tensor]] = []
    for row in sorted(rows, key=lambda row: -len(row[1])):
        if batch and (len(batch) + 1) * len(batch[0][1]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
