"""What a curator may do with an item, and what the guard learns from it.

approve: the text may be shown as it is. edit: another text may. reject: nothing may. label: only the labels change.
reopen: it waits again, without labels. Labels say what the text *as written* is, none that it is harmless, whatever became
of it: they are what the guard is trained on. Who edits or rejects without choosing one has agreed with the guard, so its
categories count.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.verdict import Action
from polyglot_lm.serving.review.database import Finding, Item, Status

Decision = Literal["approve", "edit", "reject", "label", "reopen"]
OUTCOMES: Mapping[Decision, Status] = {"approve": "approved", "edit": "edited", "reject": "rejected", "reopen": "waiting"}
DONE = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
    "label": "labelled",
    "reopen": "reopened",
}  # how the audit trail is told
PERSONAL = "personal information"
LABELS = ("insult", "hate", "sexual", "violence", "self-harm", "crime", PERSONAL)
MAX_EDITED_LETTERS = 100_000


class ReviewConflictError(UserError):
    """The item changed since the curator's page was made."""


def state(item: Item) -> dict[str, Any]:
    return {"status": item.status, "labels": item.labels}


def told(account: str | None, done: str, seconds: float | None) -> str:
    """Say who did what to an item, such as `mina rejected this at 18:25 UTC`."""
    return f"{account} {done} this at {datetime.fromtimestamp(seconds or 0, UTC):%H:%M} UTC"


def check(item: Item, decision: Decision, edited: str | None) -> None:
    if decision not in get_args(Decision):
        raise UserError(f"unknown decision {decision!r}; known are {', '.join(get_args(Decision))}")
    if decision == "reopen" and item.status == "waiting":
        raise UserError("this item waits already; there is nothing to reopen")
    if decision in ("approve", "edit", "reject") and item.status != "waiting":
        raise ReviewConflictError(f"reopen it to decide again: {told(item.decided_by, item.status, item.decided_seconds)}")
    if decision == "edit":
        if not item.completion:
            raise UserError("the guard stopped this prompt before anything was written; approve or reject it")
        if not (edited or "").strip():
            raise UserError("the edited text is empty; reject the item instead")
        if edited == item.completion:
            raise UserError("the edited text is the text as it was; approve it instead")
        if len(edited or "") > MAX_EDITED_LETTERS:
            raise UserError(f"the edited text has {len(edited or ''):,} letters; at most {MAX_EDITED_LETTERS:,} are kept")


def labels_for(item: Item, own: Iterable[str]) -> list[str]:
    """Return what an item may be called: the queue's own labels, then the guard's for it and what it is called already."""
    return list(dict.fromkeys([*own, *map(label_of, item.findings), *item.labels]))


def label_of(finding: Finding) -> str:
    """Return the label that a finding speaks for: its category, or for an identifier of any kind one label for all."""
    return PERSONAL if finding.source == PERSONAL else finding.category


def checked_labels(labels: Collection[str], known: Collection[str]) -> list[str]:
    """Return the labels, once each; an unknown one is refused, since the audit trail keeps labels and no text."""
    unknown = next((label for label in labels if label not in known), None)
    if unknown is not None:
        raise UserError(f"unknown label {unknown[:40]!r}; known are {', '.join(known)}")
    return [label for label in known if label in labels]


def held_for(item: Item) -> list[str]:
    """Return the categories for which the guard held an item, or all it noticed where none was enough."""
    strict = [finding for finding in item.findings if finding.action >= Action.HOLD]
    labels = list(dict.fromkeys(map(label_of, strict or item.findings)))
    if not labels:
        raise UserError("the guard gave no reason here; choose a label, so that it can learn one")
    return labels


def training_rows(item: Item) -> Iterator[dict[str, Any]]:
    """Yield what a decided item teaches: the text as written with its labels (none: harmless), an edited text as harmless.

    `offensive` says whether a label is more than personal information, which rules find and no classifier learns. An item
    whose language is unknown teaches nothing: classifiers are of languages.
    """
    shared = {"language": item.language, "decision": str(item.status), "model": item.model}
    taught = [(item.completion or item.prompt, item.labels)] + ([(item.edited, [])] if item.edited is not None else [])
    for text, labels in taught if item.language else ():
        yield {"text": text, "offensive": not {PERSONAL}.issuperset(labels), "labels": labels, **shared}
