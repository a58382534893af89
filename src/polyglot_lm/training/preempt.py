"""A cluster that wants its machine back says so by a signal, and gives some seconds: enough to save.

Slurm sends SIGTERM, or what `--signal` names, before it ends a job; torchrun hands SIGTERM on to its ranks. The signal only sets
a flag: the loop saves at the end of its step, on all ranks at the same one, and stops.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Preemption:
    """What has been asked so far."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)


@contextmanager
def noticed() -> Iterator[Preemption]:
    """Note the signals during the block instead of ending at them."""
    asked = Preemption()
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield asked
        return
    before = {number: signal.signal(number, asked.note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
