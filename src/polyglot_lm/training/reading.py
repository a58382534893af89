"""What a training reads next: the mixture's order, its stages, and a controller that may change it.

The order is read ahead in a thread, one rank's part of it. What is asked or changed here concerns what was handed out: whatever
lies ahead is taken back first, so that what a checkpoint says is what was trained on.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from polyglot_lm.mixture import MIXTURE_FILE, Prefetcher, Sampler, Shares, read_occurrences, read_shares, read_stages
from polyglot_lm.mixture.batch import Windows
from polyglot_lm.mixture.steering import Steering
from polyglot_lm.pipeline import read_json
from polyglot_lm.shards import TokenDataset
from polyglot_lm.training.config import Plan


class Reading:
    """Gives this rank's windows, a step's at a time; `part` is (reader, readers). Begin by `open` or `load_state`."""

    def __init__(self, plan: Plan, part: tuple[int, int]) -> None:
        datasets = {name: TokenDataset(folder) for name, folder in plan.tokens.items()}
        shares, held, seed = read_shares(plan.mixture)
        occurrences = read_occurrences(plan.mixture, datasets)
        end = plan.config.steps * plan.config.batch_windows
        self.sampler = Sampler(datasets, shares, held, plan.model.context, seed, occurrences=occurrences, end=end)
        self.plan, self.part = plan, part
        self.mixture = read_json(plan.mixture / MIXTURE_FILE)
        self.per_token: Mapping[str, Mapping[str, float]] = self.mixture["per_token"]
        total_tokens = plan.config.steps * plan.tokens_a_step
        self.steering = Steering(plan.mixture, plan.controller, total_tokens) if plan.controller else None
        self.prefetcher: Prefetcher | None = None

    @property
    def english_bytes_per_token(self) -> float:
        """English-equivalent bytes in a token of the whole mixture."""
        tokens: Mapping[str, float] = self.mixture["shares_in"]["tokens"]
        return sum(share * self.per_token[name]["english_bytes"] for name, share in tokens.items())

    @property
    def index(self) -> int:
        """The index of the window that comes next in the order of all ranks."""
        return int(self.opened.state()["num_windows"])

    @property
    def opened(self) -> Prefetcher:
        if self.prefetcher is None:
            self.prefetcher = Prefetcher(self.sampler, self.plan.config.batch_windows, self.part)
        return self.prefetcher

    def next(self) -> Windows:
        return self.opened.next()

    def plan_stages(self) -> None:
        """Let the shares change where the mixture says, as parts of this training's length; what is past stays past."""
        stages = read_stages(self.plan.mixture)
        num_windows = self.plan.config.steps * self.plan.config.batch_windows
        for before, stage in itertools.pairwise(stages):
            if (at := round(before.until * num_windows)) >= self.sampler.num_windows:
                self.sampler.change_shares(stage.shares, at=at)

    def amounts(self) -> dict[str, float]:
        """Return what was read of each source, in the unit of the shares."""
        with self.opened.taken_back():
            return self.sampler.amounts

    def content(self) -> dict[str, float]:
        """Return what was read of each language, in English-equivalent bytes."""
        found = dict.fromkeys(self.mixture["languages"].values(), 0.0)
        for name, amount in self.amounts().items():
            each = self.per_token[name]
            found[self.mixture["languages"][name]] += amount / each[self.mixture["unit"]] * each["english_bytes"]
        return found

    def steer(self, bits_per_byte: Mapping[str, float]) -> tuple[Shares, dict[str, Any] | None] | None:
        """Let the controller look at control text; return the new shares and its reasons when it changes them."""
        if self.steering is None:
            return None
        with self.opened.taken_back():
            self.steering.observe(self.sampler.amounts, bits_per_byte)
            shares = self.steering.propose()
            if shares is None:
                return None
            self.sampler.change_shares(shares)
        return shares, self.steering.decision

    def skip(self, start: int, end: int) -> None:
        self.opened.skip(start, end)

    def state(self) -> dict[str, Any]:
        return {"sampler": self.opened.state(), "controller": self.steering.state() if self.steering else None}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go to a place in the order; raises UserError when it is of another order."""
        self.close()
        self.sampler.load_state(state["sampler"])
        if self.steering is not None and state["controller"] is not None:
            self.steering.load_state(state["controller"])

    def close(self) -> None:
        if self.prefetcher is not None:
            self.prefetcher.close()
            self.prefetcher = None
