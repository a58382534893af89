"""Who is told how a training goes: two files always, the terminal, and whoever else the runtime names.

    facts     loss, gradient norm, bits per byte, events      metrics.jsonl   equal, byte for byte, in every such run
    speed     tokens/s, MFU, memory, waiting                  speed.jsonl     true of one run; nothing but the report page reads it

Both go to the terminal as lines and to every tracker as one stream of figures. A tracker is a class with `write` and `close`:
Weights & Biases is one, offline unless WANDB_MODE says otherwise, so that a cluster without a network logs as well as any
(`wandb sync FOLDER/wandb/offline-run-*` sends it later). A tracker never decides anything and keeps nothing that the files lack.
"""

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from polyglot_lm.pipeline import Progress, Runtime, UserError
from polyglot_lm.shards import Metrics
from polyglot_lm.training.metrics import Throughput

SPEED_FILE = "speed.jsonl"
CONSOLE_SECONDS = 60.0
FORMS = {  # what the terminal shows; of figures by language the mean
    "loss": "loss {:.3f}",
    "control_bits_per_byte": "held out {:.3f} bits/B",
    "tokens_s": "{:,.0f} tok/s",
    "mfu": "MFU {:.1%}",
    "memory_gib": "{:.1f} GiB",
    "data_wait": "waiting {:.1%}",
}


class Log(Protocol):
    """Takes the figures of a step as they come; nested ones are by name, such as bits per byte by language."""

    def write(self, *, step: int, **figures: Any) -> None: ...

    def close(self) -> None: ...


class Logs:
    """All logs of a training as one."""

    def __init__(self, facts: Metrics, speed: Metrics, others: Sequence[Log]) -> None:
        self.facts, self.speed, self.others = facts, speed, others

    def write(self, *, step: int, **figures: Any) -> None:
        """Log what a step computed."""
        self.facts.write(step=step, **figures)
        self.tell(step, figures)

    def measured(self, step: int, throughput: Throughput) -> None:
        """Log what the steps up to this one took."""
        figures = {name: value for name, value in dataclasses.asdict(throughput).items() if value is not None}
        self.speed.write(step=step, **figures)
        self.tell(step, figures)

    def tell(self, step: int, figures: Mapping[str, Any]) -> None:
        for log in self.others:
            log.write(step=step, **figures)

    def last(self, field: str) -> Any:
        """Return the newest value of a fact, None when there is none."""
        return self.facts.last(field)


@contextmanager
def opened_logs(out: Path, *, until_step: int, about: Mapping[str, Any], runtime: Runtime, writes: bool) -> Iterator[Logs]:
    """Open the logs of the training in `out`, lines after `until_step` dropped; `about` is what trackers show of it.

    Only the rank that `writes` tells anybody. Raises UserError for a tracker that is unknown or not installed.
    """
    others: list[Log] = [Console(runtime.progress)] if writes else []
    others += [tracker(name)(out, about) for name in runtime.trackers] if writes else []
    facts = Metrics(out, until_step=until_step, writes=writes)
    speed = Metrics(out, until_step=until_step, writes=writes, name=SPEED_FILE)
    try:
        yield Logs(facts, speed, others)
    finally:
        for log in others:
            log.close()


def tracker(name: str) -> type["Wandb"]:
    if name not in TRACKERS:
        raise UserError(f"no tracker {name!r}; there are {', '.join(TRACKERS)}")
    return TRACKERS[name]


class Console:
    """One line on the terminal now and then with the newest figures, and one at once for whatever is no ordinary step."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.newest, self.said = progress, dict[str, Any](), time.monotonic()

    def write(self, *, step: int, **figures: Any) -> None:
        if story := story_of(figures):
            self.progress.say(f"  step {step:,}: {story}")
            return
        self.newest |= figures
        if time.monotonic() - self.said >= CONSOLE_SECONDS:
            self.said = time.monotonic()
            self.progress.say(f"  step {step:>7,}  {'  '.join(shown(self.newest))}")

    def close(self) -> None:
        pass


def shown(figures: Mapping[str, Any]) -> Iterator[str]:
    for name, form in FORMS.items():
        value = figures.get(name)
        if isinstance(value, Mapping):
            value = math.fsum(value.values()) / len(value)
        if value is not None:
            yield form.format(value)


def story_of(figures: Mapping[str, Any]) -> str:
    """Say what figures tell that are of no ordinary step; nothing for those that are."""
    if "skipped" in figures:
        loss, norm = figures["loss"], figures["gradient_norm"]
        shown = f"loss {'none' if loss is None else f'{loss:.3f}'}, gradient norm {'none' if norm is None else f'{norm:.3g}'}"
        return f"left out for its {figures['skipped']}: {shown}"
    if "rewound_to" in figures:
        first, end = figures["skipped_windows"]
        return f"went back to step {figures['rewound_to']:,}; windows {first:,} to {end:,} are left out"
    if "shares" in figures:
        return "other shares: " + ", ".join(f"{name} {value:.1%}" for name, value in figures["shares"].items())
    return ""


class Wandb:
    """A run of Weights & Biases whose id is the folder's name, so that a resumed training goes on in the same one."""

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError("the tracker wandb is not installed; run pip install 'polyglot-lm[wandb]'") from error
        os.environ.setdefault("WANDB_MODE", "offline")
        settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        self.run = wandb.init(
            dir=out,
            project="polyglot",
            id=out.name,
            name=out.name,
            config=dict(about),
            resume="allow",
            settings=settings,
        )
        self.run.define_metric("*", step_metric="step")  # its own counter refuses to go back, and a rewound training does

    def write(self, *, step: int, **figures: Any) -> None:
        self.run.log({"step": step, **flat(figures)})

    def close(self) -> None:
        self.run.finish()


TRACKERS = {"wandb": Wandb}


def flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested figures under `outer/inner` names."""
    found: dict[str, Any] = {}
    for name, value in figures.items():
        found |= flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return found
