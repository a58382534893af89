"""Tasks on a Ray cluster: Ray Core tasks that read and write files themselves and return a manifest of a few hundred bytes.

Nothing of the corpus passes through Ray's object store. Every node must see the root folder (a shared file system) and have
the same polyglot-lm installed. Steps themselves run where the command runs. Ray starts a killed worker's task again by itself; a
task that still has none is lost, like on one machine.
"""

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from polyglot_lm.pipeline.errors import UserError
from polyglot_lm.pipeline.runtime import ATTEMPTS, Call, LocalRunner, Lost, Runtime
from polyglot_lm.pipeline.steps import Counters

T = TypeVar("T")
R = TypeVar("R")
KNOCK_SECONDS = 10.0


class RayRunner:
    """A cluster by its address, connected to when the first task comes; `local` starts one on this machine."""

    def __init__(self, address: str) -> None:
        self.address = address

    def run(self, call: Call, runtime: Runtime) -> Counters:
        return LocalRunner().run(call, runtime)

    def map(self, function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R | Lost]:
        """Keep at most `workers` tasks on the cluster (one core each) and yield the results in order.

        Raises UserError without ray or cluster, and what a task raised.
        """
        ray = connect(self.address, workers)
        remote = ray.remote(function_of(function)).options(num_cpus=1, max_retries=ATTEMPTS - 1)
        running: deque[Any] = deque()
        waiting = iter(tasks)
        try:
            for _ in range(len(tasks)):
                while len(running) < workers and (task := next(waiting, None)) is not None:
                    running.append(remote.remote(task))
                yield result_of(ray, running.popleft())
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Stay connected: the process's end closes it, and another connection would take seconds."""


def connect(address: str, workers: int) -> Any:
    """Return the ray module, connected to the cluster."""
    try:
        import ray
    except ImportError as error:
        raise UserError("a Ray cluster needs the 'ray' package; install polyglot-lm[ray]") from error
    if not ray.is_initialized():
        try:
            knock(address)
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False, **place(address, workers))
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise UserError(f"Ray cluster {address!r} cannot be reached ({error}); start it or correct --cluster") from error
    return ray


def place(address: str, workers: int) -> dict[str, Any]:
    """Say where to connect to; a cluster started here finds the modules that this process finds."""
    if address != "local":
        return {"address": address}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {"address": "local", "num_cpus": workers, "runtime_env": {"env_vars": {"PYTHONPATH": paths}}}


def knock(address: str) -> None:
    """Raise OSError when nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def function_of(function: Callable[[T], R]) -> Callable[[T], R]:
    """Wrap a callable object, since Ray takes plain functions."""

    def call(task: T) -> R:
        return function(task)

    return call


def result_of(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError) as error:
        return Lost(reason=f"its worker was killed {ATTEMPTS} times ({type(error).__name__})")
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
