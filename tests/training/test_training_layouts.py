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
from layout_rank import Case
from safetensors.torch import load_file
from tiny_training import ONE_THREAD, Inputs, make_inputs, schedule

from polyglot_lm.pipeline import Layout
from polyglot_lm.shards import read_metrics
from polyglot_lm.training import loop
from polyglot_lm.training.loop import train

SECONDS = 300


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"), tiny_corpora)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, inputs: Inputs) -> Path:
    """Return the folder of a training of eight steps by one rank, with the checkpoints of the steps 3 and 6."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        train(folder, **arguments(inputs), runtime=ONE_THREAD)
    return folder


def arguments(inputs: Inputs) -> dict[str, Any]:
    return inputs.arguments(training=replace(schedule(), milestone_every=3))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run_ranks(size: int, cases: Sequence[Case], order: Path) -> None:
    order.write_bytes(pickle.dumps(list(cases)))
    shared = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("layout_rank.py")), str(order)]
    ranks = [subprocess.Popen(command, env={**shared, "RANK": str(rank)}) for rank in range(size)]
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


def test_two_ranks_equal_one_in_every_layout_and_go_on_from_each_other(tmp_path: Path, inputs: Inputs, alone: Path) -> None:
    def case(name: str, layout: Layout, checkpoint: Path | None = None) -> Case:
        return Case(folder=tmp_path / name, arguments=arguments(inputs), layout=layout, port=free_port(), checkpoint=checkpoint)

    third, sixth = (Path("checkpoints") / f"step-0000000{step}" for step in (3, 6))
    cases = {
        "sharded": case("sharded", Layout(micro_batch_windows=1)),
        "copied": case("copied", Layout(shards=1)),
        "split": case("split", Layout(tensor=2, micro_batch_windows=2)),
        "sharded after one": case("sharded after one", Layout(), alone / third),
        "split after sharded": case("split after sharded", Layout(tensor=2), tmp_path / "sharded" / third),
        "sharded after split": case("sharded after split", Layout(), tmp_path / "split" / sixth),
    }
    run_ranks(2, list(cases.values()), tmp_path / "cases")
    for name, each in cases.items():
        assert_same_training(tmp_path / name, alone, after=int(each.checkpoint.name[-1]) if each.checkpoint else 0)
    one = case("one after sharded", Layout(), tmp_path / "sharded after one" / sixth)
    from layout_rank import begin

    begin(one)
    train(one.folder, **one.arguments, runtime=ONE_THREAD)
