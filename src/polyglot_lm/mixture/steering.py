"""The controller of a training: what the sampler counted, in; shares that it takes, out.

The controller thinks in languages and English-equivalent bytes; a sampler counts sources, in the unit of its shares. Sources of one
language keep their proportions. The state is JSON and goes into the checkpoint: without it a resumed run would begin to learn the
curves anew and the mixture would not be that of a run that was never cut.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.mixture.controller import Controller, Equaliser
from polyglot_lm.mixture.plan import MIXTURE_FILE
from polyglot_lm.mixture.policies import Shares
from polyglot_lm.mixture.units import normalized
from polyglot_lm.pipeline import UserError, read_json

MAX_EPOCHS = 4.0  # where the mixture names no budget


class Steering:
    """Steers the shares of a mixture over a training of `total_tokens`.

    Raises UserError where a language has no reference, or the mixture has stages, which leave nothing to steer.
    """

    def __init__(self, mixture: Path, config: Equaliser, total_tokens: float) -> None:
        read = read_json(mixture / MIXTURE_FILE)
        if len(read["stages"]) > 1:
            raise UserError(f"the mixture has {len(read['stages'])} stages; give it one policy, or leave the controller out")
        self.unit, self.languages, self.per_token = read["unit"], read["languages"], read["per_token"]
        self.sources = read["shares_in"]["english_bytes"]
        content = {name: share * read["per_token"][name]["english_bytes"] for name, share in read["shares_in"]["tokens"].items()}
        supply = {name: tokens * read["per_token"][name]["english_bytes"] for name, tokens in read["supply_tokens"].items()}
        self.controller = Controller(
            config=config,
            prior=self.by_language(self.sources),
            supply=self.by_language(supply),
            total=total_tokens * sum(content.values()),
            max_epochs=read["budget"]["max_epochs"] if read["budget"] else MAX_EPOCHS,
        )

    def by_language(self, amounts: Mapping[str, float]) -> dict[str, float]:
        total = dict.fromkeys(self.languages.values(), 0.0)
        for name, amount in amounts.items():
            total[self.languages[name]] += amount
        return total

    def observe(self, amounts: Mapping[str, float], bits_per_byte: Mapping[str, float]) -> None:
        """Note what was read of every source, in the unit of the mixture, and the bits per byte of every language."""
        held = {name: self.per_token[name]["english_bytes"] / self.per_token[name][self.unit] for name in amounts}
        self.controller.observe(self.by_language({name: amount * held[name] for name, amount in amounts.items()}), bits_per_byte)

    def propose(self) -> Shares | None:
        """Return the shares by source that hold from now on, in the unit of the mixture; None where nothing is decided."""
        wanted = self.controller.propose()
        if wanted is None:
            return None
        before = self.by_language(self.sources)
        values = {name: wanted[code] * self.sources[name] / before[code] for name, code in self.languages.items()}
        return Shares(unit="english_bytes", values=normalized(values)).converted(self.unit, self.per_token)

    @property
    def decision(self) -> dict[str, Any] | None:
        """The last decision as JSON, for the log."""
        return self.controller.last.line if self.controller.last else None

    def state(self) -> dict[str, Any]:
        return self.controller.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.controller.load_state(state)


def read_references(path: Path) -> dict[str, float]:
    """Read bits per byte of monolingual models, JSON by language; raises UserError for anything else."""
    try:
        return {code: float(bits) for code, bits in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f'{path} holds no references; write JSON of bits per byte by language, such as {{"ko": 0.9}}') from error
