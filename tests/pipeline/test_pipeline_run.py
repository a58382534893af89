"""Running: what is done is skipped, what was cut is resumed or begun anew, and the record comes last."""

import errno
import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyglot_lm.pipeline import (
    RECORD,
    CorruptFileError,
    Counters,
    Runtime,
    Step,
    UserError,
    name_results,
    read_record,
    run_steps,
    stage,
)

Work = Callable[[Path], object]


def nothing(out: Path) -> None:
    pass


class Workshop:
    """Makes steps that note when they run; `work` is what every one does then."""

    def __init__(self, root: Path, work: Work = nothing) -> None:
        self.root, self.work = root, work
        self.ran: list[str] = []

    def step(self, name: str, *, resumable: bool = False, **arguments: Any) -> Step:
        @stage(version=1, resumable=resumable)
        def note(out: Path, *, value: Any = 0, parents: Any = ()) -> Counters:
            self.ran.append(name)
            assert not (out / RECORD).exists()
            self.work(out)
            return {"value": value}

        return note.step(name, **arguments)

    def run(self, *steps: Step) -> list[str]:
        self.ran = []
        run_steps(steps, Runtime(root=self.root))
        return self.ran


def failing(error: BaseException) -> Work:
    def work(out: Path) -> None:
        (out / "half").write_text("half")
        raise error

    return work


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_what_is_done_is_skipped(shop: Workshop) -> None:
    first, last = shop.step("a"), shop.step("b", parents=shop.step("a"))
    assert shop.run(first) == ["a"]
    assert shop.run(last) == ["b"]
    assert shop.run(first, last) == []


def test_a_changed_argument_runs_the_step_and_what_follows_it_alone(shop: Workshop) -> None:
    def recipe(value: int) -> list[Step]:
        top, side = shop.step("top"), shop.step("side")
        middle = shop.step("middle", value=value, parents=top)
        return [side, shop.step("bottom", parents=[middle, side])]

    assert shop.run(*recipe(1)) == ["side", "top", "middle", "bottom"]
    assert shop.run(*recipe(2)) == ["middle", "bottom"]
    assert shop.run(*recipe(1)) == []


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_step_that_was_cut_has_no_record_and_starts_from_an_empty_folder(shop: Workshop, error: BaseException) -> None:
    step = shop.step("a")
    shop.work = failing(error)
    with pytest.raises(type(error)):
        shop.run(step)
    folder = shop.root / step.address
    assert [path.name for path in folder.iterdir()] == ["half"]
    shop.work = nothing
    assert shop.run(step) == ["a"]
    assert [path.name for path in folder.iterdir()] == [RECORD]


def test_a_resumable_step_finds_what_it_left(shop: Workshop) -> None:
    step = shop.step("a", resumable=True)
    shop.work = failing(ValueError("cut"))
    with pytest.raises(ValueError, match="cut"):
        shop.run(step)
    shop.work = lambda out: (out / "half").rename(out / "whole")
    shop.run(step)
    assert sorted(path.name for path in (shop.root / step.address).iterdir()) == [RECORD, "whole"]


def test_a_record_says_what_was_computed_and_what_it_cost(shop: Workshop) -> None:
    top = shop.step("top")
    step = shop.step("a/b", value=3, parents=top)
    shop.work = lambda out: (out / "file").write_bytes(b"12345")
    shop.run(step)
    record = read_record(shop.root / step.address)
    assert record is not None
    assert record["name"] == "a/b"
    assert record["address"] == step.address
    assert record["parents"] == [top.address]
    assert record["counters"] == {"value": 3}
    assert record["specification"] == {"name": "a/b", "version": 1, "arguments": {"parents": top.address, "value": 3}}
    assert record["measurements"]["bytes_on_disk"] == 5
    assert record["measurements"]["peak_bytes"] > 1e6
    assert {"started", "wall_seconds", "cpu_seconds", "commit", "python", "polyglot-lm"} <= record["measurements"].keys()


@pytest.mark.parametrize("content", ["", '{"name": "a", "spec', "[]", '{"name": "a"}'])
def test_a_damaged_record_is_named(shop: Workshop, content: str) -> None:
    step = shop.step("a")
    shop.run(step)
    (shop.root / step.address / RECORD).write_text(content)
    with pytest.raises(CorruptFileError, match=f"{step.address}/{RECORD} is damaged"):
        shop.run(step)


def test_a_record_of_another_computation_is_named(shop: Workshop) -> None:
    step = shop.step("a", value=1)
    shop.run(step)
    path = shop.root / step.address / RECORD
    record = json.loads(path.read_text())
    record["specification"]["arguments"]["value"] = 2
    path.write_text(json.dumps(record))
    with pytest.raises(CorruptFileError, match="another computation"):
        shop.run(step)


def test_a_folder_that_another_process_writes_is_left_alone(shop: Workshop) -> None:
    step = shop.step("corpus/ko")
    lock = shop.root / ".locks" / f"{step.address.replace('/', '_')}.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=f"{step.address} is being written by another polyglot"):
            shop.run(step)
    assert shop.run(step) == ["corpus/ko"]


def test_a_blocked_file_inside_a_step_is_not_taken_for_the_lock(shop: Workshop) -> None:
    shop.work = failing(BlockingIOError(errno.EAGAIN, "the pipe is full"))
    with pytest.raises(BlockingIOError, match="the pipe is full"):
        shop.run(shop.step("a"))


def really_full(out: Path) -> None:
    Path("/dev/full").write_text("x")


@pytest.mark.parametrize(
    "work",
    [
        failing(OSError(errno.ENOSPC, "No space left on device")),
        failing(RuntimeError("write failed: No space left on device (os error 28)")),
        pytest.param(really_full, marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")),
    ],
)
def test_a_full_disk_is_said_in_a_sentence(shop: Workshop, work: Work) -> None:
    shop.run(shop.step("before"))
    shop.work = work
    with pytest.raises(UserError, match=r"the disk holding .* is full \(in step a\)"):
        shop.run(shop.step("a", parents=shop.step("before")))
    assert shop.run(shop.step("before")) == []


def test_a_root_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", Path("/proc/polyglot")):
        shop = Workshop(root)
        with pytest.raises(UserError, match=r"cannot be written .* choose another --root"):
            shop.run(shop.step("a"))
        assert shop.ran == []


def test_results_have_names_that_follow_the_newest_run_and_move_with_the_root(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for address in ("report-1", "report-2"):
        (root / address).mkdir(parents=True)
        named = name_results(root, "quickstart", {"report": root / address})
        assert (named / "report").resolve() == (root / address).resolve()
    root.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "quickstart" / "report").resolve() == (tmp_path / "moved" / "report-2").resolve()
    assert [path.name for path in (tmp_path / "moved" / "quickstart").iterdir()] == ["report"]
