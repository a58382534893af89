"""What a person sees while a long step works: a bar with rate and time left, or a line now and then.

On a terminal the bars are rich's; elsewhere (a log file, CI) every step leaves one line and long ones a sign of life
every fifteen seconds. Stages know only `Task.advance`. `SILENT` shows nothing and is what a stage gets by default.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LOG_EVERY_SECONDS = 15.0


class Task:
    """A piece of work with a known size, of which an earlier attempt may have `done` a part; all counted in `unit`."""

    def __init__(self, name: str, total: float, unit: str, done: float) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.begun = done
        self.started = time.monotonic()

    def advance(self, amount: float, note: str = "") -> None:
        self.done += amount


class BarTask(Task):
    def __init__(self, name: str, total: float, unit: str, done: float, bars: "RichProgress") -> None:
        super().__init__(name, total, unit, done)
        self.bars = bars
        self.row: TaskID = bars.add_task(name, total=total, completed=int(done), unit=unit, note="")

    def advance(self, amount: float, note: str = "") -> None:
        super().advance(amount)
        self.bars.update(self.row, advance=amount, note=note)


class LineTask(Task):
    def __init__(self, name: str, total: float, unit: str, done: float, console: "Console") -> None:
        super().__init__(name, total, unit, done)
        self.console = console
        self.logged = self.started

    def advance(self, amount: float, note: str = "") -> None:
        super().advance(amount)
        now = time.monotonic()
        if now - self.logged >= LOG_EVERY_SECONDS and self.done < self.total:
            self.logged = now
            rate = (self.done - self.begun) / (now - self.started)
            left = (self.total - self.done) / rate
            share = 100 * self.done / self.total
            self.console.print(f"  {self.name}: {share:.0f} %, {rate:,.0f} {self.unit}/s, {left:.0f} s left {note}", markup=False)


class Progress:
    """Shows steps and tasks on a console; without a console it shows nothing."""

    def __init__(self, console: "Console | None" = None) -> None:
        self.console = console

    def say(self, line: str) -> None:
        if self.console is not None:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, name: str, total: float, unit: str, done: float = 0.0) -> Iterator[Task]:
        """Open a task; it disappears from the terminal when the block ends."""
        if self.console is None:
            yield Task(name, total, unit, done)
        elif self.console.is_terminal:
            with rich_bars(self.console) as bars:
                yield BarTask(name, total, unit, done, bars)
        else:
            yield LineTask(name, total, unit, done, self.console)


def rich_bars(console: "Console") -> "RichProgress":
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.progress import Task as RichTask
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            rate = task.finished_speed or task.speed
            return Text(f"{rate:,.0f} {task.fields['unit']}/s" if rate else "", style="cyan")

    return RichProgress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )


SILENT = Progress()
