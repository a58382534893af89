"""The queue: what the guard held, until a curator has decided, and then until it expires.

A generation goes in with the guard's verdict; a decision, labels and perhaps an edited text come out of a curator; the
requester may then be shown the released text, and the labels leave as training data for the guard. Texts come masked and
are masked again at the door, which costs microseconds where nothing is left to mask and a leak where the caller forgot.

Two curators at one item: the first to decide wins. Each page carries the item's version, and a decision upon an older one
is refused in a sentence. `claim` only steers `next` past what somebody is reading; a claim lapses and never locks.
"""

import ipaddress
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import orjson
from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from polyglot_lm.languages import languages
from polyglot_lm.masking import countries_with_rules, mask
from polyglot_lm.pipeline import UserError
from polyglot_lm.pipeline.files import atomic_path
from polyglot_lm.serving.guard.verdict import Verdict
from polyglot_lm.serving.review.database import AuditEntry, Database, Finding, Item, Status
from polyglot_lm.serving.review.decisions import (
    DONE,
    LABELS,
    OUTCOMES,
    Decision,
    ReviewConflictError,
    check,
    checked_labels,
    held_for,
    labels_for,
    state,
    told,
    training_rows,
)

STATUSES: tuple[Status, ...] = get_args(Status)
CLAIM_SECONDS = 600
DAY_SECONDS = 86_400
MAX_NOTE_LETTERS = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which items: a status, a language and a category of the guard's; empty means any."""

    status: str = ""
    language: str = ""
    category: str = ""

    def __post_init__(self) -> None:
        if self.status and self.status not in STATUSES:
            raise UserError(f"unknown status {self.status!r}; known are {', '.join(STATUSES)}")

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return them as SQL."""
        wanted = [column == value for column, value in ((Item.status, self.status), (Item.language, self.language)) if value]
        return [*wanted, Item.findings.any(Finding.category == self.category)] if self.category else wanted


class Reviews:
    """The queue at `address`, such as sqlite:///reviews.db; may be used from several threads and processes.

    Items expire `retention_days` after they came, decided or not, when `expire` is called (a server does so every hour;
    opening the queue deletes nothing). `labels` are what curators may call a text, beside the guard's categories for
    it; `now` is the clock, in seconds since 1970.
    """

    def __init__(
        self,
        address: str,
        *,
        retention_days: float = 30,
        labels: Sequence[str] = LABELS,
        now: Callable[[], float] = time.time,
    ) -> None:
        if retention_days <= 0:
            raise UserError(f"retention_days is {retention_days}; it must be above 0")
        self.address, self.retention_days, self.labels, self.now = address, retention_days, tuple(labels), now
        self.database = Database(address)

    def add(
        self,
        *,
        model: str,
        prompt: str,
        completion: str,
        verdict: Verdict,
        client: str = "",
        sampling: Mapping[str, object] | None = None,
    ) -> str:
        """Queue a generation and return its id, which nobody can guess; it is on the disk when this returns.

        `completion` is empty where the prompt itself was refused. Of `sampling` only numbers are kept (stop strings are
        text of the requester's), of `client` no network address.
        """
        item = Item(
            id=secrets.token_hex(12),
            created_seconds=self.now(),
            model=model,
            client="" if is_network_address(client) else plain(client),
            prompt=plain(prompt),
            completion=plain(completion),
            sampling={name: value for name, value in (sampling or {}).items() if isinstance(value, int | float)},
            action=int(verdict.action),
            language=language_of(verdict),
            labels=[],
            findings=[
                Finding(
                    category=reason.category,
                    source=reason.source,
                    language=reason.language,
                    action=int(reason.action),
                    score=reason.score,
                    threshold=reason.threshold,
                )
                for reason in verdict.reasons
            ],
        )
        with self.database.write() as session:
            session.add(item)
        return item.id

    def items(self, filters: Filters = Filters(), *, limit: int = 50, skip: int = 0) -> Sequence[Item]:
        """Return items: the oldest first where they wait, else the latest first."""
        waiting = filters.status == "waiting"
        order = (Item.created_seconds, Item.id) if waiting else (Item.created_seconds.desc(), Item.id.desc())
        with self.database.read() as session:
            return session.scalars(select(Item).where(*filters.conditions()).order_by(*order).limit(limit).offset(skip)).all()

    def counts(self, filters: Filters = Filters()) -> dict[str, int]:
        """Return how many items there are of each status."""
        query = select(Item.status, func.count()).where(*filters.conditions()).group_by(Item.status)
        with self.database.read() as session:
            return dict.fromkeys(STATUSES, 0) | dict(session.execute(query).all())

    def languages(self) -> list[str]:
        """Return the languages of all items."""
        with self.database.read() as session:
            return sorted(filter(None, session.scalars(select(Item.language).distinct())))

    def categories(self) -> list[str]:
        """Return the guard's categories of all items."""
        with self.database.read() as session:
            return sorted(session.scalars(select(Finding.category).distinct()))

    def item(self, item_id: str) -> Item:
        """Return one item; raises UserError where there is none."""
        with self.database.read() as session:
            return known(session, item_id)

    def claim(self, item_id: str, account: str) -> Item:
        """Return one item and, where it waits and nobody reads it, mark it as being read by `account`."""
        with self.database.write() as session:
            item = known(session, item_id)
            if item.status == "waiting" and reader(item, self.now()) in (None, account):
                item.claimed_by, item.claimed_until_seconds = account, self.now() + CLAIM_SECONDS
            return item

    def next(self, account: str, filters: Filters = Filters(), *, after: str = "") -> Item | None:
        """Return the oldest waiting item that nobody else reads, and claim it; `after` an item, those that came later first."""
        now = self.now()
        query = select(Item).where(
            *replace(filters, status="waiting").conditions(),
            Item.id != after,
            or_(Item.claimed_until_seconds <= now, Item.claimed_by == account),
        )
        with self.database.write() as session:
            left = session.get(Item, after)
            if left:
                later = or_(
                    Item.created_seconds > left.created_seconds,
                    and_(Item.created_seconds == left.created_seconds, Item.id > left.id),
                )
                query = query.order_by(case((later, 0), else_=1))
            item = session.scalars(query.order_by(Item.created_seconds, Item.id).limit(1)).first()
            if item:
                item.claimed_by, item.claimed_until_seconds = account, now + CLAIM_SECONDS
            return item

    def decide(
        self,
        item_id: str,
        account: str,
        decision: Decision,
        *,
        edited: str | None = None,
        labels: Collection[str] = (),
        note: str = "",
        version: int | None = None,
    ) -> Item:
        """Carry out a decision and write it into the audit trail; raises UserError where it makes no sense.

        Edited and rejected texts without a label take the guard's own categories: the curator has agreed with it. `version`
        is that of the item the curator saw; a later one raises ReviewConflictError. Reopening clears the labels.
        """
        edited = None if edited is None else edited.replace("\r\n", "\n")  # as forms send the ends of lines
        with self.database.write() as session:
            item = known(session, item_id)
            if version is not None and item.version != version:
                raise ReviewConflictError(f"nothing of yours was saved: {last_change(session, item)} while you were reading")
            check(item, decision, edited)
            before = state(item)
            item.labels = checked_labels(labels, labels_for(item, self.labels)) if decision != "reopen" else []
            if decision != "reopen":
                item.note = plain(note)[:MAX_NOTE_LETTERS]
            if decision in ("edit", "reject"):
                item.labels = item.labels or held_for(item)
            if decision != "label":
                item.status = OUTCOMES[decision]
                item.edited = plain(edited or "") if decision == "edit" else None
                waits = item.status == "waiting"
                item.decided_by, item.decided_seconds = (None, None) if waits else (account, self.now())
            item.version += 1
            item.claimed_by, item.claimed_until_seconds = None, 0
            session.add(entry(self.now(), account, decision, item, before, state(item)))
            return item

    def released(self, item_id: str) -> str | None:
        """Return what the requester of an item may now see: the text approved or edited, or None while there is none."""
        with self.database.read() as session:
            item = session.get(Item, item_id)
        if item is None or item.status not in ("approved", "edited"):
            return None
        return item.completion if item.edited is None else item.edited

    def history(self, *, item_id: str = "", limit: int = 100, before: int | None = None) -> Sequence[AuditEntry]:
        """Return the audit trail, latest first: of one item or of all, from below entry number `before`."""
        query = select(AuditEntry).order_by(AuditEntry.number.desc()).limit(limit)
        query = query.where(AuditEntry.item_id == item_id) if item_id else query
        query = query.where(AuditEntry.number < before) if before is not None else query
        with self.database.read() as session:
            return session.scalars(query).all()

    def export(self, path: Path, account: str) -> int:
        """Write what was decided as training data for the guard, JSON lines; returns how many (see `training_rows`)."""
        decided = select(Item).where(Item.status != "waiting").order_by(Item.created_seconds, Item.id)
        count = 0
        with self.database.read() as session, atomic_path(path) as temporary, temporary.open("wb") as file:
            for item in session.scalars(decided.execution_options(yield_per=500)):
                rows = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in training_rows(item)]
                file.writelines(rows)
                count += len(rows)
        with self.database.write() as session:
            session.add(entry(self.now(), account, "export", None, {}, {"rows": count}))
        return count

    def expire(self) -> int:
        """Delete every item whose time is over, with all its text; the audit trail says that it was. Returns how many."""
        with self.database.write() as session:
            old = session.scalars(select(Item).where(Item.created_seconds < self.now() - self.retention_days * DAY_SECONDS)).all()
            for item in old:
                session.add(entry(self.now(), "", "expire", item, state(item), {}))
                session.delete(item)
        if old:
            self.database.empty_log()
        return len(old)

    def expires_seconds(self, item: Item) -> float:
        """Return when an item will be deleted."""
        return item.created_seconds + self.retention_days * DAY_SECONDS


def known(session: Session, item_id: str) -> Item:
    item = session.get(Item, item_id)
    if item is None:
        raise UserError(f"there is no item {item_id[:40]!r}; it may have expired")
    return item


def last_change(session: Session, item: Item) -> str:
    last = session.scalars(
        select(AuditEntry).where(AuditEntry.item_id == item.id).order_by(AuditEntry.number.desc()).limit(1)
    ).one()
    return told(last.account, DONE[last.event], last.seconds)


def reader(item: Item, now: float) -> str | None:
    """Return who reads an item at the moment."""
    return item.claimed_by if item.claimed_until_seconds > now else None


def entry(
    now: float, account: str, event: str, item: Item | None, before: Mapping[str, Any], after: Mapping[str, Any]
) -> AuditEntry:
    return AuditEntry(
        seconds=now, account=account, event=event, item_id=item.id if item else None, before=dict(before), after=dict(after)
    )


def language_of(verdict: Verdict) -> str:
    """Return the language of the strictest reason that names one, or nothing."""
    named = [reason for reason in verdict.reasons if reason.language]
    return max(named, key=lambda reason: reason.action).language if named else ""


def plain(text: str) -> str:
    """Return a text masked by the rules of all countries, with nothing in it that UTF-8 cannot hold."""
    countries = countries_with_rules(dict.fromkeys(country for entry in languages().values() for country in entry.countries))
    return mask(text.encode("utf-8", "replace").decode(), countries=countries).text


def is_network_address(client: str) -> bool:
    try:
        ipaddress.ip_address(client)
    except ValueError:
        return False
    return True
