"""Where and how a step runs: never what it computes, and so never in an address.

A `Runtime` is handed to stages that ask for one. A `Runner` places work: whole steps (`run`) and, inside a step,
many equal tasks (`map`). `LocalRunner` is this machine: steps in this process, or under torchrun when a
distributed stage is given several processes; tasks in a pool of processes. A cluster runner is another class with the
same two methods, since a stage sees folders and `runtime.map` only.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from polyglot_lm.pipeline.errors import UserError
from polyglot_lm.pipeline.files import read_json
from polyglot_lm.pipeline.progress import SILENT, Progress
from polyglot_lm.pipeline.steps import Counters, Stage

CORES = os.cpu_count() or 1
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A stage with its folder and its arguments, steps already replaced by folders; plain data, so it can travel."""

    stage: Stage
    folder: Path
    arguments: Mapping[str, Any]


class Runner(Protocol):
    def run(self, call: Call, runtime: "Runtime") -> Counters:
        """Carry out a call and return its counters."""
        ...

    def map(self, function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
        """Apply a picklable function to every task and yield the results in the order of the tasks."""
        ...


class LocalRunner:
    """This machine."""

    def run(self, call: Call, runtime: "Runtime") -> Counters:
        if call.stage.distributed and runtime.processes > 1:
            return run_under_torchrun(call, runtime)
        return call.stage(call.folder, **call.arguments, **({"runtime": runtime} if call.stage.wants_runtime else {}))

    def map(self, function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
        if min(workers, len(tasks)) <= 1:
            yield from map(function, tasks)
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # spawn: the parent may hold threads (bars, torch) that a fork would copy in the middle of a lock
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(tasks)), context, initializer=leave_interrupts) as pool:
            yield from pool.map(function, tasks)


def leave_interrupts() -> None:
    """Let Ctrl-C reach the parent alone, which then ends its workers; else each prints a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """Where steps run: root folder, processes, threads, device, and who is told."""

    root: Path = Path("runs")
    workers: int = CORES
    threads: int = CORES
    processes: int = 1
    device: str = "auto"
    checkpoint_seconds: float = 20.0
    progress: Progress = SILENT
    runner: Runner = field(default_factory=LocalRunner)

    def __post_init__(self) -> None:
        for name in ("workers", "threads", "processes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        return self.runner.map(function, list(tasks), self.workers)


def run_under_torchrun(call: Call, runtime: Runtime) -> Counters:
    """Start one process a rank on this machine and return what rank 0 counted."""
    with tempfile.TemporaryDirectory(prefix="polyglot-") as scratch:
        order, answer = Path(scratch) / "call.pickle", Path(scratch) / "counters.json"
        settings = {
            "threads": max(1, runtime.threads // runtime.processes),
            "device": runtime.device,
            "checkpoint_seconds": runtime.checkpoint_seconds,
        }
        order.write_bytes(pickle.dumps((call.stage.reference, call.folder, dict(call.arguments), settings)))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={runtime.processes}"]
        finished = subprocess.run([*command, "-m", "polyglot_lm.pipeline.rank", str(order), str(answer)], check=False)
        answered = read_json(answer) if answer.exists() else {}
        if finished.returncode != 0 or "counters" not in answered:
            ended = f"torchrun ended with {finished.returncode} in {call.folder}; the reason is above, run again to resume"
            raise UserError(answered.get("error", ended))
        return dict(answered["counters"])
