"""The tables behind the curators' pages, in one SQLite file: items, findings, the audit trail, accounts, sessions.

A commit is on the disk when it returns: write-ahead log with synchronous=FULL, so neither kill -9 nor a power cut takes an
item that `Reviews.add` gave an id for (FULL costs one fsync a commit; NORMAL would survive the kill alone). Readers never
wait for the writer; writers begin IMMEDIATE, because a transaction that reads first and then writes fails at once where
another wrote in between. What is deleted is overwritten (secure_delete), so expired text leaves the file too. The audit
trail is append-only by triggers of the database itself, and holds no text.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, Connection, Engine, ForeignKey, Index, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from polyglot_lm.pipeline import UserError

Status = Literal["waiting", "approved", "edited", "rejected"]
SCHEMA = 1
OURS = 0x504C5952  # PRAGMA application_id: "PLYR"
BUSY_SECONDS = 20  # how long a writer waits for another's commit
ONLY_APPENDED = (
    "CREATE TRIGGER audit_{verb} BEFORE {verb} ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is only appended to'); END"
)


class Table(DeclarativeBase):
    """What all tables share: times are seconds since 1970."""

    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[str]: JSON}


class Item(Table):
    """A generation that waits for a curator, or was decided. `version` counts its changes; a claim is not one."""

    __tablename__ = "items"
    __table_args__ = (Index("items_in_order", "status", "created_seconds", "id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    created_seconds: Mapped[float] = mapped_column(index=True)
    model: Mapped[str]
    client: Mapped[str]
    prompt: Mapped[str]
    completion: Mapped[str]  # empty where the prompt itself was held or refused
    sampling: Mapped[dict[str, Any]]
    action: Mapped[int]
    language: Mapped[str]
    status: Mapped[str] = mapped_column(default="waiting")
    version: Mapped[int] = mapped_column(default=1)
    edited: Mapped[str | None]
    labels: Mapped[list[str]]
    note: Mapped[str] = mapped_column(default="")
    decided_by: Mapped[str | None]
    decided_seconds: Mapped[float | None]
    claimed_by: Mapped[str | None]
    claimed_until_seconds: Mapped[float] = mapped_column(default=0)
    findings: Mapped[list["Finding"]] = relationship(cascade="all, delete-orphan", lazy="selectin", order_by="Finding.number")


class Finding(Table):
    """One reason of the guard's for an item; the fields of `guard.verdict.Reason`."""

    __tablename__ = "findings"
    __table_args__ = (Index("findings_of_items", "item_id", "category"),)  # one on category alone would tempt SQLite to scan it
    number: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    category: Mapped[str]
    source: Mapped[str]
    language: Mapped[str]
    action: Mapped[int]
    score: Mapped[float]
    threshold: Mapped[float]


class AuditEntry(Table):
    """Who did what, when, and what it changed: states and labels, never text."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(primary_key=True)
    seconds: Mapped[float]
    account: Mapped[str]
    event: Mapped[str]
    item_id: Mapped[str | None] = mapped_column(index=True)
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]


class Account(Table):
    """A person who may decide (curator), or also read the history and export (admin)."""

    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(primary_key=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_seconds: Mapped[float]


class SignIn(Table):
    """A session: the cookie's key only as its hash, so that a copy of the file opens no page."""

    __tablename__ = "sessions"
    key_hash: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), index=True)
    form_token: Mapped[str]
    created_seconds: Mapped[float]
    seen_seconds: Mapped[float]


class Database:
    """The file, opened; raises UserError where it is no SQLite file, not ours, or of a schema this program does not know."""

    def __init__(self, address: str) -> None:
        self.path = file_of(address)
        try:
            self.engine = opened(self.path)
            with self.engine.execution_options(begin="IMMEDIATE").begin() as connection:
                prepare(connection, self.path)
        except (DatabaseError, OSError) as error:
            cause = error.orig if isinstance(error, DatabaseError) else error.strerror
            raise UserError(f"{self.path} cannot hold the curators' queue ({cause}); name another file") from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Hand out a session that sees one state of the file."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Hand out the only writing session; what it did is on the disk when the block ends."""
        with Session(self.engine.execution_options(begin="IMMEDIATE"), expire_on_commit=False) as session, session.begin():
            yield session

    def empty_log(self) -> None:
        """Move the write-ahead log into the file, so that what was deleted stands in neither."""
        with self.engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def file_of(address: str) -> Path:
    try:
        url = make_url(address)
    except ArgumentError:
        raise UserError(f"{address!r} is no database address; write sqlite:///reviews.db") from None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise UserError(f"{address!r} is no SQLite file; write sqlite:///reviews.db")
    return Path(url.database)


def opened(path: Path) -> Engine:
    """Return the engine of a file, made where it is absent: for its owner alone, since it holds what others wrote."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def settings(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a consistent read
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")

    return engine


def prepare(connection: Connection, path: Path) -> None:
    """Make the tables in an empty file; refuse a file that is another program's, or of another schema."""
    owner, schema = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("application_id", "user_version"))
    if not owner and not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one():
        Table.metadata.create_all(connection)
        for verb in ("UPDATE", "DELETE"):
            connection.execute(text(ONLY_APPENDED.format(verb=verb)))
        connection.execute(text(f"PRAGMA application_id = {OURS}"))
        connection.execute(text(f"PRAGMA user_version = {SCHEMA}"))
    elif owner != OURS:
        raise UserError(f"{path} is a database of another program; name another file for the curators' queue")
    elif schema != SCHEMA:
        raise UserError(f"{path} has schema {schema}, this program knows {SCHEMA}; use the version of polyglot-lm that wrote it")
