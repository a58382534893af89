"""A rank that no longer moves says where it stands.

The loop tells what it is about to do; a thread looks on, and when the same thing has lasted too long it prints one sentence and the
stacks of all threads to stderr, once. Ranks wait for each other, so all of them report: the one to blame is the one whose stack is
not in a collective. The thread ends nothing: a slow disk may come back, and the process group has a time limit of its own.
"""

import faulthandler
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType


def report_stall(rank: int, doing: str, seconds: float) -> None:
    print(f"polyglot: rank {rank} has been {doing} for {seconds:.0f} s; its stacks:", file=sys.stderr, flush=True)  # noqa: T201
    faulthandler.dump_traceback(all_threads=True)


class Watchdog:
    """Use as a context; call `now` whenever something else begins."""

    def __init__(self, rank: int, patience_seconds: float, report: Callable[[int, str, float], None] = report_stall) -> None:
        self.rank, self.patience, self.report = rank, patience_seconds, report
        self.doing, self.since, self.reported = "starting", time.monotonic(), False
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look_on, name="watchdog", daemon=True)

    def now(self, doing: str) -> None:
        self.doing, self.since, self.reported = doing, time.monotonic(), False

    def look_on(self) -> None:
        while not self.ended.wait(min(1.0, self.patience / 4)):
            lasted = time.monotonic() - self.since
            if lasted > self.patience and not self.reported:
                self.reported = True
                self.report(self.rank, self.doing, lasted)

    def __enter__(self) -> "Watchdog":
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended.set()
        self.thread.join()
