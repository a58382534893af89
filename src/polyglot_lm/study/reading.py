"""What a training of a study reads: the mixture's own order, and what was read of each language when it is over.

The seed of a training orders the documents of each language, whatever the shares: of two arms with one seed, the one that reads
less of a language reads the beginning of what the other reads.
"""

import fcntl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyglot_lm.mixture import MIXTURE_FILE, Budget, Sampler, plan_mixture, read_shares
from polyglot_lm.mixture.batch import Windows
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.mixture.log import WINDOW
from polyglot_lm.mixture.steering import Steering
from polyglot_lm.mixture.units import normalized
from polyglot_lm.study.gather import StudyData
from polyglot_lm.study.protocol import DECAY, Training


class Reading:
    """The windows of one training; `mixtures` is where mixtures are written, each once."""

    def __init__(self, data: StudyData, training: Training, *, mixtures: Path, context: int, max_epochs: float) -> None:
        total = training.steps * training.batch_windows * context
        folder = planned(data, training, mixtures, Budget(amount=total, unit="tokens", max_epochs=max_epochs))
        shares, held, _ = read_shares(folder)
        datasets = {code: data.datasets[training.tokenizer][code] for code in training.languages}
        self.sampler = Sampler(datasets, shares, held, context, training.seed)
        self.per_token, self.supply = data.per_token(training.tokenizer), data.supplies[training.tokenizer]
        self.steering = None
        if training.references:
            self.steering = Steering(folder, Equaliser(references=training.references, ends=1 - DECAY), total)
        self.decisions: list[Mapping[str, Any]] = []

    def next(self, num_windows: int) -> Windows:
        return self.sampler.next_windows(num_windows)

    def steer(self, bits_per_byte: Mapping[str, float]) -> None:
        """Let the controller look at control text, and take the shares that it gives."""
        assert self.steering is not None
        self.steering.observe(self.sampler.amounts, bits_per_byte)
        if (shares := self.steering.propose()) is not None:
            self.sampler.change_shares(shares)
            self.decisions.append({"window": self.sampler.num_windows, **(self.steering.decision or {})})

    def account(self) -> dict[str, dict[str, float]]:
        """Return what was read of each language, and the shares planned (the mean of those in force) and realised, in content."""
        sampler = self.sampler
        tokens = {code: float(count * sampler.context) for code, count in sampler.counts.items()}
        planned = np.zeros(len(sampler.names))
        for low, high, weights in sampler.log.stretches(0, sampler.num_windows):
            planned += (high - low) * np.array(weights) / WINDOW
        return {
            "tokens_seen": tokens,
            "english_bytes_seen": self.content(tokens),
            "epochs_read": {code: count / self.supply[code]["tokens"] for code, count in tokens.items()},
            "share_planned": normalized(self.content(dict(zip(sampler.names, planned.tolist(), strict=True)))),
            "share_realised": normalized(self.content(tokens)),
        }

    def content(self, tokens: Mapping[str, float]) -> dict[str, float]:
        return {code: count * self.per_token[code] for code, count in tokens.items()}


def planned(data: StudyData, training: Training, mixtures: Path, budget: Budget) -> Path:
    """Write the mixture of an arm unless it is there; only a controller needs the budget, for its cap on epochs."""
    folder = mixtures / f"{training.mixture}-{budget.amount:.0f}"
    mixtures.mkdir(parents=True, exist_ok=True)
    with (mixtures / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (folder / MIXTURE_FILE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            tokens = {code: data.folder / training.tokenizer / "tokens" / code for code in training.languages}
            plan_mixture(folder, tokens=tokens, policy=training.policy, seed=0, budget=budget if training.references else None)
    return folder
