"""`step.json`: what a folder holds, why, and what it cost. Written last, so its presence means done.

    {"name", "address", "specification", "parents", "stage", "counters", "measurements"}

`counters` are facts of the data, equal on every run; `measurements` (time, memory, commit, versions) are not, and
nothing else in any folder may depend on them.
"""

import functools
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline.errors import CorruptFileError
from polyglot_lm.pipeline.files import folder_bytes, read_json, write_json
from polyglot_lm.pipeline.steps import Counters, Step

RECORD = "step.json"
VERSIONED_PACKAGES = ("polyglot-lm", "torch", "numpy", "tokenizers", "pyarrow")


@dataclass(slots=True)
class Meter:
    """Wall time, CPU time and peak memory of a block, that of its tasks in other processes included."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    elsewhere_seconds: float = 0.0  # CPU time of workers that live on after the block
    peak_bytes: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))


RUNNING: list[Meter] = []  # the innermost last; each start resets the kernel's mark, so it must be noted for the outer ones


@contextmanager
def metered() -> Iterator[Meter]:
    meter = Meter()
    note_peak()
    reset_peak_memory()
    RUNNING.append(meter)
    wall, cpu = time.perf_counter(), cpu_seconds()
    try:
        yield meter
    finally:
        meter.wall_seconds = time.perf_counter() - wall
        meter.cpu_seconds = cpu_seconds() - cpu + meter.elsewhere_seconds
        note_peak()
        RUNNING.remove(meter)


def note_peak() -> None:
    note_work(0.0, peak_memory_bytes())


def note_work(cpu_seconds: float, peak_bytes: int) -> None:
    """Add work that another process did for whatever is metered here."""
    for meter in RUNNING:
        meter.elsewhere_seconds += cpu_seconds
        meter.peak_bytes = max(meter.peak_bytes, peak_bytes)


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def reset_peak_memory() -> None:
    """Start the kernel's high-water mark afresh (Linux only; elsewhere the peak is that of the whole process)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process, or of one of its finished children if that was larger."""
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    try:
        status = Path("/proc/self/status").read_text()
        own = int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return max(own, children)


def write_record(folder: Path, step: Step, counters: Counters, meter: Meter) -> None:
    write_json(
        folder / RECORD,
        {
            "name": step.name,
            "address": step.address,
            "stage": step.stage.reference,
            "specification": step.specification,
            "parents": [parent.address for parent in step.parents],
            "counters": dict(counters),
            "measurements": {
                "started": meter.started.isoformat(timespec="seconds"),
                "wall_seconds": round(meter.wall_seconds, 3),
                "cpu_seconds": round(meter.cpu_seconds, 3),
                "peak_bytes": meter.peak_bytes,
                "bytes_on_disk": folder_bytes(folder),
                **provenance(),
            },
        },
    )


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a finished folder, None when it is not finished; raises CorruptFileError when damaged."""
    if not (folder / RECORD).exists():
        return None
    record = read_json(folder / RECORD)
    if not isinstance(record.get("specification"), dict) or "counters" not in record:
        raise CorruptFileError(folder / RECORD, "no record of a step")
    return record


def is_done(step: Step, root: Path) -> bool:
    """Say whether the step's folder is finished; raises CorruptFileError when it records something else."""
    folder = root / step.address
    record = read_record(folder)
    if record is None:
        return False
    if record["specification"] != step.specification:
        raise CorruptFileError(folder / RECORD, "it records another computation than its address says")
    return True


@functools.cache
def provenance() -> Mapping[str, str]:
    """Where the numbers come from: commit, package versions, Python, machine type."""
    found = {"commit": commit(), "python": platform.python_version(), "machine": platform.machine()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit of the checkout this code runs from, with `+changes` when it is dirty, else `released`."""
    here = Path(__file__).parent
    try:
        revision = git(here, "rev-parse", "--short=12", "HEAD")
        return revision + ("+changes" if git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "released"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
