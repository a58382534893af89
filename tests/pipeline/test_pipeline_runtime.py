"""The runtime: workers change the time alone, and a log file gets lines instead of bars."""

import io
import operator
from pathlib import Path

import pytest
from rich.console import Console

from polyglot_lm.pipeline import CorruptFileError, Progress, Runtime, UserError
from polyglot_lm.pipeline.progress import SILENT


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks_whatever_the_workers(workers: int) -> None:
    assert list(Runtime(workers=workers).map(operator.neg, range(20))) == [-number for number in range(20)]
    assert list(Runtime(workers=workers).map(operator.neg, [])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_in_a_task_is_raised(workers: int) -> None:
    with pytest.raises(TypeError, match="bad operand"):
        list(Runtime(workers=workers).map(operator.neg, [1, "a"]))


def damaged(path: Path) -> None:
    raise CorruptFileError(path, "it is cut")


@pytest.mark.parametrize("workers", [1, 2])
def test_damage_met_by_a_worker_is_named_by_the_command(workers: int) -> None:
    with pytest.raises(CorruptFileError, match=r"a/part\.bin is damaged \(it is cut\); delete the folder a"):
        list(Runtime(workers=workers).map(damaged, [Path("a/part.bin")] * 2))


@pytest.mark.parametrize("field", ["workers", "threads", "processes"])
def test_a_runtime_needs_at_least_one_of_each(field: str) -> None:
    with pytest.raises(UserError, match=f"{field} is 0; it must be at least 1"):
        Runtime(**{field: 0})


def shown(*, terminal: bool, every: float = 0.0) -> str:
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polyglot_lm.pipeline.progress.LOG_EVERY_SECONDS", every)
        with Progress(Console(file=file, force_terminal=terminal, width=100)).task("corpus ko", 4, "documents") as task:
            for _ in range(4):
                task.advance(1, "loss 2.0")
            assert task.done == 4
    return file.getvalue()


def test_a_log_file_gets_a_line_now_and_then() -> None:
    lines = shown(terminal=False).splitlines()
    assert [line.split(",")[0] for line in lines] == ["  corpus ko: 25 %", "  corpus ko: 50 %", "  corpus ko: 75 %"]
    assert "documents/s" in lines[0]
    assert lines[0].endswith("s left loss 2.0")
    assert shown(terminal=False, every=1000) == ""


def test_a_terminal_gets_a_bar() -> None:
    assert "corpus ko" in shown(terminal=True)


def test_silence_is_silent() -> None:
    SILENT.say("nothing")
    with SILENT.task("a", 2, "files") as task:
        task.advance(2)
    assert task.done == 2


def test_names_with_brackets_are_shown_as_they_are() -> None:
    file = io.StringIO()
    Progress(Console(file=file, width=100)).say("[1/2] documents/ko/news [draft]")
    assert file.getvalue() == "[1/2] documents/ko/news [draft]\n"
