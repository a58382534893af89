"""What may befall a run: kills, torn saves, full disks, poisoned batches, signals. Nothing is lost and nothing is hushed."""

import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import LANGUAGES, MODEL, ONE_THREAD, Inputs, files, make_inputs, optim, schedule

from polyglot_lm.model.hf import load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import CorruptFileError, UserError, read_json
from polyglot_lm.shards import read_metrics
from polyglot_lm.training import checkpoint, loop, run
from polyglot_lm.training.checkpoint import Keep, Saver, checkpoints, load_checkpoint
from polyglot_lm.training.loop import train
from polyglot_lm.training.parallel import World

SAVING_ALWAYS = replace(ONE_THREAD, checkpoint_seconds=0.0)
ALONE = World(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"), tiny_corpora)


@pytest.fixture(autouse=True)
def every_loss_and_every_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(Saver, "busy", False)  # a save waits for the one before it, however fast the steps are


def steps_of(folder: Path) -> list[int]:
    return [int(path.name[-8:]) for path in checkpoints(folder / "checkpoints")]


def start(folder: Path, arguments: dict[str, Any], seconds: float = 0.0) -> subprocess.Popen[str]:
    order = folder.parent / f"{folder.name}.pickle"
    order.write_bytes(pickle.dumps(arguments))
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("tiny_run.py")), str(order), str(folder), str(seconds)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def kill_and_resume(tmp_path: Path, inputs: Inputs, kills: int, steps: int, seed: int) -> None:
    """Kill a training that saves at every step, at random moments of it, and compare with one that was left alone."""
    arguments = inputs.arguments(training=schedule(steps=steps))
    (tmp_path / "whole").mkdir()
    train(tmp_path / "whole", **arguments, runtime=SAVING_ALWAYS)
    rng, cut, during_saves, killed = random.Random(seed), tmp_path / "cut", 0, 0
    cut.mkdir()
    while killed < kills:
        known = steps_of(cut)
        process = start(cut, arguments)
        try:
            while steps_of(cut) == known and process.poll() is None:  # it has begun to step and to save
                time.sleep(0.005)
            process.wait(timeout=rng.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        during_saves += any(cut.glob("checkpoints/.step-*.tmp"))
        if process.returncode == 0:  # whole too early: take some of it away again, as a kill would have
            for path in checkpoints(cut / "checkpoints")[1:]:
                shutil.rmtree(path)
    process = start(cut, arguments)
    assert process.wait() == 0, process.communicate()
    process.communicate()
    assert files(cut) == files(tmp_path / "whole")
    assert during_saves or kills < 10, "no kill fell into a save; the test proves less than it says"


def test_killed_at_a_random_moment_it_goes_on_bitwise(tmp_path: Path, inputs: Inputs) -> None:
    kill_and_resume(tmp_path, inputs, kills=1, steps=60, seed=1)


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_goes_on_bitwise(tmp_path: Path, inputs: Inputs) -> None:
    kill_and_resume(tmp_path, inputs, kills=50, steps=250, seed=2)


def saved(folder: Path, step: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(4, 2)
    saver = Saver(folder=folder, world=ALONE)
    tensors = {f"model.{name}": parameter.detach() for name, parameter in layer.named_parameters()}
    saver.begin(step, tensors, {"sampler": {}}, Keep(newest=2))
    saver.finish()
    return layer


def test_a_save_torn_at_any_byte_is_never_loaded(tmp_path: Path) -> None:
    """Whatever part of the files is there, and however long the last one is: the name comes last, and the checksums before it."""
    layer = saved(tmp_path, 1)
    folder = tmp_path / "step-00000001"
    for name in sorted(path.name for path in folder.iterdir()):
        data = (folder / name).read_bytes()  # without its last line feed state.json is whole
        for length in {0, 1, len(data) - 2, *range(7, len(data) - 1, max(1, len(data) // 60))}:
            (folder / name).write_bytes(data[:length])
            with pytest.raises(CorruptFileError, match=re.escape(f"step-00000001/{name} is damaged")):
                load_checkpoint(folder, ALONE, torch.nn.Linear(4, 2), [], {})
        (folder / name).write_bytes(data)
    again = torch.nn.Linear(4, 2)
    load_checkpoint(folder, ALONE, again, [], {})
    assert torch.equal(again.weight, layer.weight)


def test_what_was_not_renamed_is_no_checkpoint(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    shutil.copytree(tmp_path / "step-00000001", tmp_path / ".step-00000002.tmp")
    assert steps_of_folder(tmp_path) == [1]
    Saver(folder=tmp_path, world=ALONE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def steps_of_folder(folder: Path) -> list[int]:
    return [int(path.name[-8:]) for path in checkpoints(folder)]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(Keep(newest=1), [7]), (Keep(newest=2, steps=frozenset({3})), [3, 6, 7]), (Keep(newest=1, every=2), [2, 4, 6, 7])],
)
def test_the_newest_and_the_milestones_stay(tmp_path: Path, keep: Keep, kept: list[int]) -> None:
    for step in range(1, 8):
        (tmp_path / f"step-{step:08d}").mkdir()
        (tmp_path / f"step-{step:08d}" / "state.json").write_text("{}")
    keep.prune(tmp_path)
    assert steps_of_folder(tmp_path) == kept
    assert keep.most(7) >= len(kept)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of one megabyte; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_the_checkpoints_would_fill_is_refused_before_the_first_step(small_disk: Path, inputs: Inputs) -> None:
    with pytest.raises(UserError, match=r"4 checkpoints of .* need .* is full before the end; free space, or keep fewer"):
        train(small_disk, **inputs.arguments(), runtime=SAVING_ALWAYS)
    assert not (small_disk / "checkpoints").exists()


def test_a_disk_that_fills_up_all_the_same_is_named_and_the_last_checkpoint_stays(
    small_disk: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "lack_of_space", lambda *_: None)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    take_step, ballast = run.Run.take_step, small_disk / "ballast"

    def fill_at_five(self: run.Run, *waiting: Any) -> run.Taken:
        if self.step == 5:
            self.saver.finish()
            ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 50_000))
        return take_step(self, *waiting)

    monkeypatch.setattr(run.Run, "take_step", fill_at_five)
    with pytest.raises(UserError, match=r"the disk holding .* is full; free space and run again"):
        train(small_disk, **inputs.arguments(training=schedule(steps=20)), runtime=SAVING_ALWAYS)
    assert steps_of(small_disk)[-1] == 5
    ballast.unlink()
    monkeypatch.setattr(run.Run, "take_step", take_step)
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    train(small_disk, **inputs.arguments(training=schedule(steps=20)), runtime=SAVING_ALWAYS)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint.FileSystemWriter, "write_data", refuse)
    with pytest.raises(UserError, match=r"checkpoints cannot be written \(Permission denied\); make it writable and run again"):
        train(tmp_path, **inputs.arguments(), runtime=SAVING_ALWAYS)


def poisoned(monkeypatch: pytest.MonkeyPatch, *windows: int) -> None:
    """Let the loss of the steps that begin at these windows be no number."""
    loss_sum = run.loss_sum

    def poison(network: GPTNeoX, inputs: torch.Tensor, targets: torch.Tensor, compute: Any) -> torch.Tensor:
        loss = loss_sum(network, inputs, targets, compute)
        return loss * float("nan") if current[-1] in windows else loss

    current: list[int] = []
    next_windows = run.Reading.next

    def remember(self: run.Reading) -> Any:
        windows = next_windows(self)
        current.append(self.index - len(windows))
        return windows

    monkeypatch.setattr(run, "loss_sum", poison)
    monkeypatch.setattr(run.Reading, "next", remember)


def test_a_batch_whose_loss_is_no_number_is_left_out_and_recorded(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, 8, 20)
    counters = train(tmp_path, **inputs.arguments(), runtime=SAVING_ALWAYS)
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines if "skipped" in line] == [3, 6]
    assert {line["skipped"] for line in lines if "skipped" in line} == {"non-finite loss or gradient"}
    assert [line["step"] for line in lines if "rate_factor" in line] == [1, 2, 4, 5, 7, 8]
    assert counters["train_loss"] < 6
    assert all(bool(tensor.isfinite().all()) for tensor in load_hf(tmp_path).state_dict().values())


def test_a_row_of_such_batches_is_gone_back_behind_and_left_out_for_ever(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, 12, 16, 20, 24)
    training = replace(schedule(steps=10), on_spike="rewind")
    train(tmp_path, **inputs.arguments(training=training), runtime=SAVING_ALWAYS)
    lines = read_metrics(tmp_path)
    (back,) = [line for line in lines if "rewound_to" in line]
    assert (back["step"], back["rewound_to"], back["skipped_windows"]) == (7, 3, [12, 28])
    losses = [line["step"] for line in lines if "rate_factor" in line]
    assert losses == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    state = read_json(checkpoints(tmp_path / "checkpoints")[-1] / "state.json")
    assert state["sampler"]["skips"] == [[12, 28]] and state["sampler"]["num_windows"] == 40 + 16


def test_going_back_without_end_is_refused(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, *range(8, 400))
    training = replace(schedule(steps=30), on_spike="rewind")
    with pytest.raises(UserError, match="the loss spikes from step 3 on, whatever is read; lower the learning rate"):
        train(tmp_path, **inputs.arguments(training=training), runtime=SAVING_ALWAYS)
    assert len([line for line in read_metrics(tmp_path) if "rewound_to" in line]) == loop.MAX_REWINDS


def test_a_run_that_is_asked_to_stop_saves_and_says_so_and_goes_on_later(tmp_path: Path, inputs: Inputs) -> None:
    arguments = inputs.arguments(training=schedule(steps=400))
    process = start(tmp_path / "run", arguments, seconds=1e9)
    until = time.monotonic() + 120
    while len(read_metrics(tmp_path / "run")) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (step,) = re.findall(r"polyglot: asked to stop by a signal; step (\d+) of 400 is saved, run again to go on", errors)
    assert steps_of(tmp_path / "run")[-1] == int(step)
    assert "Traceback" not in errors


def test_a_longer_training_goes_on_from_the_peak_as_if_it_had_been_planned(tmp_path: Path, inputs: Inputs) -> None:
    for name, steps in (("short", 10), ("long", 20)):
        (tmp_path / name).mkdir()
        train(tmp_path / name, **inputs.arguments(training=schedule(steps=steps)), runtime=SAVING_ALWAYS)
    assert steps_of(tmp_path / "short") == [6, 10]
    (tmp_path / "longer").mkdir()
    arguments = inputs.arguments(training=schedule(steps=20), continues=tmp_path / "short")
    train(tmp_path / "longer", **arguments, runtime=SAVING_ALWAYS)
    long, longer = files(tmp_path / "long"), files(tmp_path / "longer")
    assert {name for name in long if long[name] != longer[name]} == {name for name in long if name.endswith("state.json")}
    state = read_json(tmp_path / "longer" / "checkpoints" / "step-00000020" / "state.json")
    assert [ancestor["step"] for ancestor in state["lineage"]] == [6]


@pytest.mark.parametrize(
    ("changed", "steps", "complaint"),
    [
        ({"schedule": "cosine"}, 20, "kept no checkpoint at the peak rate; only a training with the schedule wsd can be continued"),
        ({}, 6, "steps is 6, but .* goes on from step 6; give more steps"),
    ],
)
def test_what_cannot_be_continued_is_refused(
    tmp_path: Path, inputs: Inputs, changed: dict[str, Any], steps: int, complaint: str
) -> None:
    for name in ("short", "longer"):
        (tmp_path / name).mkdir()
    given = replace(optim(), **changed)
    train(tmp_path / "short", **inputs.arguments(training=schedule(steps=10), optim=given), runtime=ONE_THREAD)
    arguments = inputs.arguments(training=schedule(steps=steps), optim=given, continues=tmp_path / "short")
    with pytest.raises(UserError, match=complaint):
        train(tmp_path / "longer", **arguments, runtime=ONE_THREAD)


def test_a_training_starts_from_an_exported_model(tmp_path: Path, inputs: Inputs) -> None:
    model = GPTNeoX(MODEL)
    initialize(model, torch.Generator().manual_seed(1))
    save_hf(model, tmp_path / "exported", end_id=2)
    for name in ("drawn", "given"):
        (tmp_path / name).mkdir()
    train(tmp_path / "drawn", **inputs.arguments(training=schedule(seed=1)), runtime=ONE_THREAD)
    arguments = inputs.arguments(training=schedule(seed=7), initial=tmp_path / "exported")
    train(tmp_path / "given", **arguments, runtime=ONE_THREAD)
    assert files(tmp_path / "drawn")["metrics.jsonl"] == files(tmp_path / "given")["metrics.jsonl"]
    with pytest.raises(UserError, match="differs from this training's in num_layers; give both one shape"):
        other = replace(MODEL, num_layers=1)
        (tmp_path / "other").mkdir()
        train(tmp_path / "other", **(arguments | {"model": other}), runtime=ONE_THREAD)


def test_another_tokenizer_or_other_data_than_the_checkpoint_was_made_with_is_refused(tmp_path: Path, inputs: Inputs) -> None:
    train(tmp_path, **inputs.arguments(training=schedule(steps=2)), runtime=ONE_THREAD)
    fewer = {code: inputs.tokens[code] for code in LANGUAGES}
    state = tmp_path / "checkpoints" / "step-00000002" / "state.json"
    state.write_text(state.read_text().replace('"seed": 1', '"seed": 9'))
    with pytest.raises(UserError, match="the state was saved with seed 9, but this run has 1; resume with the same data"):
        train(tmp_path, **inputs.arguments(training=schedule(steps=4), tokens=fewer), runtime=ONE_THREAD)


def test_muon_is_not_divided(tmp_path: Path, inputs: Inputs) -> None:
    from polyglot_lm.pipeline import Layout

    for layout in (Layout(shards=2), Layout(tensor=2)):
        with pytest.raises(
            UserError, match="optimizer is 'muon', which moves whole matrices; use adamw, or leave shards and tensor at 1"
        ):
            train(tmp_path, **inputs.arguments(optim=optim("muon")), runtime=replace(ONE_THREAD, layout=layout))
