"""Whatever the layout, the same steps: sharded, copied, split, in micro-batches, each going on from another's checkpoint."""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_rank import Case, begin
from safetensors.torch import load_file
from tiny_training import ONE_THREAD, Inputs, make_inputs, schedule

from polyglot_lm.pipeline import Layout, UserError
from polyglot_lm.shards import read_metrics
from polyglot_lm.training import loop
from polyglot_lm.training.loop import train
from polyglot_lm.training.parallel import joined

SECONDS = 600  # two ranks need about 20 on two quiet cores
THIRD, SIXTH = (Path("checkpoints") / f"step-0000000{step}" for step in (3, 6))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"), tiny_corpora)


@pytest.fixture(autouse=True)
def every_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


@pytest.fixture
def alone(tmp_path: Path, inputs: Inputs) -> Path:
    """Return the folder of a training of eight steps by one rank, with the checkpoints of the steps 3 and 6."""
    (tmp_path / "alone").mkdir()
    train(tmp_path / "alone", **arguments(inputs), runtime=ONE_THREAD)
    return tmp_path / "alone"


def arguments(inputs: Inputs) -> dict[str, Any]:
    return inputs.arguments(training=replace(schedule(), milestone_every=3))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(size: int) -> dict[str, str]:
    return {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def run_ranks(size: int, cases: Sequence[Case], order: Path) -> None:
    order.write_bytes(pickle.dumps(list(cases)))
    command = [sys.executable, str(Path(__file__).with_name("layout_rank.py")), str(order)]
    ranks = [subprocess.Popen(command, env={**environment(size), "RANK": str(rank)}) for rank in range(size)]
    try:
        assert [rank.wait(timeout=SECONDS) for rank in ranks] == [0] * size
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def assert_same_training(found: Path, expected: Path, after: int = 0) -> None:
    lines, wanted = ([line for line in read_metrics(folder) if line["step"] > after] for folder in (found, expected))
    assert [line.keys() for line in lines] == [line.keys() for line in wanted]
    for line, other in zip(lines, wanted, strict=True):
        for field, value in other.items():
            assert line[field] == pytest.approx(value, rel=1e-5), (found.name, line["step"], field)
    weights, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (found, expected))
    for name, tensor in theirs.items():
        if not name.endswith("query_key_value.bias"):  # rounding noise moves a key's bias, which changes nothing
            torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4, msg=f"{found.name} {name}")


def compare(size: int, layouts: dict[str, tuple[Layout, Path | None]], inputs: Inputs, alone: Path) -> None:
    """Train under each layout, perhaps from a checkpoint, and compare with the training of one rank."""
    root = alone.parent
    cases = [
        Case(folder=root / name, arguments=arguments(inputs), layout=layout, port=free_port(), checkpoint=checkpoint)
        for name, (layout, checkpoint) in layouts.items()
    ]
    run_ranks(size, cases, root / "cases")
    for case in cases:
        assert_same_training(case.folder, alone, after=int(case.checkpoint.name[-1]) if case.checkpoint else 0)


def test_two_ranks_equal_one_in_every_layout_and_go_on_from_each_other(tmp_path: Path, inputs: Inputs, alone: Path) -> None:
    layouts = {
        "sharded": (Layout(micro_batch_windows=1), None),
        "copied": (Layout(shards=1), None),
        "split": (Layout(tensor=2, micro_batch_windows=2), None),
        "sharded after one": (Layout(), alone / THIRD),
        "split after sharded": (Layout(tensor=2), tmp_path / "sharded" / THIRD),
        "sharded after split": (Layout(), tmp_path / "split" / SIXTH),
    }
    compare(2, layouts, inputs, alone)
    one = Case(
        folder=tmp_path / "one",
        arguments=arguments(inputs),
        layout=Layout(),
        port=0,
        checkpoint=tmp_path / "sharded after one" / SIXTH,
    )
    begin(one)
    train(one.folder, **one.arguments, runtime=ONE_THREAD)
    assert_same_training(one.folder, alone, after=6)


@pytest.mark.slow
def test_four_ranks_equal_one_in_every_layout_and_go_on_from_each_other(tmp_path: Path, inputs: Inputs, alone: Path) -> None:
    layouts = {
        "sharded and split": (Layout(tensor=2), None),
        "sharded copies": (Layout(shards=2, micro_batch_windows=1), None),
        "split copies": (Layout(tensor=2, shards=1), None),
        "sharded and split after sharded copies": (Layout(tensor=2), tmp_path / "sharded copies" / THIRD),
        "sharded after sharded and split": (Layout(), tmp_path / "sharded and split" / SIXTH),
    }
    compare(4, layouts, inputs, alone)


@pytest.mark.parametrize(
    ("size", "layout", "complaint"),
    [
        (4, Layout(tensor=3), "tensor is 3, which does not divide 4 processes"),
        (4, Layout(shards=3), "4 processes cannot be divided into tensor 1 × shards 3 × copies; choose divisors of 4"),
        (6, Layout(tensor=2, shards=2), "6 processes cannot be divided into tensor 2 × shards 2 × copies"),
    ],
)
def test_a_layout_that_does_not_divide_the_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch, size: int, layout: Layout, complaint: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(size))
    with pytest.raises(UserError, match=complaint), joined("cpu", layout):
        pass


@pytest.mark.parametrize("setting", [{"shards": 0}, {"tensor": 0}, {"micro_batch_windows": 0}, {"recompute": "some"}])
def test_a_layout_of_nothing_is_refused(setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(UserError, match=f"{name} is {value!r}; it must be"):
        Layout(**setting)


def test_micro_batches_that_do_not_divide_a_part_are_refused(tmp_path: Path, inputs: Inputs) -> None:
    runtime = replace(ONE_THREAD, layout=Layout(micro_batch_windows=3))
    with pytest.raises(UserError, match="micro_batch_windows is 3, but a process reads 4 a step; choose a divisor of that"):
        train(tmp_path, **arguments(inputs), runtime=runtime)


def test_a_rank_that_never_comes_is_told_of(tmp_path: Path) -> None:
    script = "from polyglot_lm.training.parallel import joined, Layout\nwith joined('cpu', Layout()): pass"
    shared = {**environment(2), "RANK": "0", "MASTER_PORT": str(free_port()), "POLYGLOT_JOIN_SECONDS": "2"}
    done = subprocess.run([sys.executable, "-c", script], env=shared, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "UserError: not all 2 processes came within 2 s; see which node did not start" in done.stderr
