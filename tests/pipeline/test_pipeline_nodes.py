"""Several nodes: the others wait for what comes before, take part in what is distributed, and write no record."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from polyglot_lm.pipeline import Call, Counters, Nodes, Runtime, Step, UserError, follow_steps, run, run_steps, stage

ORDER: list[str] = []
MEETING = threading.Barrier(2, timeout=60)  # nobody leaves a distributed step before all have come


@stage(version=1)
def before(out: Path) -> Counters:
    time.sleep(0.2)
    ORDER.append("before")
    return {}


@stage(version=1, distributed=True)
def together(out: Path, *, parent: Path) -> Counters:
    assert (parent / "step.json").exists()
    ORDER.append("together")
    MEETING.wait()
    return {"counted": 1}


@stage(version=1)
def after(out: Path, *, parent: Path) -> Counters:
    ORDER.append("after")
    return {}


@pytest.fixture
def last() -> Step:
    ORDER.clear()
    return after.step("after", parent=together.step("together", parent=before.step("before")))


class Here:
    """Runs a distributed step in this process, as each node's share of it."""

    def run(self, call: Call, runtime: Runtime) -> Counters:
        return call.stage(call.folder, **call.arguments)

    def close(self) -> None:
        pass


def runtime(root: Path, rank: int) -> Runtime:
    made = Runtime(root=root, nodes=Nodes(count=2, rank=rank, address="localhost:1"))
    object.__setattr__(made, "runner", Here())
    return made


def test_another_node_takes_part_in_the_distributed_step_alone(tmp_path: Path, last: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "FOLLOW_SECONDS", 0.01)
    follower = threading.Thread(target=follow_steps, args=([last], runtime(tmp_path, 1)))
    follower.start()
    run_steps([last], runtime(tmp_path, 0))
    follower.join(timeout=60)
    assert not follower.is_alive()
    assert ORDER == ["before", "together", "together", "after"]
    again = ORDER.copy()
    follow_steps([last], runtime(tmp_path, 1))  # all is done: nothing to take part in
    assert again == ORDER


def test_torchrun_is_told_where_to_meet() -> None:
    assert Nodes().torchrun_options() == ["--standalone"]
    found = Nodes(count=4, rank=3, address="node1:29500").torchrun_options()
    assert found == ["--nnodes=4", "--node-rank=3", "--master-addr=node1", "--master-port=29500"]
    assert replace(Nodes(count=2, address="[fd00::1]:29500"), rank=1).torchrun_options()[2] == "--master-addr=[fd00::1]"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"count": 2, "rank": 2, "address": "a:1"}, "node_rank is 2 of 2 nodes; number them from 0"),
        ({"count": 1, "rank": 1}, "node_rank is 1 of 1 nodes"),
        ({"count": 2}, "rendezvous is ''; with several nodes give HOST:PORT"),
        ({"count": 2, "address": "node1"}, "rendezvous is 'node1'"),
    ],
)
def test_nodes_that_cannot_meet_are_said(nodes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Nodes(**nodes)  # type: ignore[arg-type]
