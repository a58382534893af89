"""The bench's tasks as data: which family, language, prompt, files and metric each has (`catalogue.toml`, `tasks/*.yaml`).

A task is known by its name, which is also its folder in `--data DIR`. The prompts are lm-evaluation-harness's wherever it has
one, so that a score here is a score there; this module knows names and columns only and imports nothing of it.
"""

import difflib
import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import UserError

CATALOGUE_FILE = Path(__file__).parent / "catalogue.toml"
PROMPTS = Path(__file__).parent / "tasks"
SUFFIX = ".jsonl.zst"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchTask:
    """One task in one language. `harness` is its prompt below `lm_eval/tasks/`, None where it is ours; see `catalogue.toml`."""

    name: str
    family: str
    language: str
    harness: str | None
    choices: int
    metric: str
    split: str = "test"
    shots: str | None = None
    hub: bool = True
    rename: Mapping[str, str]
    labels: tuple[int, ...]
    nulls: tuple[str, ...]
    item: tuple[str, ...]
    note: str = ""

    @property
    def chance(self) -> float:
        """Accuracy of guessing; 0 where text is generated."""
        return 1 / self.choices if self.choices else 0.0

    def files(self, data: Path) -> dict[str, Path]:
        """Return the files of `--data DIR` by split; raises UserError when the split that is scored is not there."""
        found = {path.name.removesuffix(SUFFIX): path for path in sorted((data / self.name).glob(f"*{SUFFIX}"))}
        if self.split not in found:
            raise UserError(f"{data / self.name} has no {self.split}{SUFFIX}; leave {self.name} out, or add that file")
        return found


@functools.cache
def catalogue() -> Mapping[str, BenchTask]:
    """Return all tasks by name, in the catalogue's order."""
    return {
        task.name: task for family, entry in tomllib.loads(CATALOGUE_FILE.read_text()).items() for task in members(family, entry)
    }


def members(family: str, entry: Mapping[str, Any]) -> Iterable[BenchTask]:
    fields = {key: entry[key] for key in ("choices", "metric", "split", "shots", "hub", "note") if key in entry}
    template: str | None = entry.get("harness")
    for language, name in entry["tasks"].items():
        yield BenchTask(
            name=name,
            family=family,
            language=language,
            harness=template and template.format(name=name, key=entry.get("keys", {}).get(language, language)),
            rename=entry.get("rename", {}),
            labels=tuple(entry.get("labels", ())),
            nulls=tuple(entry.get("nulls", ())),
            item=tuple(entry.get("item", ())),
            **fields,
        )


def chosen_tasks(names: Iterable[str], data: Path | None) -> list[BenchTask]:
    """Return tasks by name, family or language; none named means all that `data` holds, or that the hub has without it.

    Raises UserError for a name that is none of these, and for a folder that is not there.
    """
    if data is not None and not data.is_dir():
        raise UserError(f"no folder {str(data)!r} of tasks; give one with TASK/SPLIT{SUFFIX}")
    known, wanted = catalogue(), list(names)
    if not wanted:
        here = {folder.name for folder in data.iterdir()} if data else {task.name for task in known.values() if task.hub}
        return [task for task in known.values() if task.name in here]
    chosen: dict[str, BenchTask] = {}
    for word in wanted:
        found = [task for task in known.values() if word in (task.name, task.family, task.language)]
        if not found:
            words = {*known, *(task.family for task in known.values()), *(task.language for task in known.values())}
            near = difflib.get_close_matches(word, sorted(words), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "name a task, a family or a language of evaluation/catalogue.toml"
            raise UserError(f"no task {word!r}; {hint}")
        chosen |= {task.name: task for task in found}
    return list(chosen.values())
