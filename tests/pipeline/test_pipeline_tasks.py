"""Tasks inside a step: done when their manifest says so, lost when the system keeps killing them, and the same on Ray."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from polyglot_lm.pipeline import CorruptFileError, Outcome, Runtime, UserError, all_done, read_manifests, run_tasks
from polyglot_lm.pipeline.tasks import manifest_path


@dataclass(frozen=True, kw_only=True)
class Square:
    """Write number² to a file; `deadly` kills its worker that many times, which a tally in `folder` remembers."""

    number: int
    folder: Path
    deadly: int = 0

    @property
    def name(self) -> str:
        return f"part-{self.number:05d}"


def square(task: Square) -> Outcome:
    tally = task.folder / f"{task.name}.attempts"
    attempts = len(tally.read_text()) if tally.exists() else 0
    tally.write_text("x" * (attempts + 1))
    if attempts < task.deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    out = task.folder / f"{task.name}.txt"
    out.write_text(str(task.number**2))
    return Outcome(files=(out, task.folder / "absent"), counters=Counter(rows=task.number))


def attempts(folder: Path, number: int) -> int:
    return len((folder / f"part-{number:05d}.attempts").read_text())


@pytest.mark.parametrize("runtime", [{"workers": 1}, {"workers": 2}])
def test_tasks_leave_files_and_manifests_in_order(tmp_path: Path, runtime: dict[str, int]) -> None:
    tasks = [Square(number=number, folder=tmp_path) for number in range(5)]
    found = run_tasks(Runtime(**runtime), tmp_path, square, tasks, label="squares")
    assert [(m.name, m.outputs, m.counters["rows"]) for m in found] == [(t.name, (f"{t.name}.txt",), t.number) for t in tasks]
    assert read_manifests(tmp_path) == found
    assert all(manifest.peak_bytes > 1_000_000 for manifest in found)


def test_only_what_has_no_sound_manifest_runs_again(tmp_path: Path) -> None:
    tasks = [Square(number=number, folder=tmp_path) for number in range(4)]
    first = run_tasks(Runtime(workers=1), tmp_path, square, tasks, label="squares")
    (tmp_path / "part-00001.txt").write_text("longer than it was")
    (tmp_path / "part-00002.txt").unlink()
    manifest_path(tmp_path, "part-00003").write_text("{")
    with pytest.raises(CorruptFileError, match="part-00001"):
        read_manifests(tmp_path)
    again = run_tasks(Runtime(workers=1), tmp_path, square, tasks, label="squares")
    assert [m.counters for m in again] == [m.counters for m in first]
    assert [attempts(tmp_path, number) for number in range(4)] == [1, 2, 2, 2]
    assert (tmp_path / "part-00001.txt").read_text() == "1"


def test_a_killed_worker_is_replaced_and_a_deadly_task_is_lost(tmp_path: Path) -> None:
    deaths = {3: 1, 5: 99}
    tasks = [Square(number=number, folder=tmp_path, deadly=deaths.get(number, 0)) for number in range(8)]
    found = run_tasks(Runtime(workers=2), tmp_path, square, tasks, label="squares")
    assert [m.lost is None for m in found] == [number != 5 for number in range(8)]
    assert found[5].lost == "its worker was killed 3 times (out of memory?)"
    with pytest.raises(UserError, match=r"squares cannot be finished: part-00005: its worker was killed 3 times"):
        all_done(found, "squares")
    assert all_done(found[:5], "squares") == found[:5]
    assert (tmp_path / "part-00003.txt").read_text() == "9"
    assert attempts(tmp_path, 5) >= 3
    assert run_tasks(Runtime(workers=2), tmp_path, square, tasks, label="squares") == found


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, time; from polyglot_lm.pipeline import Runtime\n"
        "if __name__ == '__main__':\n"
        "    runtime = Runtime(workers=2)\n"
        "    list(runtime.map(abs, [1, 2])); pool = runtime.runner.pool\n"
        "    print(*pool._processes, flush=True); time.sleep(60)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    until = time.monotonic() + 20
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < until, "a worker outlives its parent"
        time.sleep(0.05)


def alive(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_on_ray_the_same_files_appear(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    try:
        for name in ("here", "there"):
            (tmp_path / name).mkdir()
        runtimes = {"here": Runtime(workers=1), "there": Runtime(workers=2, cluster="local")}
        found = {
            name: run_tasks(
                runtime, tmp_path / name, square, [Square(number=n, folder=tmp_path / name) for n in range(4)], label="squares"
            )
            for name, runtime in runtimes.items()
        }
        assert [m.counters for m in found["here"]] == [m.counters for m in found["there"]]
        deadly = Square(number=9, folder=tmp_path / "there", deadly=99)
        (gone,) = run_tasks(runtimes["there"], tmp_path / "there", square, [deadly], label="squares")
        assert str(gone.lost).startswith("its worker was killed 3 times")
    finally:
        ray.shutdown()


def test_a_cluster_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    task = Square(number=1, folder=tmp_path)
    with pytest.raises(UserError, match=r"Ray cluster '127\.0\.0\.1:1' cannot be reached"):
        run_tasks(Runtime(workers=1, cluster="127.0.0.1:1"), tmp_path, square, [task], label="squares")
