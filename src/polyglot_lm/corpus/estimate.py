"""What a full corpus would take, from a pilot over a thousandth of it: the recipe's own steps on a sample of every source.

In: the steps of a recipe. Each source is replaced by a `Sample` of it, pieces of `PIECE_BYTES` of text from the beginnings of its
slices, spread evenly over its bytes. The steps run in a temporary root and in this process, so that every second of CPU and
every byte moved is seen: on crumbs of the same pieces, unmeasured, to load kernels and models; on slightly other crumbs, which
costs what tasks cost whatever they read; and on the pieces. Out: what the crumbs took, times the slices of the whole for each
piece, and what every further byte took, times the text of the whole.

The text of the whole is known only after reading it all; here it is the size of the files times the text in a byte of them, found
at the beginnings of up to `PROBES` slices. The error stated is that of a ratio estimate over the tasks of the pilot: how much
pieces differ, not how wrong it is to believe that ten times the text takes ten times as long. The report is left out: it takes
about a hundredth of the whole, most of it for samples, whose number does not grow with the text.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from polyglot_lm.corpus.hub import HubDataset
from polyglot_lm.corpus.places import opened
from polyglot_lm.corpus.readers import RawDocument, Reader, Record, RowGroups, open_parquet, text_bytes
from polyglot_lm.corpus.report import corpus_report
from polyglot_lm.corpus.sources import Files
from polyglot_lm.corpus.web import WebFiles
from polyglot_lm.pipeline import Progress, Runtime, Step, UserError, in_order, read_manifests, read_record, run_steps
from polyglot_lm.pipeline.record import metered

STAGES = "polyglot_lm.corpus."
PIECE_BYTES = 250_000
MIN_BYTES = 2_000_000  # of a source: below, the ticks of the CPU clock (10 ms) show
CRUMB_BYTES = (5_000, 10_000)  # of each piece: to warm up, and to measure what does not depend on the text
PROBES = 64
PROBE_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """The first records of a reader, up to `max_bytes` of text."""

    reader: Reader
    max_bytes: int

    def records(self) -> Iterator[Record]:
        read = 0
        for record in self.reader.records():
            yield record
            read += len(record.text.encode()) if isinstance(record, RawDocument) else 0
            if read >= self.max_bytes:
                return


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A part of a source, as a source; `total_bytes` of text are in the whole, which has `num_slices`."""

    name: str
    pieces: tuple[Opening, ...]
    total_bytes: int
    file_bytes: int
    num_slices: int

    def identity(self) -> Any:
        return {"sample": self.name, "pieces": len(self.pieces), "bytes": self.total_bytes}

    def tasks(self) -> Sequence[Reader]:
        return self.pieces


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A slice of a file, and how many bytes of the file it is."""

    reader: Any
    file_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What one step would take for the whole; `error` is relative, None where there are too few tasks to tell."""

    name: str
    text_bytes: float
    core_hours: float
    error: float | None
    moved_bytes: float
    disk_bytes: float
    temporary_bytes: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pilot:
    """The estimates of all steps, the share of the text that was read for them, and the CPU seconds of a worker's start."""

    steps: tuple[Estimate, ...]
    fraction: float
    start_seconds: float

    @property
    def core_hours(self) -> float:
        return sum(step.core_hours for step in self.steps)

    @property
    def error(self) -> float | None:
        """Relative error of the core-hours of all steps, as if independent; None where no step had enough tasks to tell."""
        if all(step.error is None for step in self.steps):
            return None
        return math.sqrt(sum((step.core_hours * (step.error or 0)) ** 2 for step in self.steps)) / (self.core_hours or 1)

    @property
    def disk_bytes(self) -> float:
        """What is left in the end, and the most that a step has beside it while it runs."""
        return sum(step.disk_bytes for step in self.steps) + max((step.temporary_bytes for step in self.steps), default=0)


def run_pilot(targets: Sequence[Step], fraction: float, progress: Progress) -> Pilot:
    """Estimate the corpus steps that the targets need; raises UserError for a fraction out of (0, 1] or no such step."""
    if not 0 < fraction <= 1:
        raise UserError(f"the pilot's share is {fraction}; it must be above 0 and at most 1, such as 0.001")
    stages = [step for step in in_order(targets) if step.stage.reference.startswith(STAGES)]
    wanted = [step for step in stages if step.stage.reference != corpus_report.reference]
    if not wanted:
        raise UserError("the recipe has no step of a corpus, so there is nothing to estimate from a pilot")
    for step in wanted:
        if any(isinstance(value, WebFiles) for value in step.arguments.values()):
            raise UserError(
                f"{step.name} reads web archives, of which a pilot takes no sample; run it first and give its folder as a source"
            )
    sources = [source for step in wanted if (source := source_of(step)) is not None]
    samples = {id(source): sample(source, fraction) for source in sources}
    warm, small = ({key: crumbs(found, size) for key, found in samples.items()} for size in CRUMB_BYTES)
    with TemporaryDirectory(prefix="polyglot-pilot-") as folder:
        runtime = Runtime(root=Path(folder), workers=1)
        with metered() as start:
            run_steps(replaced(wanted, warm), runtime)
        fixed = [measured(step, runtime) for step in replaced(wanted, small)]
        pilot = list[Measured]()
        for step in replaced(wanted, samples):
            pilot.append(measured(step, runtime))
            progress.say(f"pilot of {step.name:<24} {pilot[-1].cpu_seconds:6.1f} s")
    steps = tuple(scaled(number, wanted, fixed, pilot, samples) for number in range(len(wanted)))
    read = sum(found.text_bytes for step, found in zip(wanted, pilot, strict=True) if source_of(step) is not None)
    total = sum(found.total_bytes for found in samples.values())
    return Pilot(steps=steps, fraction=read / total if total else 1.0, start_seconds=start.cpu_seconds)


def source_of(step: Step) -> Files | HubDataset | None:
    return next((value for value in step.arguments.values() if isinstance(value, Files | HubDataset)), None)


def sample(source: Files | HubDataset, fraction: float) -> Sample:
    """Choose pieces: as many as the fraction asks for, each where its turn falls on the bytes of the files."""
    if isinstance(source, HubDataset):  # its slices say themselves how much text is to be read
        readers = list(source.tasks())
        slices = [Slice(reader=reader, file_bytes=source.max_bytes // len(readers)) for reader in readers]
        ratio = 1.0
    else:
        slices = slices_of(source)
        ratio = text_per_byte(slices)
    file_bytes = sum(each.file_bytes for each in slices)
    total = round(file_bytes * ratio)
    wanted = min(max(MIN_BYTES, int(fraction * total)), total)
    turns = spread(slices, max(1, wanted // PIECE_BYTES))
    pieces = tuple(Opening(reader=each.reader, max_bytes=times * PIECE_BYTES) for each, times in turns)
    return Sample(name=source.name, pieces=pieces, total_bytes=total, file_bytes=file_bytes, num_slices=len(slices))


def crumbs(found: Sample, size: int) -> Sample:
    pieces = tuple(dataclasses.replace(piece, max_bytes=size) for piece in found.pieces)
    return dataclasses.replace(found, name=f"{found.name}, {size} bytes a piece", pieces=pieces)


def slices_of(source: Files) -> list[Slice]:
    """List the slices of files with their sizes: one ends where the next begins; ranges of row groups share their file equally."""
    found = []
    for file in source.files:
        readers: list[Any] = list(source.slices(file))
        if isinstance(readers[0], RowGroups):
            sizes = [file.size // len(readers)] * len(readers)
        else:
            starts = [reader.start for reader in readers]
            sizes = [stop - start for start, stop in zip(starts, [*starts[1:], file.size], strict=True)]
        found += [Slice(reader=reader, file_bytes=size) for reader, size in zip(readers, sizes, strict=True)]
    return found


def spread(slices: Sequence[Slice], count: int) -> list[tuple[Slice, int]]:
    """Let `count` turns fall evenly on the bytes of the slices; return those that were met, and how often."""
    ends = list(itertools.accumulate(each.file_bytes for each in slices))
    if not ends or not ends[-1]:
        return []
    turns, at = [0] * len(slices), 0
    for turn in range(count):
        place = (turn + 0.5) * ends[-1] / count
        while ends[at] <= place:
            at += 1
        turns[at] += 1
    return [(each, times) for each, times in zip(slices, turns, strict=True) if times]


def text_per_byte(slices: Sequence[Slice]) -> float:
    """Estimate how many bytes of text a byte of the files holds, by the beginnings of up to `PROBES` slices."""
    probed = [(each, 1) for each in slices] if len(slices) <= PROBES else spread(slices, PROBES)
    held = [(each, times, probe(each)) for each, times in probed]
    if len(slices) <= PROBES:  # all of them, by their own sizes
        return sum(ratio * each.file_bytes for each, _, ratio in held) / (sum(each.file_bytes for each in slices) or 1)
    return sum(ratio * times for _, times, ratio in held) / sum(times for _, times, _ in held)


def probe(each: Slice) -> float:
    """Return the bytes of text in a byte of the slice's beginning."""
    reader = each.reader
    if isinstance(reader, RowGroups):
        with opened(reader.file) as stream:
            metadata = open_parquet(stream).metadata
            groups = range(metadata.num_row_groups)
            return sum(text_bytes(metadata.row_group(group)) for group in groups) / (reader.file.size or 1)
    probed = min(PROBE_BYTES, each.file_bytes)
    beginning = dataclasses.replace(reader, stop=reader.start + probed)
    held = sum(len(record.text.encode()) for record in beginning.records() if isinstance(record, RawDocument))
    return held / (probed or 1)


def replaced(steps: Sequence[Step], samples: Mapping[int, Sample]) -> list[Step]:
    """Rebuild steps with samples for their sources."""
    done: dict[str, Step] = {}

    def swap(value: Any) -> Any:
        if isinstance(value, Step):
            if value.address not in done:
                arguments = {key: swap(argument) for key, argument in value.arguments.items()}
                done[value.address] = dataclasses.replace(value, arguments=arguments)
            return done[value.address]
        if id(value) in samples:
            return samples[id(value)]
        if isinstance(value, Mapping):
            return {key: swap(item) for key, item in value.items()}
        return tuple(map(swap, value)) if isinstance(value, tuple | list) else value

    return [swap(step) for step in steps]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one step of a pilot took; `text_bytes` are those that it counts itself."""

    text_bytes: int
    cpu_seconds: float
    error: float | None
    read_bytes: int
    written_bytes: int
    disk_bytes: int
    peak_bytes: int


def measured(step: Step, runtime: Runtime) -> Measured:
    """Run one step whose parents are done."""
    read, written = moved()
    run_steps([step], runtime)
    read_after, written_after = moved()
    folder = runtime.root / step.address
    record = read_record(folder)
    if record is None:
        raise UserError(f"{step.name} of the pilot left no record in {folder}; run again")
    found, pairs = record["measurements"], [(task.counters["bytes"], task.cpu_seconds) for task in read_manifests(folder)]
    return Measured(
        text_bytes=int(record["counters"].get("bytes", 0)),
        cpu_seconds=found["cpu_seconds"],
        error=ratio_error(pairs),
        read_bytes=read_after - read,
        written_bytes=written_after - written,
        disk_bytes=found["bytes_on_disk"],
        peak_bytes=found["peak_bytes"],
    )


def moved() -> tuple[int, int]:
    """Return the bytes that this process has read and written so far, from whatever cache (Linux; elsewhere 0)."""
    try:
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(fields["rchar"]), int(fields["wchar"])
    except OSError:
        return 0, 0


def ratio_error(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the relative standard error of total CPU over total bytes (Cochran 1977, ratio estimates)."""
    total_bytes, total_cpu, count = sum(size for size, _ in pairs), sum(cpu for _, cpu in pairs), len(pairs)
    if count < 3 or not total_bytes or not total_cpu:
        return None
    rate = total_cpu / total_bytes
    squares = sum((cpu - rate * size) ** 2 for size, cpu in pairs)
    return math.sqrt(count / (count - 1) * squares) / total_cpu


def scaled(
    number: int, steps: Sequence[Step], fixed: Sequence[Measured], pilot: Sequence[Measured], samples: Mapping[int, Sample]
) -> Estimate:
    """Scale a step by the text that it stands on: its own source's, that of its parents, or of all below."""
    step, small, large = steps[number], fixed[number], pilot[number]
    near = [each for each in (step, *step.parents) if source_of(each) is not None]
    below = near or [each for each in in_order([step]) if source_of(each) is not None]
    places = [steps.index(each) for each in below]
    beneath = [samples[id(source_of(each))] for each in below]
    total = sum(each.total_bytes for each in beneath)
    pieces = sum(len(each.pieces) for each in beneath)
    tasks = sum(each.num_slices for each in beneath) / pieces if pieces else 1.0
    crumb, read = (sum(run[place].text_bytes for place in places) for run in (fixed, pilot))
    factor = (total - crumb) / (read - crumb) if read > crumb else 1.0  # of all that the pilot took and the crumbs did not

    def whole(small_value: float, large_value: float) -> float:
        return tasks * small_value + factor * max(0.0, large_value - small_value)

    written, disk = (whole(getattr(small, name), getattr(large, name)) for name in ("written_bytes", "disk_bytes"))
    source = source_of(step)  # a piece is read with the block around it, the whole but once
    reading = whole(small.read_bytes, large.read_bytes) if source is None else samples[id(source)].file_bytes
    return Estimate(
        name=step.name,
        text_bytes=total,
        core_hours=whole(small.cpu_seconds, large.cpu_seconds) / 3600,
        error=large.error,
        moved_bytes=reading + written,
        disk_bytes=disk,
        temporary_bytes=max(0.0, written - disk),
        peak_bytes=large.peak_bytes,
    )
