"""No item is lost across kill -9: whatever the writer was told is committed is there when the file is opened again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy

from polyglot_lm.serving.review import Filters, Reviews

ROUNDS = 12
WRITER = """
import sys, threading
from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict
from polyglot_lm.serving.review import Reviews

reviews = Reviews(sys.argv[1])
verdict = Verdict(Action.HOLD, "", (Reason("insult", "classifier", "ko", Action.HOLD, 0.97, 0.9),))

def write():
    while True:
        item = reviews.add(model="m", prompt="p", completion="a long completion " * 50, verdict=verdict)
        sys.stdout.write(f"added {item}\\n")
        sys.stdout.flush()
        reviews.decide(item, "mina", "reject")
        sys.stdout.write(f"rejected {item}\\n")
        sys.stdout.flush()

for _ in range(3):
    threading.Thread(target=write).start()
"""


@pytest.mark.slow
def test_every_item_whose_id_was_given_out_survives_the_kill(tmp_path: Path) -> None:
    draw, address = random.Random(7), f"sqlite:///{tmp_path}/reviews.db"
    told: list[list[str]] = []
    for number in range(ROUNDS):
        lines = tmp_path / f"told-{number}"
        with lines.open("wb") as out:
            writer = subprocess.Popen([sys.executable, "-c", WRITER, address], stdout=out)
        while not lines.stat().st_size and writer.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        told += [line.split() for line in lines.read_text().splitlines(keepends=True) if line.endswith("\n")]
    reviews = Reviews(address)
    kept = {item.id: item for item in reviews.items(Filters(), limit=1_000_000)}
    added, rejected = ({item_id for word, item_id in told if word == wanted} for wanted in ("added", "rejected"))
    assert len(rejected) > ROUNDS
    assert added - kept.keys() == set()
    assert {item_id for item_id in rejected if kept[item_id].status != "rejected"} == set()
    assert {item.completion for item in kept.values()} == {"a long completion " * 50}
    decided = [item_id for item_id, item in kept.items() if item.status == "rejected"]
    assert sorted(entry.item_id or "" for entry in reviews.history(limit=1_000_000)) == sorted(decided)
    with reviews.database.read() as session:
        assert session.scalar(sqlalchemy.text("PRAGMA integrity_check")) == "ok"
