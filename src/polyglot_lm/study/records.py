"""The records of a study: one folder a run, its `run.json` written last, read here once and checked before anything is computed.

A folder without `run.json` is a run that was cut off and does not count. What would make a comparison false stops the report:
a field that is missing, the same run twice, another corpus than the rest read, other test documents. What a run *was* is told by
what it read, not by its name: one language makes a reference, two make a pair, and content is compared in bytes.
"""

import csv
import functools
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.pipeline import CorruptFileError, UserError, atomic_path, read_json

RUN_FILE, RUNS_TABLE, LANGUAGES_TABLE = "run.json", "runs.csv", "languages.csv"
PARTS = ("test", "flores", "select", "control")
Floats = npt.NDArray[np.float64]
OPTIONAL: Mapping[str, Any] = {
    "document_bits": None,
    "controller_log": None,
    "confirmation": False,
    "resumed": 0,
    "mfu": None,
    "spikes": 0,
}
FINER = "finer"  # the stage of batches so small that a change of document looks like a spike: none of it is excluded
MAX_SPIKES = 0.01  # of a run's steps, left out because the gradient was out of all proportion; above it the run does not count


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # one object is one run
class Run:
    """One trained model: what it was to read and did, in fractions and English-equivalent bytes, and its bits per byte."""

    folder: Path
    stage: str
    arm: str
    size: str
    parameters: int
    seed: int
    batch_windows: int
    context: int
    learning_rate: float
    tokenizer: str
    corpus: str
    english_bytes_seen: Mapping[str, float]
    tokens_seen: Mapping[str, float]
    share_planned: Mapping[str, float]
    share_realised: Mapping[str, float]
    epochs_read: Mapping[str, float]
    bits_per_byte: Mapping[str, Mapping[str, float]]
    document_bits: str | None
    controller_log: str | None
    confirmation: bool
    seconds: float
    tokens_s: float
    mfu: float | None
    steps: int
    spikes: int
    card: str
    torch: str
    resumed: int

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages it read."""
        return tuple(code for code, amount in self.english_bytes_seen.items() if amount > 0)

    @property
    def content(self) -> float:
        """All that it read, in English-equivalent bytes."""
        return sum(self.english_bytes_seen.values())

    @property
    def excluded(self) -> bool:
        """Whether the study's rule takes the run out, whatever its result."""
        return self.stage != FINER and self.spikes > MAX_SPIKES * self.steps

    @property
    def setting(self) -> tuple[int, float]:
        return self.batch_windows, self.learning_rate

    def identity(self) -> tuple[Any, ...]:
        """Return what no two runs of a study share."""
        read = tuple(sorted((code, round(share, 4)) for code, share in self.share_planned.items() if share))
        return (
            self.stage,
            self.arm,
            self.size,
            self.seed,
            *self.setting,
            self.tokenizer,
            self.confirmation,
            read,
            f"{self.content:.2g}",
        )


def read_runs(folder: Path) -> tuple[Run, ...]:
    """Read every finished run below a folder, by path; raises UserError where there is none, or two cannot be compared."""
    runs = tuple(read_run(path) for path in sorted(folder.rglob(RUN_FILE)))
    if not runs:
        raise UserError(f"no {RUN_FILE} lies below {folder}; give the folder that holds the runs of a study")
    known: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        if (first := known.setdefault(run.identity(), run)) is not run:
            raise UserError(f"{run.folder} is the same run as {first.folder}; keep one of them")
    corpora = Counter(run.corpus for run in runs)
    usual = corpora.most_common(1)[0][0]
    if foreign := next((run for run in runs if run.corpus != usual), None):
        raise UserError(
            f"{foreign.folder} read the corpus {foreign.corpus}, {corpora[usual]} other runs {usual}; keep one corpus in a folder"
        )
    return runs


def read_run(path: Path) -> Run:
    """Read one `run.json`; raises UserError for a field that is missing or a number that is none."""
    found = {**OPTIONAL, **read_json(path)}
    names = [field.name for field in fields(Run) if field.name != "folder"]
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{path} lacks {missing[0]!r}; it is no record of this study, or of an older one: run it again")
    run = Run(folder=path.parent, **{name: found[name] for name in names})
    for part, bits in run.bits_per_byte.items():
        for code, value in bits.items():
            if not 0 < value < math.inf:
                raise UserError(f"{path} says {value} bits per byte of {part} text in {code!r}; it must be above 0: run it again")
    return run


@functools.cache
def document_bits(run: Run) -> Mapping[str, tuple[Floats, Floats]]:
    """Return by language the bits and bytes of every test document; empty where the run kept none."""
    if run.document_bits is None:
        return {}
    path = run.folder / run.document_bits
    try:
        with np.load(path) as arrays:
            codes = [name.removesuffix("_bits") for name in arrays.files if name.endswith("_bits")]
            return {code: (arrays[f"{code}_bits"].astype(float), arrays[f"{code}_bytes"].astype(float)) for code in codes}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CorruptFileError(path, f"holds no bits of documents ({error}); run {run.folder.name} again") from error


def pardoned(runs: Iterable[Run]) -> list[Run]:
    """Return the runs with none excluded."""
    return [replace(run, spikes=0) for run in runs]


def same_size(runs: Iterable[Run], size: str, *stages: str) -> list[Run]:
    return [run for run in runs if run.size == size and run.stage in stages]


def sizes(runs: Iterable[Run]) -> list[str]:
    """Return the sizes there are, smallest first."""
    return [size for size, _ in sorted({run.size: run.parameters for run in runs}.items(), key=lambda pair: pair[1])]


def write_tables(out: Path, runs: Sequence[Run]) -> None:
    """Write the raw numbers: a row a run, and a row a run and language."""
    plain = (
        "size",
        "parameters",
        "seed",
        "batch_windows",
        "context",
        "learning_rate",
        "tokenizer",
        "steps",
        "spikes",
        "seconds",
        "tokens_s",
    )
    heads = ("run", "stage", "arm", *plain, "mfu", "card", "torch", "resumed", "english_bytes")
    rows = ([getattr(run, name) for name in heads[1:-1]] for run in runs)
    write_csv(out / RUNS_TABLE, heads, [[name(run), *row, round(run.content)] for run, row in zip(runs, rows, strict=True)])
    languages = list(dict.fromkeys(code for run in runs for code in run.bits_per_byte.get("test", {})))
    amounts = ("share_planned", "share_realised", "epochs_read", "english_bytes_seen", "tokens_seen")
    bits = [
        [
            name(run),
            code,
            *(getattr(run, amount).get(code, 0) for amount in amounts),
            *(run.bits_per_byte.get(part, {}).get(code) for part in PARTS),
        ]
        for run in runs
        for code in languages
    ]
    write_csv(out / LANGUAGES_TABLE, ("run", "language", *amounts, *(f"bits_per_byte_{part}" for part in PARTS)), bits)


def name(run: Run) -> str:
    return f"{run.stage}/{run.folder.name}"


def write_csv(path: Path, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows([[f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row] for row in rows])
