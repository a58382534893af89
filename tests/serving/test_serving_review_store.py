"""The queue: what goes in, who decides, what comes out, and that it is on the disk."""

import json
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict
from polyglot_lm.serving.review import Filters, ReviewConflictError, Reviews
from polyglot_lm.serving.review.database import Item
from polyglot_lm.serving.review.store import plain

INSULT = Reason("insult", "classifier", "ko", Action.HOLD, 0.97, 0.9)
PHONE = Reason("tell", "personal information", "", Action.MASK)
HELD = Verdict(Action.HOLD, "", (PHONE, INSULT))


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviews(tmp_path: Path, clock: Clock) -> Reviews:
    return Reviews(f"sqlite:///{tmp_path}/reviews.db", retention_days=7, now=clock)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Reviews:
    return Reviews(f"sqlite:///{tmp_path_factory.mktemp('lasting')}/reviews.db")


def added(reviews: Reviews, completion: str = "a bad word", **more: object) -> str:
    fields = {"model": "m", "prompt": "say it", "verdict": HELD} | more
    return reviews.add(completion=completion, **fields)  # type: ignore[arg-type]


def test_an_item_comes_back_as_it_was_added(reviews: Reviews) -> None:
    sampling = {"temperature": 0.5, "seed": 7, "stop": ("010-1234-5678",), "user": "mina"}
    item = reviews.item(added(reviews, "나쁜 말", client="web", sampling=sampling))
    assert (item.model, item.prompt, item.completion, item.client) == ("m", "say it", "나쁜 말", "web")
    assert (item.status, item.language, item.action, item.version) == ("waiting", "ko", Action.HOLD, 1)
    assert item.sampling == {"temperature": 0.5, "seed": 7}
    assert [(f.category, f.source, f.action, f.score, f.threshold) for f in item.findings] == [
        ("tell", "personal information", Action.MASK, 1.0, 1.0),
        ("insult", "classifier", Action.HOLD, 0.97, 0.9),
    ]


def test_what_the_caller_forgot_to_mask_is_masked(reviews: Reviews) -> None:
    item_id = added(reviews, "call 010-1234-5678", prompt="전화 010-1234-5678", client="203.0.113.7")
    item = reviews.item(item_id)
    assert (item.prompt, item.completion, item.client) == ("전화 <|tell|>", "call <|tell|>", "")
    reviews.decide(item_id, "mina", "edit", edited="call 010-9876-5432", note="see 010-9876-5432")
    item = reviews.item(item_id)
    assert (item.edited, item.note) == ("call <|tell|>", "see <|tell|>")


@given(st.text(max_size=60) | st.text(st.characters(categories=["Cs", "Cc", "Nd"]), max_size=60))
@settings(max_examples=40)
def test_any_text_is_kept_masked_and_masking_twice_is_masking_once(lasting: Reviews, text: str) -> None:
    item_id = added(lasting, text)
    lasting.decide(item_id, "mina", "approve")
    assert lasting.released(item_id) == plain(text) == plain(plain(text))


def test_what_a_decision_makes_of_an_item(reviews: Reviews) -> None:
    approved, edited, rejected, waiting = (added(reviews, f"text {n}") for n in range(4))
    reviews.decide(approved, "mina", "approve")
    reviews.decide(edited, "mina", "edit", edited="better\r\ntext")
    reviews.decide(rejected, "mina", "reject", labels=["hate"])
    reviews.decide(waiting, "mina", "label", labels=["crime", "crime"])
    shown = [reviews.released(item_id) for item_id in (approved, edited, rejected, waiting, "unknown")]
    assert shown == ["text 0", "better\ntext", None, None, None]
    assert [reviews.item(i).labels for i in (approved, edited, rejected, waiting)] == [[], ["insult"], ["hate"], ["crime"]]
    assert reviews.counts() == {"waiting": 1, "approved": 1, "edited": 1, "rejected": 1}
    reviews.decide(edited, "jun", "reopen")
    assert (reviews.released(edited), reviews.item(edited).labels, reviews.item(edited).decided_by) == (None, [], None)


@pytest.mark.parametrize(
    ("decision", "more", "sentence"),
    [
        ("burn", {}, "unknown decision 'burn'; known are approve"),
        ("edit", {"edited": "  "}, "the edited text is empty; reject"),
        ("edit", {}, "the edited text is empty; reject"),
        ("edit", {"edited": "a bad word"}, "approve it instead"),
        ("edit", {"edited": "x" * 100_001}, "100,001 letters; at most 100,000"),
        ("reject", {"labels": ["nonsense"]}, "unknown label 'nonsense'; known are insult"),
        ("reopen", {}, "waits already"),
    ],
)
def test_a_decision_that_makes_no_sense_changes_nothing(reviews: Reviews, decision: str, more: dict, sentence: str) -> None:  # type: ignore[type-arg]
    item_id = added(reviews)
    with pytest.raises(UserError, match=sentence):
        reviews.decide(item_id, "mina", decision, **more)  # type: ignore[arg-type]
    assert (reviews.item(item_id).version, reviews.item(item_id).labels, reviews.history()) == (1, [], [])


def test_a_refused_prompt_is_approved_or_rejected_but_not_edited(reviews: Reviews) -> None:
    item_id = added(reviews, "")
    with pytest.raises(UserError, match="before anything was written"):
        reviews.decide(item_id, "mina", "edit", edited="new")
    assert reviews.decide(item_id, "mina", "reject").labels == ["insult"]


def test_identifiers_of_all_kinds_are_one_label(reviews: Reviews) -> None:
    item_id = added(reviews, verdict=Verdict(Action.MASK, "", (PHONE,)))
    assert reviews.decide(item_id, "mina", "reject").labels == ["personal information"]
    with pytest.raises(UserError, match="unknown label 'tell'"):
        reviews.decide(item_id, "mina", "label", labels=["tell"])


def test_who_rejects_what_the_guard_gave_no_reason_for_must_give_one(reviews: Reviews) -> None:
    item_id = added(reviews, verdict=Verdict(Action.HOLD, ""))
    with pytest.raises(UserError, match="choose a label"):
        reviews.decide(item_id, "mina", "reject")


def test_the_first_of_two_curators_wins(reviews: Reviews) -> None:
    item = reviews.item(added(reviews))
    reviews.decide(item.id, "mina", "approve", version=item.version)
    with pytest.raises(ReviewConflictError, match=r"^nothing of yours was saved: mina approved this at \d\d:\d\d UTC"):
        reviews.decide(item.id, "jun", "reject", version=item.version)
    with pytest.raises(ReviewConflictError, match="reopen it to decide again: mina approved this"):
        reviews.decide(item.id, "jun", "reject")
    assert reviews.item(item.id).status == "approved"


def test_next_leads_past_what_others_read_and_comes_around(reviews: Reviews, clock: Clock) -> None:
    first, second, third = (added(reviews, f"text {n}") for n in range(3))
    order = sorted((first, second, third))  # of one moment: by id
    assert [reviews.next("mina").id, reviews.next("jun").id] == order[:2]  # type: ignore[union-attr]
    assert reviews.next("mina", after=order[0]).id == order[2]  # type: ignore[union-attr]
    assert reviews.next("mina", after=order[2]).id == order[0]  # type: ignore[union-attr]
    assert reviews.claim(order[1], "mina").claimed_by == "jun"
    clock.seconds += 601
    assert reviews.claim(order[1], "mina").claimed_by == "mina"


def test_filters_narrow_queue_counts_and_next(reviews: Reviews) -> None:
    korean = added(reviews)
    japanese = added(reviews, verdict=Verdict(Action.HOLD, "", (Reason("hate", "word list", "ja", Action.HOLD),)))
    assert [item.id for item in reviews.items(Filters(language="ja"))] == [japanese]
    assert [item.id for item in reviews.items(Filters(category="insult"))] == [korean]
    assert reviews.counts(Filters(category="hate"))["waiting"] == 1
    assert reviews.next("mina", Filters(language="ja")).id == japanese  # type: ignore[union-attr]
    assert reviews.next("mina", Filters(language="th")) is None
    assert (reviews.languages(), reviews.categories()) == (["ja", "ko"], ["hate", "insult", "tell"])
    with pytest.raises(UserError, match="unknown status 'lost'"):
        Filters(status="lost")


def test_a_category_is_looked_up_item_by_item(reviews: Reviews) -> None:
    """Scanning a category's findings for each item took minutes at 20,000 items."""
    query = sqlalchemy.select(Item.id).where(*Filters(category="insult").conditions())
    with reviews.database.read() as session:
        plan = session.execute(sqlalchemy.text(f"EXPLAIN QUERY PLAN {query.compile(compile_kwargs={'literal_binds': True})}"))
        assert "findings_of_items (item_id=? AND category=?)" in " ".join(str(row) for row in plan)


def test_expired_items_leave_the_file_and_the_audit_trail_keeps_no_text(reviews: Reviews, clock: Clock) -> None:
    item_id = added(reviews, "a word that must vanish", prompt="a prompt that must vanish")
    reviews.decide(item_id, "mina", "edit", edited="an edit that must vanish", note="a note that must vanish")
    clock.seconds += 7 * 86_400 - 1
    assert reviews.expire() == 0
    clock.seconds += 2
    assert reviews.expire() == 1
    files = list(reviews.database.path.parent.iterdir())
    assert [path.name for path in files if b"must vanish" in path.read_bytes()] == []
    last, edit = reviews.history(item_id=item_id)
    assert (last.account, last.event, last.before, last.after) == ("", "expire", {"status": "edited", "labels": ["insult"]}, {})
    assert (edit.account, edit.before, edit.after["status"]) == ("mina", {"status": "waiting", "labels": []}, "edited")
    with pytest.raises(UserError, match="may have expired"):
        reviews.item(item_id)


@pytest.mark.parametrize("statement", ["UPDATE audit SET account = 'jun'", "DELETE FROM audit"])
def test_the_audit_trail_is_only_appended_to(reviews: Reviews, statement: str) -> None:
    reviews.decide(added(reviews), "mina", "approve")
    with pytest.raises(IntegrityError, match="only appended to"), reviews.database.write() as session:
        session.execute(sqlalchemy.text(statement))
    assert [entry.account for entry in reviews.history()] == ["mina"]


def test_the_export_is_rows_for_the_guard(reviews: Reviews, tmp_path: Path, clock: Clock) -> None:
    for decision, completion, more in (
        ("approve", "harmless", {}),
        ("edit", "bad", {"edited": "good"}),
        ("reject", "private", {"labels": ["personal information"]}),
        ("label", "waits still", {"labels": ["hate"]}),
    ):
        clock.seconds += 1
        reviews.decide(added(reviews, completion), "mina", decision, **more)  # type: ignore[arg-type]
    clock.seconds += 1
    reviews.decide(added(reviews, "of no language", verdict=Verdict(Action.HOLD, "", (PHONE,))), "mina", "reject")
    assert reviews.export(tmp_path / "labels.jsonl", "admin") == 4
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["text"], row["offensive"], row["labels"], row["decision"]) for row in rows] == [
        ("harmless", False, [], "approved"),
        ("bad", True, ["insult"], "edited"),
        ("good", False, [], "edited"),
        ("private", False, ["personal information"], "rejected"),
    ]
    assert {row["language"] for row in rows} == {"ko"}
    assert (reviews.history()[0].event, reviews.history()[0].after) == ("export", {"rows": 4})


def test_threads_and_a_second_process_share_the_queue(reviews: Reviews) -> None:
    other = Reviews(reviews.address)
    ids: list[str] = []

    def work(queue: Reviews) -> None:
        for number in range(10):
            ids.append(added(queue, f"text {number}"))
            queue.decide(ids[-1], "mina", "approve")

    threads = [threading.Thread(target=work, args=(queue,)) for queue in (reviews, other) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reviews.counts()["approved"] == len(set(ids)) == 80
    assert len(reviews.history(limit=1000)) == 80


def test_the_file_is_for_its_owner_alone_and_synchronous(reviews: Reviews) -> None:
    added(reviews)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in reviews.database.path.parent.iterdir()}
    assert modes == {0o600}
    with reviews.database.read() as session:
        assert [session.scalar(sqlalchemy.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "secure_delete")] == [
            "wal",
            2,
            1,
        ]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("postgresql://host/x", "is no SQLite file"),
        ("sqlite://", "is no SQLite file"),
        ("reviews.db", "is no database address; write sqlite:///reviews.db"),
        ("sqlite:///{tmp}/nowhere/reviews.db", "No such file or directory"),
        ("sqlite:///{tmp}", "Is a directory"),
        ("sqlite:///{tmp}/text", "file is not a database"),
        ("sqlite:///{tmp}/other.db", "another program"),
        ("sqlite:///{tmp}/future.db", "has schema 9, this program knows 1"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_in_a_sentence(tmp_path: Path, address: str, sentence: str) -> None:
    (tmp_path / "text").write_text("no database " * 1000)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE songs (name)").connection.commit()
    Reviews(f"sqlite:///{tmp_path}/future.db")
    sqlite3.connect(tmp_path / "future.db").execute("PRAGMA user_version = 9").connection.commit()
    with pytest.raises(UserError, match=sentence):
        Reviews(address.format(tmp=tmp_path))
    with pytest.raises(UserError, match="above 0"):
        Reviews(f"sqlite:///{tmp_path}/new.db", retention_days=0)
