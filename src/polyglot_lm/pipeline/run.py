"""Carry out steps: skip what is done, resume what was cut, record what finished.

A folder is written by one process at a time (a lock file beside it); its `step.json` comes last. A step that was cut
leaves a folder without a record: a resumable stage continues in it, any other starts from an empty one.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from polyglot_lm.pipeline.errors import UserError, disk_full
from polyglot_lm.pipeline.files import empty_folder, remove_temporaries
from polyglot_lm.pipeline.record import is_done, metered, write_record
from polyglot_lm.pipeline.runtime import Call, Runtime
from polyglot_lm.pipeline.steps import Step, in_order, resolve

FOLLOW_SECONDS = 1.0


def run_steps(targets: Iterable[Step], runtime: Runtime) -> Mapping[str, Path]:
    """Bring every target and all it needs to done; return the folders by step name.

    Raises UserError for what a person can mend; the folders finished so far stay and are skipped next time.
    """
    steps = in_order(targets)
    waiting = [step for step in steps if not is_done(step, runtime.root)]
    if len(waiting) < len(steps):
        runtime.progress.say(f"{len(steps) - len(waiting)} of {len(steps)} steps are done already")
    try:
        for position, step in enumerate(waiting, 1):
            with explained(step, runtime.root), locked(step, runtime.root):
                if not is_done(step, runtime.root):  # another process may have finished it while we waited
                    run_step(step, runtime, f"[{position}/{len(waiting)}]")
    finally:
        runtime.runner.close()
    return {step.name: runtime.root / step.address for step in steps}


def follow_steps(targets: Iterable[Step], runtime: Runtime) -> None:
    """Take part in the distributed steps of the first node, which does all the rest and writes the records; return when it is done.

    A distributed step is begun as soon as all before it are done, as the first node does. Raises UserError when its processes fail.
    """
    for step in in_order(targets):
        if step.stage.distributed and not is_done(step, runtime.root):
            call = Call(stage=step.stage, folder=runtime.root / step.address, arguments=resolve(step.arguments, runtime.root))
            runtime.runner.run(call, runtime)
        while not is_done(step, runtime.root):
            time.sleep(FOLLOW_SECONDS)


def name_results(root: Path, name: str, folders: Mapping[str, Path]) -> Path:
    """Make `<root>/<name>/<key>` point to each folder, so that people need not type addresses; return `<root>/<name>`."""
    named = root / name
    named.mkdir(parents=True, exist_ok=True)
    for key, folder in folders.items():
        temporary = named / f".{key}.{os.getpid()}.tmp"
        temporary.symlink_to(os.path.relpath(folder, named))
        temporary.replace(named / key)
    return named


def run_step(step: Step, runtime: Runtime, place: str) -> None:
    folder = runtime.root / step.address
    if step.stage.resumable:
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder)  # of an attempt that was killed
    else:
        empty_folder(folder)
    call = Call(stage=step.stage, folder=folder, arguments=resolve(step.arguments, runtime.root))
    with metered() as meter:
        counters = runtime.runner.run(call, runtime)
    write_record(folder, step, counters, meter)
    runtime.progress.say(f"{place} {step.name:<24} {meter.wall_seconds:6.1f} s   {step.address}")


@contextmanager
def explained(step: Step, root: Path) -> Iterator[None]:
    """Turn a full disk, wherever it was met, into a sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if disk_full(error):
            raise UserError(
                f"the disk holding {root} is full (in step {step.name}); free space or choose another --root, "
                "then run again: finished steps are kept"
            ) from error
        raise


@contextmanager
def locked(step: Step, root: Path) -> Iterator[None]:
    """Hold the step's lock; raises UserError when another process holds it or the root cannot be written."""
    path = root / ".locks" / (step.address.replace("/", "_") + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if disk_full(error):
            raise
        raise UserError(f"{root} cannot be written ({error.strerror}); choose another --root") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{root / step.address} is being written by another polyglot; wait for it to end") from error
        yield
    finally:
        os.close(descriptor)
