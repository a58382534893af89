"""Task files of a folder, in the shape that lm-evaluation-harness asks for.

`write_prompts` leaves one YAML file a task, which includes the harness's own (or ours) and names the data; `read_splits` is
what the harness then calls to get it. `lm_eval --include_path FOLDER` runs the very same tasks, which is how scores are
compared. Rows are held in memory: nothing of a set is written anywhere in plain text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyglot_lm.evaluation.catalogue import PROMPTS, BenchTask
from polyglot_lm.pipeline import CorruptFileError, atomic_text


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a zstd-compressed file of one JSON object a line; raises CorruptFileError when it is not one."""
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            return [json.loads(line) for line in stream.read().decode("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise CorruptFileError(path, str(error).splitlines()[0]) from error


def read_splits(
    files: Mapping[str, str],
    rename: Mapping[str, str] | None = None,
    labels: Sequence[int] = (),
    nulls: Sequence[str] = (),
    **_: Any,  # the harness hands over the task's metadata as well
) -> Any:
    """Return a `datasets.DatasetDict` of all splits; the harness calls this by its name in the YAML."""
    from datasets import Dataset, DatasetDict

    def shaped(row: dict[str, Any]) -> dict[str, Any]:
        row = {(rename or {}).get(key, key): value for key, value in row.items()} | dict.fromkeys(nulls)
        return row | {"label": labels[row["label"]]} if labels else row

    return DatasetDict({split: Dataset.from_list([shaped(row) for row in read_rows(Path(path))]) for split, path in files.items()})


def write_prompts(folder: Path, tasks: Iterable[BenchTask], data: Path | None, prompts: Path) -> None:
    """Write a YAML file for every task; the harness keeps its own below `prompts`."""
    for task in tasks:
        base = prompts / task.harness if task.harness else PROMPTS / f"{task.name}.yaml"
        lines = [f"include: {json.dumps(str(base))}", f"task: {task.name}"]
        with atomic_text(folder / f"{task.name}.yaml") as file:
            file.write("\n".join([*lines, *(local_lines(task, data) if data else [])]) + "\n")


def local_lines(task: BenchTask, data: Path) -> list[str]:
    """Point a prompt at local files; JSON is YAML, so values are written as that."""
    files = {split: str(path.absolute()) for split, path in task.files(data).items()}
    shots = task.shots if task.shots in files else None
    arguments = {"files": files, "rename": dict(task.rename), "labels": task.labels, "nulls": task.nulls}
    splits = {"test_split": task.split, "validation_split": None, "training_split": None, "fewshot_split": shots}
    return [
        "custom_dataset: !function polyglot_lm.evaluation.local.read_splits",
        f"dataset_kwargs: {json.dumps(arguments, ensure_ascii=False)}",
        *(f"{key}: {json.dumps(value)}" for key, value in splits.items()),
    ]
