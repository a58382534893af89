"""What the page says of a completion: prompt and text, what the guard did and why, and how it ended; all as HTML.

Everything that a reader or a model wrote passes `escaped`, which also takes the signs of Gradio's templates (`${}`, `{{}}`) for
what they are: signs. The classes are those of page.css.
"""

import html
from dataclasses import dataclass, replace

from polyglot_lm.serving.completion import End, Event, Notice, Text
from polyglot_lm.serving.guard.verdict import Action

TITLES = {Action.ALLOW: "Noted", Action.MASK: "Masked", Action.HOLD: "Held for review", Action.REFUSE: "Refused"}
TEMPLATE_SIGNS = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})
ENDS = {
    "stop": "ended by the model or a stop string",
    "length": "ended at the limit of tokens",
    "content_filter": "ended by the guard",
}
DONE = {
    ("prompt", Action.MASK): "Parts of the prompt were masked before the model read it.",
    ("prompt", Action.HOLD): "The prompt is held for a curator; the model did not read it.",
    ("prompt", Action.REFUSE): "The prompt was refused; the model did not read it.",
    ("completion", Action.MASK): "Parts of the text were masked before they were shown.",
    ("completion", Action.HOLD): "The text is held for a curator from here on, and what follows was not written.",
    ("completion", Action.REFUSE): "The text was refused from here on, and what follows was not written.",
}
KINDS = {
    "acc": "accounts",
    "tell": "telephones",
    "rrn": "national numbers",
    "card": "cards",
    "email": "e-mail",
    "ip": "IP addresses",
    "passport": "passports",
    "tax": "tax numbers",
}
WITHHELD = "It is withheld: no curator is asked here."
NOTED = "The guard only keeps a log here: it would have acted, and changed nothing."


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One model's answer as far as it came."""

    model: str
    prompt: str = ""
    text: str = ""
    notices: tuple[Notice, ...] = ()
    end: End | None = None
    refusal: str = ""
    seed: int | None = None
    seconds: float = 0.0
    stopped: bool = False

    def after(self, event: Event, seconds: float) -> "Panel":
        """Return the panel with one more event in it."""
        match event:
            case Text():
                return replace(self, text=self.text + event.text, seconds=seconds)
            case Notice():
                return replace(self, notices=(*self.notices, event), seconds=seconds)
            case End():
                return replace(self, end=event, seconds=seconds)

    @property
    def ended(self) -> bool:
        return bool(self.end or self.stopped or self.refusal)

    @property
    def shown_prompt(self) -> str:
        """Return the prompt as the model read it: masked where the guard masked it."""
        masked = [notice.verdict.text for notice in self.notices if notice.direction == "prompt" and notice.enforced]
        return masked[-1] if masked else self.prompt


def escaped(text: str) -> str:
    return html.escape(text).translate(TEMPLATE_SIGNS)


def empty_panel(model: str) -> str:
    return answer(model, "", '<p class="quiet">What the model writes appears here, word by word.</p>', "")


def drawn_panel(panel: Panel) -> str:
    """Draw an answer, whether it is still being written, ended, was stopped or refused."""
    if panel.refusal:
        return answer(panel.model, "not written", notice_box("refuse", "Not written", escaped(panel.refusal)), "")
    writing = not panel.ended
    caret = '<i class="caret"></i>' if writing else ""
    text = f'<span class="prompt">{escaped(panel.shown_prompt)}</span>{escaped(panel.text)}{caret}'
    boxes = "".join(drawn_notice(notice) for notice in panel.notices)
    return answer(panel.model, "writing" if writing else "", f'<div class="text" dir="auto">{text}</div>{boxes}', foot(panel))


def answer(model: str, state: str, body: str, footer: str) -> str:
    mark = f'<span class="state">{state}</span>' if state else ""
    return f'<article class="answer"><header><b>{escaped(model)}</b>{mark}</header>{body}<footer>{footer}</footer></article>'


def foot(panel: Panel) -> str:
    """Say how the text ended, what it cost, and the seed that brings it back."""
    parts = [f"{panel.seconds:.1f} s"] if panel.seconds else []
    if panel.end:
        rate = f" ({panel.end.completion_tokens / panel.seconds:.0f} a second)" if panel.seconds else ""
        parts.insert(0, f"{panel.end.completion_tokens} tokens{rate}")
        parts.append(ENDS[panel.end.finish])
    elif panel.stopped:
        parts.append("stopped by you")
    if panel.seed is not None and (panel.end or panel.stopped):
        parts.append(f"seed {panel.seed}")
    return " · ".join(parts)


def drawn_notice(notice: Notice) -> str:
    """Say what the guard did, each reason, and for what is held where its outcome can be seen."""
    action, reasons = notice.verdict.action, notice.verdict.reasons
    named = (replace(reason, category=KINDS.get(reason.category, reason.category)) for reason in reasons)
    listed = "".join(f"<li>{escaped(reason.sentence())}</li>" for reason in named)
    if not notice.enforced:
        return notice_box("allow", TITLES[Action.ALLOW], f"{NOTED}<ul>{listed}</ul>")
    after = ""
    if action >= Action.HOLD and notice.review:
        number = f"<code>{escaped(notice.review)}</code>"
        after = f"<p>Its number is {number}: look it up below to see what the curator decided.</p>"
    elif action is Action.HOLD:
        after = f"<p>{WITHHELD}</p>"
    return notice_box(action.name.lower(), TITLES[action], f"{DONE.get((notice.direction, action), '')}<ul>{listed}</ul>{after}")


def notice_box(kind: str, title: str, body: str) -> str:
    return f'<div class="notice {kind}" role="status"><b>{title}</b><div>{body}</div></div>'
