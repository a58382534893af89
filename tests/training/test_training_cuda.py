"""The same training on a GPU; run by hand there with `pytest -m gpu`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import ONE_THREAD, make_inputs, optim, schedule

from polyglot_lm.training.loop import train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_losses_on_the_gpu_are_those_of_the_cpu(tmp_path: Path, tiny_corpora: dict[str, Path], optimizer: str) -> None:
    inputs = make_inputs(tmp_path, tiny_corpora)
    arguments = inputs.arguments(optim=replace(optim(), optimizer=optimizer), training=schedule(steps=20))
    losses = {}
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
        losses[device] = train(tmp_path / device, **arguments, runtime=replace(ONE_THREAD, device=device))["train_loss"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=2e-3)
