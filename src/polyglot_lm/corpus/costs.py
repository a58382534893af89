"""What the steps of a corpus took: CPU seconds, speed, memory, disk. Records and manifests in, one row a step out.

These are measurements: they differ from run to run, so they are printed and stand in no file of a stage. A step's record holds the
CPU time and the memory of its tasks too, wherever they ran. A step that was cut and resumed shows what its last run took, or
what its tasks took together, if that is more.
"""

from dataclasses import dataclass
from pathlib import Path

from polyglot_lm.pipeline import RECORD, UserError, read_manifests, read_record

STAGES = "polyglot_lm.corpus."


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One step: bytes of text that it looked at, and what that took."""

    name: str
    text_bytes: int
    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    disk_bytes: int

    @property
    def mb_s_core(self) -> float | None:
        return self.text_bytes / 1e6 / self.cpu_seconds if self.cpu_seconds else None


def costs(root: Path) -> list[Cost]:
    """Read the costs of all finished corpus steps below a root, in the order in which they ran; raises UserError for none."""
    folders = [path.parent for path in sorted(root.rglob(RECORD)) if not any(parent.is_symlink() for parent in path.parents)]
    records = {folder: record for folder in folders if (record := read_record(folder)) and record["stage"].startswith(STAGES)}
    if not records:
        raise UserError(f"{root} holds no finished step of a corpus; give a --root that `polyglot run` wrote to")
    started = sorted(records, key=lambda folder: (records[folder]["measurements"]["started"], str(folder)))
    return [cost_of(folder, root) for folder in started]


def cost_of(folder: Path, root: Path) -> Cost:
    """Add up a finished step."""
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder} is not finished; run the recipe again")
    measured, manifests = record["measurements"], read_manifests(folder)
    return Cost(
        name=record["name"],
        text_bytes=text_bytes(folder, root),
        cpu_seconds=max(measured["cpu_seconds"], sum(manifest.cpu_seconds for manifest in manifests)),
        wall_seconds=measured["wall_seconds"],
        peak_bytes=max([measured["peak_bytes"], *(manifest.peak_bytes for manifest in manifests)]),
        disk_bytes=measured["bytes_on_disk"],
    )


def text_bytes(folder: Path, root: Path) -> int:
    """Return the bytes of text below a step: those it read itself, or those of the documents among its parents."""
    record = read_record(folder)
    if record is None:
        return 0
    if not (above := [root / parent for parent in record["parents"] if parent.startswith("documents/")]):
        return int(record["counters"].get("bytes", 0))
    return sum(text_bytes(parent, root) for parent in above)
