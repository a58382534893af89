"""Where and how a step runs: never what it computes, and so never in an address.

A `Runtime` is handed to stages that ask for one. A `Runner` places work: whole steps (`run`) and, inside a step,
many equal tasks (`map`). `LocalRunner` is this machine: steps in this process, or under torchrun when a
distributed stage is given several processes; tasks in a pool of processes. `cluster` chooses a Ray cluster for the tasks
instead (see `ray`). A stage sees folders and `runtime.map` only.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from polyglot_lm.pipeline.errors import UserError
from polyglot_lm.pipeline.files import read_json
from polyglot_lm.pipeline.nodes import Nodes
from polyglot_lm.pipeline.progress import SILENT, Progress
from polyglot_lm.pipeline.steps import Counters, Stage

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

CORES = os.cpu_count() or 1
OF_A_RANK = ("device", "layout", "checkpoint_seconds", "keep_checkpoints", "stall_seconds", "deterministic", "trackers")
ATTEMPTS = 3
Recompute = Literal["none", "selective", "full"]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A stage with its folder and its arguments, steps already replaced by folders; plain data, so it can travel."""

    stage: Stage
    folder: Path
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Stands for the result of a task whose worker died `ATTEMPTS` times without an exception of its own."""

    reason: str


class Runner(Protocol):
    """Places work."""

    def run(self, call: Call, runtime: "Runtime") -> Counters:
        """Carry out a call and return its counters."""
        ...

    def map(self, function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R | Lost]:
        """Apply a picklable function to every task and yield the results in the order of the tasks."""
        ...

    def close(self) -> None:
        """Let go of what serves more than one call."""
        ...


class LocalRunner:
    """This machine: one worker works in this process, several in a pool that serves all steps, since its start costs seconds."""

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None

    def run(self, call: Call, runtime: "Runtime") -> Counters:
        if call.stage.distributed and max(runtime.processes, runtime.nodes.count) > 1:
            return run_under_torchrun(call, runtime)
        return call.stage(call.folder, **call.arguments, **({"runtime": runtime} if call.stage.wants_runtime else {}))

    def map(self, function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R | Lost]:
        """Replace workers that the system kills.

        A killed worker takes the whole pool along, so nobody knows whose fault it was: the first task without a result is tried
        again alone until it has one or is lost, then a new pool goes on with the rest.
        """
        if workers == 1 or not tasks:
            yield from map(function, tasks)
            return
        from concurrent.futures.process import BrokenProcessPool

        position = 0
        while position < len(tasks):
            self.pool = self.pool or new_pool(workers)
            try:
                for result in self.pool.map(function, tasks[position:]):
                    yield result
                    position += 1
            except BrokenProcessPool:
                self.close()
                yield alone(function, tasks[position])
                position += 1
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the workers at once: what they write is whole or absent."""
        if self.pool is not None:
            end(self.pool)
            self.pool = None


def new_pool(workers: int) -> "ProcessPoolExecutor":
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # spawn: the parent may hold threads (bars, torch) that a fork would copy in the middle of a lock
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=leave_interrupts)


def end(pool: "ProcessPoolExecutor") -> None:
    processes = list((pool._processes or {}).values())  # no public way to end them before Python 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def alone(function: Callable[[T], R], task: T) -> R | Lost:
    from concurrent.futures.process import BrokenProcessPool

    for _ in range(ATTEMPTS - 1):  # the pool was the first attempt
        single = new_pool(1)
        try:
            return single.submit(function, task).result()
        except BrokenProcessPool:
            continue
        finally:
            end(single)
    return Lost(reason=f"its worker was killed {ATTEMPTS} times (out of memory?)")


def leave_interrupts() -> None:
    """Let Ctrl-C reach the parent alone, which then ends its workers, else each prints a traceback; and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a distributed step lies on its processes and fits into their memory: of what it computes, only the order of sums.

    `shards` processes share one copy of the model (None: all, where the optimizer allows it), `tensor` of them split every matrix,
    and those left over hold further copies. `micro_batch_windows` are read at once, None: a process's whole part of the batch.
    `recompute` saves memory for time. `compile` None: on GPUs.
    """

    shards: int | None = None
    tensor: int = 1
    micro_batch_windows: int | None = None
    recompute: Recompute = "none"
    compile: bool | None = None

    def __post_init__(self) -> None:
        for name in ("shards", "tensor", "micro_batch_windows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        if self.recompute not in get_args(Recompute):
            raise UserError(f"recompute is {self.recompute!r}; it must be none, selective or full")


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """Where steps run: root folder, processes, threads, device, cluster, and who is told."""

    root: Path = Path("runs")
    workers: int = CORES
    threads: int = CORES
    processes: int = 1
    nodes: Nodes = field(default_factory=Nodes)
    device: str = "auto"
    cluster: str | None = None  # address of a Ray cluster for tasks ("ray://host:10001", "auto", "local"); it must see `root`
    layout: Layout = Layout()
    checkpoint_seconds: float = 20.0
    keep_checkpoints: int = 2  # the newest; those that a longer training could start from stay anyway
    stall_seconds: float = 600.0  # after which a training that does not move says where it stands
    deterministic: bool = False  # on a GPU: slower kernels that give the same bits again
    trackers: tuple[str, ...] = ()  # who else is told how a training goes
    progress: Progress = SILENT
    runner: Runner = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("workers", "threads", "processes", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        object.__setattr__(self, "runner", LocalRunner() if self.cluster is None else ray_runner(self.cluster))

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R | Lost]:
        """Yield the results in the order of the tasks; see `tasks.run_tasks` for tasks that leave files."""
        return self.runner.map(function, list(tasks), self.workers)


def ray_runner(address: str) -> Runner:
    from polyglot_lm.pipeline.ray import RayRunner

    return RayRunner(address)


def run_under_torchrun(call: Call, runtime: Runtime) -> Counters:
    """Start one process a rank on this machine and return what rank 0 counted, nothing where that is on another machine."""
    with tempfile.TemporaryDirectory(prefix="polyglot-") as scratch:
        order, answer = Path(scratch) / "call.pickle", Path(scratch) / "counters.json"
        settings = {
            "threads": max(1, runtime.threads // runtime.processes),
            **{name: getattr(runtime, name) for name in OF_A_RANK},
        }
        order.write_bytes(pickle.dumps((call.stage.reference, call.folder, dict(call.arguments), settings)))
        options = [*runtime.nodes.torchrun_options(), f"--nproc-per-node={runtime.processes}"]
        command = [sys.executable, "-m", "torch.distributed.run", *options]
        code = run_and_hand_on_signals([*command, "-m", "polyglot_lm.pipeline.rank", str(order), str(answer)])
        answered = read_json(answer) if answer.exists() else {}
        if code == 0 and not runtime.nodes.first:
            return {}
        if code != 0 or "counters" not in answered:
            ended = f"torchrun ended with {code} in {call.folder}; the reason is above, run again to resume"
            raise UserError(answered.get("error", ended))
        return dict(answered["counters"])


def run_and_hand_on_signals(command: Sequence[str]) -> int:
    """Run a command to its end and hand SIGTERM on to it: it may have something to save. Return its exit code."""
    with subprocess.Popen(command) as process:
        if threading.current_thread() is not threading.main_thread():  # only it may set handlers
            return process.wait()
        before = signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
