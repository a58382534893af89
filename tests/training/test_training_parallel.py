"""Several ranks make the same step as one: their parts are all windows, their sums all gradients, and none waits for ever."""

import os
import pickle
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import ONE_THREAD, Inputs, make_inputs, schedule

from polyglot_lm.pipeline import Call, LocalRunner
from polyglot_lm.shards import read_metrics
from polyglot_lm.training.loop import train
from polyglot_lm.training.parallel import World

SECONDS = 240  # a rank that waits for ever is ended; two ranks need about five on a quiet machine


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"), tiny_corpora)


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize(("size", "tensor", "parts"), [(1, 1, [0]), (4, 1, [0, 1, 2, 3]), (4, 2, [0, 0, 1, 1])])
def test_ranks_that_split_the_same_matrices_read_the_same_windows(size: int, tensor: int, parts: list[int]) -> None:
    ranks = [World(rank=rank, size=size, device=torch.device("cpu"), tensor=tensor) for rank in range(size)]
    assert [rank.part for rank in ranks] == [(part, size // tensor) for part in parts]


def test_two_ranks_equal_one(tmp_path: Path, inputs: Inputs) -> None:
    arguments = inputs.arguments(training=schedule(steps=6))
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        runtime = replace(ONE_THREAD, threads=2, processes=processes)
        counters = LocalRunner().run(Call(stage=train, folder=folder, arguments=arguments), runtime)
        assert counters["steps"] == 6
    (one, two) = (read_metrics(tmp_path / name) for name in "12")
    assert [line.keys() for line in one] == [line.keys() for line in two]
    for single, double in zip(one, two, strict=True):
        for field, value in single.items():
            assert double[field] == pytest.approx(value, rel=1e-5), field
    weights = [load_file(tmp_path / name / "model" / "model.safetensors") for name in "12"]
    for name, tensor in weights[0].items():
        if not name.endswith("query_key_value.bias"):  # rounding noise moves a key's bias, which changes nothing
            torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_ranks_whose_clocks_differ_save_together(tmp_path: Path, inputs: Inputs) -> None:
    (tmp_path / "arguments").write_bytes(pickle.dumps(inputs.arguments(training=schedule(steps=4))))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, str(Path(__file__).with_name("hasty_rank.py")), str(tmp_path / "arguments"), str(tmp_path)]
    ranks = [subprocess.Popen(command, env={**shared, "RANK": rank}) for rank in "01"]
    try:
        assert [rank.wait(timeout=SECONDS) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000002", "step-00000004"]
