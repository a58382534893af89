"""A rank that stands still is reported, once, with its stacks; signals are noted and given back."""

import os
import re
import signal
import subprocess
import sys
import time

from polyglot_lm.training.preempt import noticed
from polyglot_lm.training.watch import Watchdog

STALL = """
import time
from polyglot_lm.training.watch import Watchdog

def read_a_slow_disk():
    time.sleep(1.5)

with Watchdog(3, 0.4) as watchdog:
    watchdog.now("computing step 7")
    read_a_slow_disk()
"""


def test_a_stall_is_reported_once_with_the_stack_of_what_stands_still() -> None:
    done = subprocess.run([sys.executable, "-c", STALL], capture_output=True, text=True, check=True)
    assert len(re.findall(r"polyglot: rank 3 has been computing step 7 for \d+ s; its stacks:", done.stderr)) == 1
    assert "in read_a_slow_disk" in done.stderr


def test_what_moves_is_not_reported() -> None:
    reports: list[tuple[int, str, float]] = []
    with Watchdog(0, 0.5, lambda *report: reports.append(report)) as watchdog:
        for step in range(10):
            watchdog.now(f"computing step {step}")
            time.sleep(0.1)
    assert reports == []


def test_two_stalls_are_two_reports() -> None:
    reports: list[str] = []
    with Watchdog(0, 0.1, lambda _rank, doing, _seconds: reports.append(doing)) as watchdog:
        for doing in ("reading", "saving"):
            watchdog.now(doing)
            until = time.monotonic() + 10
            while doing not in reports and time.monotonic() < until:
                time.sleep(0.02)
    assert reports == ["reading", "saving"]


def test_a_signal_is_noted_within_the_block_and_handled_as_before_after_it() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    with noticed() as asked:
        assert asked.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.received == signal.SIGTERM
    assert {number: signal.getsignal(number) for number in before} == before
