"""Accounts and sessions: who is believed, for how long, and how guessing is slowed; and the command line that makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from click.testing import Result
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.review import Accounts, Reviews
from polyglot_lm.serving.review.accounts import MAX_REMEMBERED, Backoff, SignInError

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # argon2's own costs are 50 ms a password


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Accounts:
    accounts = Accounts(f"sqlite:///{tmp_path}/reviews.db", now=clock, hasher=CHEAP)
    accounts.add("mina", PASSWORD, "admin")
    return accounts


def test_a_session_tells_who_it_is_and_ends_at_sign_out(accounts: Accounts) -> None:
    key = accounts.sign_in("mina", PASSWORD, "10.0.0.1")
    person = accounts.signed_in(key)
    assert person is not None
    assert (person.name, person.role) == ("mina", "admin")
    assert person.owns(person.form_token)
    assert not person.owns("")
    accounts.sign_out(key)
    assert accounts.signed_in(key) is None
    assert accounts.signed_in("") is None


def test_neither_password_nor_session_key_stands_in_the_file(accounts: Accounts) -> None:
    key = accounts.sign_in("mina", PASSWORD, "10.0.0.1")
    kept = b"".join(path.read_bytes() for path in accounts.database.path.parent.iterdir())
    assert b"$argon2id$" in kept
    assert PASSWORD.encode() not in kept
    assert key.encode() not in kept


def test_the_default_hash_has_the_costs_of_rfc_9106(tmp_path: Path) -> None:
    hasher = Accounts(f"sqlite:///{tmp_path}/reviews.db").hasher
    assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (65_536, 3, 4)


def test_a_session_ends_after_two_idle_hours_and_twelve_in_all(accounts: Accounts, clock: Clock) -> None:
    idle, busy = (accounts.sign_in("mina", PASSWORD, "10.0.0.1") for _ in range(2))
    for _ in range(12):
        clock.seconds += 3590
        assert accounts.signed_in(busy)
    assert accounts.signed_in(idle) is None
    clock.seconds += 121
    assert accounts.signed_in(busy) is None


@pytest.mark.parametrize("change", [lambda a: a.change_password("mina", "another good password"), lambda a: a.remove("mina")])
def test_another_password_or_none_ends_all_sessions(accounts: Accounts, change: Callable[[Accounts], None]) -> None:
    key = accounts.sign_in("mina", PASSWORD, "10.0.0.1")
    change(accounts)
    assert accounts.signed_in(key) is None
    with pytest.raises(SignInError, match="wrong name or password"):
        accounts.sign_in("mina", PASSWORD, "10.0.0.1")


@pytest.mark.parametrize(("name", "password"), [("mina", "wrong"), ("nobody", PASSWORD), ("", ""), ("mina\x00", "\ud800")])
def test_a_refusal_never_says_what_was_wrong(accounts: Accounts, name: str, password: str) -> None:
    with pytest.raises(SignInError, match=r"^wrong name or password$"):
        accounts.sign_in(name, password, "10.0.0.1")


def test_guessing_is_slowed_by_address_and_by_name(accounts: Accounts, clock: Clock) -> None:
    for _ in range(5):
        with pytest.raises(SignInError, match="wrong name"):
            accounts.sign_in("mina", "guess", "10.0.0.1")
    for name, address in (("jun", "10.0.0.1"), ("mina", "10.0.0.2")):
        with pytest.raises(SignInError, match=r"too many wrong passwords; try again in 1 s$") as refused:
            accounts.sign_in(name, PASSWORD, address)
        assert refused.value.wait_seconds == 1
    clock.seconds += 1
    assert accounts.sign_in("mina", PASSWORD, "10.0.0.1")
    assert accounts.by_name.wait("mina") == 0


def test_the_wait_doubles_up_to_its_bound_and_fades(clock: Clock) -> None:
    backoff = Backoff(30, clock)
    waits = []
    for _ in range(12):
        backoff.failed("mina")
        waits.append(backoff.wait("mina"))
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]
    clock.seconds += 31
    assert backoff.wait("mina") == 0
    clock.seconds += 30 * 12
    backoff.failed("mina")
    assert backoff.wait("mina") == 0


def test_failures_are_remembered_of_a_bounded_number_of_names(clock: Clock) -> None:
    backoff = Backoff(30, clock)
    for number in range(MAX_REMEMBERED + 3):
        backoff.failed(str(number))
    assert len(backoff.failures) == MAX_REMEMBERED


@pytest.mark.parametrize(
    ("name", "password", "role", "sentence"),
    [
        ("mina", PASSWORD, "curator", "there is an account 'mina' already"),
        ("jun", PASSWORD, "boss", "unknown role 'boss'; known are curator, admin"),
        ("jun", "short", "curator", "the password has 5 letters; it must have 12"),
        ("jun", "aaaaaaaaaaaaaaa", "curator", "hardly any different letters"),
        ("jun", "Jun's own password", "curator", "holds the name"),
        ("", PASSWORD, "curator", "is no name"),
        ("jun ", PASSWORD, "curator", "is no name"),
        ("jun\nmina", PASSWORD, "curator", "is no name"),
    ],
)
def test_an_account_that_cannot_be_is_refused(accounts: Accounts, name: str, password: str, role: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        accounts.add(name, password, role)
    assert [account.name for account in accounts.all()] == ["mina"]


def test_the_audit_trail_tells_of_accounts_and_sessions(accounts: Accounts) -> None:
    for name, password in (("mina", PASSWORD), ("mina", "wrong"), ("a password in the wrong field", "x")):
        try:
            accounts.sign_out(accounts.sign_in(name, password, "10.0.0.1"))
        except SignInError:
            continue
    trail = [(entry.account, entry.event) for entry in reversed(Reviews(f"sqlite:///{accounts.database.path}").history())]
    assert trail == [
        ("command line", "account added"),
        ("mina", "signed in"),
        ("mina", "signed out"),
        ("mina", "sign-in failed"),
    ]


def test_the_command_line_keeps_accounts(tmp_path: Path) -> None:
    database = ["--database", f"sqlite:///{tmp_path}/reviews.db"]

    def curators(*words: str, given: str = "") -> Result:
        return CliRunner().invoke(app, ["curators", *words, *database], input=given)

    made = curators("add", "mina", "--role", "admin", "--password-stdin", given=f"{PASSWORD}\n")
    assert made.output == "mina may sign in at /curator as admin\n", made.exception
    assert Accounts(database[1]).sign_in("mina", PASSWORD, "")
    asked = curators("add", "jun", given=f"{PASSWORD}\n{PASSWORD}\n")
    assert asked.exit_code == 0 and PASSWORD not in asked.output
    assert isinstance(curators("add", "jun", "--password-stdin", given=f"{PASSWORD}\n").exception, UserError)
    assert curators("password", "jun", "--password-stdin", given="another good password\n").exit_code == 0
    assert Accounts(database[1]).sign_in("jun", "another good password", "")
    assert curators("list").output == "jun\tcurator\nmina\tadmin\n0 waiting, 0 approved, 0 edited, 0 rejected\n"
    assert curators("remove", "jun").output == "jun is removed and signed out everywhere\n"
    assert isinstance(curators("remove", "jun").exception, UserError)
    assert curators("expire", "--days", "3").output == "0 items deleted\n"
    assert curators("export", f"{tmp_path}/labels.jsonl").output == f"0 rows in {tmp_path}/labels.jsonl\n"
