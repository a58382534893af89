"""What is recorded of a model: the records of all steps that led to it, found by following their parents.

A record that is gone (a folder was deleted to make room) is simply not there; whoever reads says "not recorded".
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from polyglot_lm.pipeline import UserError, read_record

Record = Mapping[str, Any]


def arguments_of(folder: Path) -> dict[str, Any]:
    """Return the arguments of the step that wrote a folder, none for a folder that no step wrote."""
    record = read_record(folder.resolve())
    return dict(record["specification"]["arguments"]) if record else {}


def root_of(folder: Path) -> Path:
    """Return the root of a step's folder; raises UserError where no step wrote it."""
    record = read_record(folder.resolve())
    if record is None:
        raise UserError(f"{str(folder)!r} has no record of a finished step; give the folder that `polyglot run` made")
    return folder.resolve().parents[len(PurePosixPath(record["address"]).parts) - 1]


def lineage(folder: Path) -> list[Record]:
    """Return the records of a step's folder and of all that it was made from, nearest first; raises UserError where it has none."""
    root, found, waiting = root_of(folder), dict[str, Record](), [folder.resolve()]
    while waiting:
        record = read_record(waiting.pop(0))
        if record is not None and record["address"] not in found:
            found[record["address"]] = record
            waiting += [root / parent for parent in record["parents"]]
    return list(found.values())


def made_by(records: list[Record], function: str) -> list[Record]:
    """Return the records of the steps that a function carried out, by name."""
    chosen = [record for record in records if record["stage"].rpartition(":")[2] == function]
    return sorted(chosen, key=lambda record: str(record["name"]))
