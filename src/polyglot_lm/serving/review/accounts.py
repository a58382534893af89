"""Curators' accounts and sessions: who may decide, and how long a browser is believed.

Passwords are kept as argon2id hashes, sessions as the SHA-256 of a random key that only the cookie holds, both in the
reviews' database; accounts are made on the command line alone. A session ends after two idle hours, after twelve in all, at
sign-out, and when its account is removed or gets another password.

Guessing is slowed, nobody is locked out: after five wrong passwords each further one doubles the wait, up to 15 minutes
for an address and 30 seconds for a name (about 2,900 guesses a day, too few for 12 letters; a longer wait would let
strangers keep a curator out). Waits are kept in memory: a restart forgives them, and costs more than it gives.
"""

import hashlib
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.review.database import Account, AuditEntry, Database, SignIn

IDLE_SECONDS, SESSION_SECONDS = 2 * 3600, 12 * 3600
SEEN_EVERY_SECONDS = 60  # a session's last use is written this often, not at every page
MIN_PASSWORD_LETTERS, MAX_PASSWORD_LETTERS = 12, 1000
MAX_NAME_LETTERS = 40
FREE_ATTEMPTS = 5
ADDRESS_WAIT_SECONDS, NAME_WAIT_SECONDS = 900.0, 30.0
MAX_REMEMBERED = 10_000  # names and addresses whose failures are counted; beyond, the oldest is forgotten
ROLES = ("curator", "admin")
SHELL = "command line"  # who makes accounts, in the audit trail
HASHES_AT_ONCE = 2  # argon2 takes 64 MiB each: a crowd of sign-ins waits instead of filling the memory


class SignInError(UserError):
    """A wrong name or password, or too many of them: then `wait_seconds` is above 0."""

    def __init__(self, message: str, wait_seconds: float = 0) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """Who a request comes from; `form_token` must come back in every form (a site that forges a request doesn't know it)."""

    name: str
    role: str
    form_token: str

    def owns(self, form_token: str) -> bool:
        """Say whether a form was made for this session."""
        return secrets.compare_digest(self.form_token.encode(), form_token.encode("utf-8", "replace"))


class Accounts:
    """The accounts in the reviews' database at `address`; `hasher` holds argon2's costs, by default those of RFC 9106."""

    def __init__(self, address: str, *, now: Callable[[], float] = time.time, hasher: PasswordHasher | None = None) -> None:
        self.database, self.now, self.hasher = Database(address), now, hasher or PasswordHasher()
        self.hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self.nobody = self.hasher.hash(secrets.token_hex())  # an unknown name takes as long as a wrong password
        self.by_address = Backoff(ADDRESS_WAIT_SECONDS, now)
        self.by_name = Backoff(NAME_WAIT_SECONDS, now)

    def add(self, name: str, password: str, role: str = "curator") -> None:
        """Make an account; raises UserError for a name that is taken or no name, a short password, an unknown role."""
        check_name(name)
        check_password(name, password)
        if role not in ROLES:
            raise UserError(f"unknown role {role!r}; known are {', '.join(ROLES)}")
        hashed = self.hasher.hash(password)
        with self.database.write() as session:
            if session.get(Account, name):
                raise UserError(f"there is an account {name!r} already; choose another name, or give it another password")
            session.add(Account(name=name, password_hash=hashed, role=role, created_seconds=self.now()))
            self.note(session, SHELL, "account added", after={"account": name, "role": role})

    def change_password(self, name: str, password: str) -> None:
        """Give an account another password and end its sessions."""
        check_password(name, password)
        hashed = self.hasher.hash(password)
        with self.database.write() as session:
            known(session, name).password_hash = hashed
            session.execute(delete(SignIn).where(SignIn.account == name))
            self.note(session, SHELL, "password changed", after={"account": name})

    def remove(self, name: str) -> None:
        """Delete an account and end its sessions; what it decided stays."""
        with self.database.write() as session:
            account = known(session, name)
            self.note(session, SHELL, "account removed", before={"account": name, "role": account.role})
            session.delete(account)

    def all(self) -> Sequence[Account]:
        """Return the accounts by name."""
        with self.database.read() as session:
            return session.scalars(select(Account).order_by(Account.name)).all()

    def sign_in(self, name: str, password: str, address: str) -> str:
        """Return the key of a new session; raises SignInError, which never says whether the name exists."""
        wait = max(self.by_address.wait(address), self.by_name.wait(name))
        if wait > 0:
            raise SignInError(f"too many wrong passwords; try again in {math.ceil(wait)} s", wait)
        with self.database.read() as session:
            account = session.get(Account, name)
        if not self.verified(account, password):
            self.by_address.failed(address)
            self.by_name.failed(name)
            if account:  # a name that is nobody's may be a password typed into the wrong field
                self.write_note(name, "sign-in failed")
            raise SignInError("wrong name or password")
        self.by_address.succeeded(address)
        self.by_name.succeeded(name)
        return self.begin(name)

    def verified(self, account: Account | None, password: str) -> bool:
        hashed = account.password_hash if account else self.nobody
        try:
            with self.hashing:
                self.hasher.verify(hashed, password[:MAX_PASSWORD_LETTERS].encode("utf-8", "replace"))
        except VerifyMismatchError:
            return False
        return account is not None

    def begin(self, name: str) -> str:
        key, now = secrets.token_urlsafe(32), self.now()
        with self.database.write() as session:
            session.execute(delete(SignIn).where(SignIn.created_seconds < now - SESSION_SECONDS))
            session.add(
                SignIn(
                    key_hash=hashed_key(key),
                    account=known(session, name).name,
                    form_token=secrets.token_urlsafe(32),
                    created_seconds=now,
                    seen_seconds=now,
                )
            )
            self.note(session, name, "signed in")
        return key

    def signed_in(self, key: str) -> SignedIn | None:
        """Return whose session a key is, or None where it is none or has ended."""
        now = self.now()
        with self.database.read() as session:
            found = session.get(SignIn, hashed_key(key))
            account = session.get(Account, found.account) if found else None
        if not found or not account or now > min(found.created_seconds + SESSION_SECONDS, found.seen_seconds + IDLE_SECONDS):
            return None
        if now > found.seen_seconds + SEEN_EVERY_SECONDS:
            with self.database.write() as session:
                present = session.get(SignIn, found.key_hash)
                if present:
                    present.seen_seconds = now
        return SignedIn(name=account.name, role=account.role, form_token=found.form_token)

    def sign_out(self, key: str) -> None:
        """End a session."""
        with self.database.write() as session:
            found = session.get(SignIn, hashed_key(key))
            if found:
                self.note(session, found.account, "signed out")
                session.delete(found)

    def write_note(self, name: str, event: str) -> None:
        with self.database.write() as session:
            self.note(session, name, event)

    def note(
        self, session: Session, name: str, event: str, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
    ) -> None:
        session.add(AuditEntry(seconds=self.now(), account=name, event=event, before=before or {}, after=after or {}))


class Backoff:
    """How long each of many names has to wait after its failures: nothing for five, then 1, 2, 4 … seconds up to a bound.

    A name's failures are forgotten when it succeeds, or by and by: one less for each bound of time without a failure.
    """

    def __init__(self, max_wait_seconds: float, now: Callable[[], float]) -> None:
        self.max_wait_seconds, self.now = max_wait_seconds, now
        self.failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, and when the last
        self.lock = threading.Lock()

    def wait(self, name: str) -> float:
        """Return the seconds that `name` must still wait."""
        with self.lock:
            count, last = self.failures.get(name, (0, 0.0))
        if count < FREE_ATTEMPTS:
            return 0.0
        return max(0.0, last + min(2.0 ** min(count - FREE_ATTEMPTS, 30), self.max_wait_seconds) - self.now())

    def failed(self, name: str) -> None:
        """Count a failure."""
        with self.lock:
            count, last = self.failures.pop(name, (0, self.now()))
            forgotten = int((self.now() - last) / self.max_wait_seconds)
            self.failures[name] = (max(0, count - forgotten) + 1, self.now())
            if len(self.failures) > MAX_REMEMBERED:
                self.failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name."""
        with self.lock:
            self.failures.pop(name, None)


def hashed_key(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def known(session: Session, name: str) -> Account:
    account = session.get(Account, name)
    if account is None:
        raise UserError(f"there is no account {name!r}; `polyglot curators list` shows them")
    return account


def check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_LETTERS or not name.isprintable() or name != name.strip():
        raise UserError(f"{name[:MAX_NAME_LETTERS]!r} is no name; write 1 to {MAX_NAME_LETTERS} letters without spaces around them")


def check_password(name: str, password: str) -> None:
    if not MIN_PASSWORD_LETTERS <= len(password) <= MAX_PASSWORD_LETTERS:
        raise UserError(
            f"the password has {len(password)} letters; it must have {MIN_PASSWORD_LETTERS} to {MAX_PASSWORD_LETTERS:,}"
        )
    if len(set(password)) < 5 or name.lower() in password.lower():
        raise UserError("the password holds the name or hardly any different letters; choose one that nobody guesses")
