"""A run that was cut and resumed leaves the same bytes as one that was not, and a damaged checkpoint is named."""

import json
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_training import ONE_THREAD, Inputs, files, make_inputs, optim, schedule

from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.shards import read_metrics
from polyglot_lm.training import loop
from polyglot_lm.training.checkpoint import Saver
from polyglot_lm.training.config import Plan
from polyglot_lm.training.loop import train
from polyglot_lm.training.reading import Reading
from polyglot_lm.training.run import Run, Taken

SAVING_ALWAYS = replace(ONE_THREAD, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"), tiny_corpora)


@pytest.fixture(autouse=True)
def every_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Saver, "busy", False)  # a save waits for the one before it, however fast the steps are


def run(out: Path, inputs: Inputs, optimizer: str = "adamw") -> None:
    out.mkdir(exist_ok=True)
    train(out, **inputs.arguments(optim=optim(optimizer)), runtime=SAVING_ALWAYS)


def cut(monkeypatch: pytest.MonkeyPatch, *, at_step: int, saved: int) -> None:
    """Let the next run save at step `saved` and at its milestones alone, and be interrupted in the middle of step `at_step`."""
    take_step, save = Run.take_step, Run.save

    def cut_step(self: Run, waiting: Any = nullcontext) -> Taken:
        taken = take_step(self, waiting)
        if self.step == at_step:
            raise KeyboardInterrupt
        return taken

    monkeypatch.setattr(Run, "take_step", cut_step)
    monkeypatch.setattr(Run, "save", lambda self: save(self) if self.step == saved or self.keep.milestone(self.step) else None)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(("saved", "at_step"), [(0, 3), (1, 2), (4, 7), (5, 8)])
def test_resumed_run_equals_uninterrupted_run(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, optimizer: str, saved: int, at_step: int
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    run(tmp_path / "whole", inputs, optimizer)
    with monkeypatch.context() as patch:
        cut(patch, at_step=at_step, saved=saved)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", inputs, optimizer)
    assert (tmp_path / "cut" / "checkpoints" / f"step-{saved:08d}").exists() == (saved > 0)
    run(tmp_path / "cut", inputs, optimizer)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_a_run_cut_at_every_step_equals_an_uninterrupted_one(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", inputs)
    for step in range(2, 9):
        with monkeypatch.context() as patch:
            cut(patch, at_step=step, saved=step - 1)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "cut", inputs)
    run(tmp_path / "cut", inputs)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_a_finished_run_started_again_changes_nothing(tmp_path: Path, inputs: Inputs) -> None:
    run(tmp_path, inputs)
    before = files(tmp_path)
    run(tmp_path, inputs)
    assert files(tmp_path) == before


def test_metrics_have_no_line_twice_after_resuming(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    with monkeypatch.context() as patch:
        cut(patch, at_step=8, saved=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, inputs)
    assert [line["step"] for line in read_metrics(tmp_path) if "loss" in line] == list(range(1, 8))
    run(tmp_path, inputs)
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "control_bits_per_byte" in line] == [3, 6, 8]


def test_a_torn_line_of_metrics_is_written_again(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill may leave any beginning of a line, one that ends in `}` within a nested object among them."""
    run(tmp_path / "whole", inputs)
    with monkeypatch.context() as patch:
        cut(patch, at_step=4, saved=2)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", inputs)
    path = tmp_path / "cut" / "metrics.jsonl"
    (control,) = path.read_text().splitlines()
    assert control.endswith("}}") and json.loads(control)["step"] == 3
    path.write_text(control[:-1])
    run(tmp_path / "cut", inputs)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_checkpoint_is_named_by_its_checksum(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    with monkeypatch.context() as patch:
        cut(patch, at_step=3, saved=2)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, inputs)
    path = tmp_path / "checkpoints" / "step-00000002" / name
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-1])
    with pytest.raises(CorruptFileError, match=rf"step-00000002/{name} is damaged \(checksum"):
        run(tmp_path, inputs)


def test_a_damaged_state_is_named(tmp_path: Path, inputs: Inputs) -> None:
    run(tmp_path, inputs)
    (tmp_path / "checkpoints" / "step-00000008" / "state.json").write_text('{"step": 8, "sam')
    with pytest.raises(CorruptFileError, match=r"step-00000008/state\.json is damaged"):
        run(tmp_path, inputs)


def test_half_a_checkpoint_is_neither_read_nor_kept(tmp_path: Path, inputs: Inputs) -> None:
    run(tmp_path / "whole", inputs)
    half = tmp_path / "cut" / "checkpoints" / ".step-00000005.tmp"
    half.mkdir(parents=True)
    (half / "__0_0.distcp").write_bytes(b"half")
    run(tmp_path / "cut", inputs)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_a_longer_training_reads_the_same_first_windows(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    losses = []
    for steps in (5, 10):
        folder = tmp_path / str(steps)
        folder.mkdir()
        train(folder, **inputs.arguments(training=schedule(steps=steps)), runtime=ONE_THREAD)
        losses.append([line["loss"] for line in read_metrics(folder) if "loss" in line])
    assert losses[0][:3] == losses[1][:3]  # both still at the peak rate; later the shorter one decays


def test_the_clock_asks_for_no_save_beside_another(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, begin = [], Saver.begin
    monkeypatch.setattr(Saver, "begin", lambda self, step, *rest: (saved.append(step), begin(self, step, *rest)))
    for busy in (False, True):
        monkeypatch.setattr(Saver, "busy", busy)
        run(tmp_path / str(busy), inputs)
    assert saved == [*range(1, 9), 4, 8]  # the rate begins to fall at 4, and 8 is the last


def test_nothing_is_read_beyond_the_plan(inputs: Inputs) -> None:
    arguments = inputs.arguments(optim=optim())
    names = ("mixture", "tokens", "model", "optim")
    plan = Plan(**{name: arguments[name] for name in names}, config=arguments["training"])
    with closing(Reading(plan, (0, 1))) as reading:
        for _ in range(plan.config.steps):  # two batches are read ahead of each, without complaint
            reading.next()
        with pytest.raises(UserError, match="is outside the plan, which has 32 windows of 32 tokens"):
            reading.next()
        assert reading.index == 32
