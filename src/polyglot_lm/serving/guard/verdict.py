"""What the guard says of a text: the action, the text as it may be shown, and each reason.

Actions are ordered: the strictest reason decides. A reason names what found it and by how much, so that page, log and
curator can tell why; it never holds the offending text itself.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Action(IntEnum):
    """What happens to a text; the larger is the stricter."""

    ALLOW = 0
    MASK = 1
    HOLD = 2
    REFUSE = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding: `score` reached `threshold` (1 of 1 for a span of personal information or a listed word)."""

    category: str
    source: Literal["personal information", "word list", "classifier"]
    language: str
    action: Action
    score: float = 1.0
    threshold: float = 1.0

    def sentence(self) -> str:
        """Return the finding for a reader, such as `insult (ko): classifier 0.97, held from 0.90`."""
        done = {Action.ALLOW: "noted", Action.MASK: "masked", Action.HOLD: "held", Action.REFUSE: "refused"}[self.action]
        language = f" ({self.language})" if self.language else ""
        if self.source == "classifier":
            return f"{self.category}{language}: classifier {self.score:.2f}, {done} from {self.threshold:.2f}"
        return f"{self.category}{language}: {self.source}, {done}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be shown of a text (masked where MASK or stricter) and why; `seconds` is what the look cost."""

    action: Action
    text: str
    reasons: tuple[Reason, ...] = ()
    seconds: float = 0.0
