"""Tasks inside a step: many equal pieces of work, each of which is done when its manifest exists.

A task is a picklable value with a `name`; a function turns it into files and says which. Its manifest is written last:

    <folder>/manifests/<name>.json    {"outputs": [{"path", "bytes", "xxh3"}], "counters", "lost", "measurements"}

So a step that was cut goes on where it stopped, a second attempt at the same task is harmless (equal input, equal bytes),
and the number of workers may change between runs. A task whose worker was killed by the system again and again is
`lost`: its manifest says why, the others go on, and the caller decides whether the step can be finished without it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from polyglot_lm.pipeline.errors import CorruptFileError, UserError
from polyglot_lm.pipeline.files import read_json, write_json, xxh3_128_file
from polyglot_lm.pipeline.record import metered, note_work
from polyglot_lm.pipeline.runtime import Lost, Runtime

MANIFESTS = "manifests"


class NamedTask(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=NamedTask)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a task left behind; `outputs` are paths relative to the step's folder, `lost` the reason when it left nothing."""

    name: str
    outputs: tuple[str, ...] = ()
    counters: Counter[str] = field(default_factory=Counter)
    lost: str | None = None
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a task's function returns: the files that it wrote, those of them that exist, and what it counted."""

    files: Sequence[Path]
    counters: Counter[str]


@dataclass(frozen=True, slots=True)
class CarryOut(Generic[T]):
    """The function with its folder, so that any process can run a task and leave the manifest."""

    function: Callable[[T], Outcome]
    folder: Path

    def __call__(self, task: T) -> tuple[Manifest, int]:
        """Return the manifest and the process that did the work."""
        done = read_manifest(self.folder, task.name)  # by an attempt whose answer got lost with its pool
        if done is not None:
            return done, os.getpid()
        with metered() as meter:
            outcome = self.function(task)
        manifest = Manifest(
            name=task.name,
            outputs=tuple(path.relative_to(self.folder).as_posix() for path in outcome.files if path.exists()),
            counters=outcome.counters,
            cpu_seconds=round(meter.cpu_seconds, 3),
            peak_bytes=meter.peak_bytes,
        )
        write_manifest(self.folder, manifest)
        return manifest, os.getpid()


def run_tasks(
    runtime: Runtime,
    folder: Path,
    function: Callable[[T], Outcome],
    tasks: Iterable[T],
    *,
    label: str,
    unit: str = "tasks",
    weight: Callable[[T], float] = lambda _: 1.0,
) -> list[Manifest]:
    """Bring every task to done and return their manifests in order; `weight` is a task's size in `unit`, for the bar."""
    named = {task.name: task for task in tasks}
    found = {name: manifest for name in named if (manifest := read_manifest(folder, name)) is not None}
    waiting = [task for name, task in named.items() if name not in found]
    total, done = sum(map(weight, named.values())), sum(weight(named[name]) for name in found)
    with runtime.progress.task(label, total=total, unit=unit, done=done) as progress:
        for task, result in zip(waiting, runtime.map(CarryOut(function, folder), waiting), strict=True):
            found[task.name] = lost(folder, task.name, result) if isinstance(result, Lost) else accepted(*result)
            progress.advance(weight(task))
    return [found[name] for name in named]


def all_done(manifests: list[Manifest], what: str) -> list[Manifest]:
    """Return the manifests where no task may be missing; raises UserError for the first that is lost."""
    for manifest in manifests:
        if manifest.lost is not None:
            raise UserError(f"{what} cannot be finished: {manifest.name}: {manifest.lost}; give fewer --workers")
    return manifests


def counted(manifest: Manifest) -> Counter[str]:
    """Return what a task counted; a lost one counts as a slice of the input that is lost."""
    return manifest.counters if manifest.lost is None else Counter(slices_lost=1)


def accepted(manifest: Manifest, process: int) -> Manifest:
    if process != os.getpid():
        note_work(manifest.cpu_seconds, manifest.peak_bytes)
    return manifest


def lost(folder: Path, name: str, result: Lost) -> Manifest:
    manifest = Manifest(name=name, lost=result.reason)
    write_manifest(folder, manifest)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    files = [folder / path for path in manifest.outputs]
    described = [
        {"path": name, "bytes": file.stat().st_size, "xxh3": xxh3_128_file(file)}
        for name, file in zip(manifest.outputs, files, strict=True)
    ]
    content: dict[str, Any] = {
        "outputs": described,
        "counters": dict(sorted(manifest.counters.items())),
        "lost": manifest.lost,
        "measurements": {"cpu_seconds": manifest.cpu_seconds, "peak_bytes": manifest.peak_bytes},
    }
    write_json(manifest_path(folder, manifest.name), content)


def manifest_path(folder: Path, name: str) -> Path:
    return folder / MANIFESTS / f"{name}.json"


def read_manifest(folder: Path, name: str) -> Manifest | None:
    """Return a task's manifest, None where it is missing, damaged, or its outputs are not what it says."""
    path = manifest_path(folder, name)
    if not path.exists():
        return None
    try:
        content = read_json(path)
        sizes = {folder / output["path"]: output["bytes"] for output in content["outputs"]}
        if any(not file.is_file() or file.stat().st_size != size for file, size in sizes.items()):
            return None
        return Manifest(
            name=name,
            outputs=tuple(output["path"] for output in content["outputs"]),
            counters=Counter(content["counters"]),
            lost=content["lost"],
            cpu_seconds=content["measurements"]["cpu_seconds"],
            peak_bytes=content["measurements"]["peak_bytes"],
        )
    except (CorruptFileError, KeyError, TypeError):
        return None


def read_manifests(folder: Path) -> list[Manifest]:
    """Return the manifests of a finished folder by name; raises CorruptFileError when one is damaged."""
    found = []
    for path in sorted((folder / MANIFESTS).glob("*.json")):
        manifest = read_manifest(folder, path.stem)
        if manifest is None:
            raise CorruptFileError(path, "it does not fit the files it names")
        found.append(manifest)
    return found
