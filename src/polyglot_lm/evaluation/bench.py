"""The tasks of one model: each on its own, kept when it is done, and one that fails stops no other.

    tasks/<name>-<shots>.json     scores with n, interval, chance and what the numbers rest on
    items/<name>-<shots>.parquet  of every item its key, the right answer, the log-likelihood of each choice
    prompts/<name>.yaml           what `lm_eval --include_path` takes to run the same tasks

A task that is done for these weights, shots, limit and files is not run again, so a bench that was cut off goes on.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.evaluation.catalogue import BenchTask
from polyglot_lm.evaluation.local import read_rows, write_prompts
from polyglot_lm.evaluation.models import BenchedModel
from polyglot_lm.evaluation.scores import score_items
from polyglot_lm.pipeline import Progress, UserError, atomic_path, read_json, write_json, xxh3_128_file

SCORING = 1  # raise it when the same answers give other scores
PROMPTS_FOLDER, TASKS_FOLDER, ITEMS_FOLDER = "prompts", "tasks", "items"


def run_bench(
    out: Path,
    model: BenchedModel,
    tasks: Sequence[BenchTask],
    *,
    data: Path | None,
    shots: int,
    limit: int | None,
    progress: Progress,
) -> dict[str, str]:
    """Run what is not done; return the reason of each task that failed. Raises UserError without the extra `eval`."""
    failed: dict[str, str] = {}
    for number, task in enumerate(tasks, 1):
        label = f"[{number}/{len(tasks)}] {task.name}"
        with contextlib.suppress(UserError):
            if finished(out, task, shots) == identity_of(model, task, data, shots, limit):
                progress.say(f"{label}: done before")
                continue
        try:
            started = time.process_time()
            score = run_task(out, model, task, data=data, shots=shots, limit=limit, progress=progress)
            about = ", at chance" if score["at_chance"] else ""
            value = score["metrics"][task.metric]["value"]
            progress.say(f"{label}: {task.metric} {value:.3f}{about}  ({time.process_time() - started:.0f} s)")
        except MissingExtraError:
            raise
        except Exception as error:  # noqa: BLE001  (a task of the harness or its data may raise anything; the others still run)
            failed[task.name] = " ".join(str(error).split())[:300] or type(error).__name__
            progress.say(f"{label}: failed, {failed[task.name]}")
    return failed


class MissingExtraError(UserError):
    """lm-evaluation-harness is not installed."""

    def __init__(self) -> None:
        super().__init__("tasks need lm-evaluation-harness; install it with pip install 'polyglot-lm[eval]'")


def task_path(out: Path, task: BenchTask, shots: int) -> Path:
    return out / TASKS_FOLDER / f"{task.name}-{shots}.json"


def finished(out: Path, task: BenchTask, shots: int) -> Mapping[str, Any] | None:
    path = task_path(out, task, shots)
    return read_json(path)["identity"] if path.exists() else None


def identity_of(model: BenchedModel, task: BenchTask, data: Path | None, shots: int, limit: int | None) -> dict[str, Any]:
    files = {split: xxh3_128_file(path) for split, path in task.files(data).items()} if data else "hub"
    return {"scoring": SCORING, "model": model.identity, "task": task.name, "shots": shots, "limit": limit, "data": files}


def run_task(
    out: Path, model: BenchedModel, task: BenchTask, *, data: Path | None, shots: int, limit: int | None, progress: Progress
) -> dict[str, Any]:
    """Run one task and write its score and items; raises UserError for what the user can mend, else what the harness raises."""
    try:
        from polyglot_lm.evaluation import harness
    except ModuleNotFoundError as error:
        raise MissingExtraError from error
    if shots and task.shots is None:
        raise UserError(f"{task.name} has no examples to show; run it with --shots 0")
    num_items = len(read_rows(task.files(data)[task.split])) if data else limit or 1000  # of the hub: for the bar alone
    if not num_items:
        raise UserError(f"{task.name} has no items in {task.split}; look into its file, or leave it out")
    write_prompts(out / PROMPTS_FOLDER, [task], data, harness.PROMPTS)
    started = time.monotonic()
    with progress.task(task.name, total=min(num_items, limit or num_items) * max(1, task.choices), unit="answers") as bar:
        benched = (harness.MaskedBenchModel if model.masked else harness.BenchModel)(model, bar)
        found = harness.evaluate_task(benched, task.name, out / PROMPTS_FOLDER, shots=shots, limit=limit)
    items = list(items_of(harness.gathered(found["samples"]), task))
    result = {
        "identity": identity_of(model, task, data, shots, limit),
        "name": task.name,
        "family": task.family,
        "language": task.language,
        "split": task.split,
        "shots": shots,
        "metric": task.metric,
        **score_items(items, task.metric, task.chance),
        "answers_cut": benched.truncated,
        "seconds": round(time.monotonic() - started, 1),
        "harness": harness.VERSION,
        "scored_by": "pseudo-log-likelihood" if model.masked else "log-likelihood" if task.choices else "generation",
        "note": task.note,
    }
    write_items(out / ITEMS_FOLDER / f"{task.name}-{shots}.parquet", items)
    write_json(task_path(out, task, shots), result)
    return result


def items_of(samples: Mapping[int, Mapping[str, Any]], task: BenchTask) -> Iterator[dict[str, Any]]:
    for number, sample in samples.items():
        yield {
            "item": json.dumps([sample["doc"].get(column) for column in task.item] or [number], ensure_ascii=False),
            "gold": label_of(sample["target"], task),
            "choices": [float(answer[0]) for answer in sample["filtered_resps"]] if task.choices else [],
            **{name: sample[name] for name in ("acc", "acc_norm", "exact_match", "f1") if name in sample},
        }


def label_of(target: Any, task: BenchTask) -> str | None:
    """Return the right answer where it is a place, a letter or a number; None where it is a text, of this item alone."""
    return str(target) if not task.choices or len(str(target)) == 1 else None


def write_items(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    rows = [{key: list(value) if key == "f1" else value for key, value in item.items()} for item in items]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)


def read_scores(out: Path) -> list[dict[str, Any]]:
    """Return the scores of all finished tasks, by name and shots."""
    return [read_json(path) for path in sorted((out / TASKS_FOLDER).glob("*.json"))]
