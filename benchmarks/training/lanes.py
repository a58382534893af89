"""How busy one lane of the balance study keeps a card, by size and windows a step.

    python benchmarks/training/lanes.py DATA OUT.json [--sizes 350m,110m] [--windows 4,16,32,64,128]

DATA is the folder of the step study-data. Each row trains a lane, the study's own captured step, on text of all languages: a first
stretch untimed, then the best of three. MFU counts model FLOPs, none of recomputation, against the card's dense bf16 peak.
"""

import argparse
import time
from pathlib import Path

import torch

from polyglot_lm.pipeline import write_json
from polyglot_lm.recipes.balance_study import protocol_of
from polyglot_lm.study.engine import Lane, drawn_weights
from polyglot_lm.study.gather import StudyData
from polyglot_lm.study.plan import Choice, Plan
from polyglot_lm.study.protocol import model_of
from polyglot_lm.study.reading import Reading
from polyglot_lm.training.gpus import gpu_called
from polyglot_lm.training.metrics import utilization

STRETCHES, STRETCH_WINDOWS = 4, 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--sizes", default="350m,110m")
    options.add_argument("--windows", default="4,16,32,64,128")
    asked = options.parse_args()
    data = StudyData(asked.data)
    rows = {
        f"{size} {windows}": measured(data, size, int(windows), asked.out.parent / "mixtures")
        for size in asked.sizes.split(",")
        for windows in asked.windows.split(",")
    }
    card = torch.cuda.get_device_name()
    command = "python benchmarks/training/lanes.py DATA OUT.json"
    write_json(asked.out, {"card": card, "versions": {"torch": torch.__version__}, "command": command, "lanes": rows})


def measured(data: StudyData, size: str, windows: int, mixtures: Path) -> dict[str, float]:
    """Train a lane on the study's uniform mixture and return its speed."""
    protocol = protocol_of(data.languages, size="27m", content_megabytes=6.8, seeds=1)
    training = Plan(protocol, data, {}).arm("sweep", "uniform", 1, Choice(windows, 0.001), size=size)
    reading = Reading(data, training, mixtures=mixtures, context=protocol.context, max_epochs=protocol.max_epochs)
    total = STRETCHES * STRETCH_WINDOWS
    text = reading.next(total)
    model = model_of(size, vocab_size=data.tokenizers["parity"]["vocab_size"], context=protocol.context)
    lane = Lane(model, training.optim(), batch_windows=windows, max_windows=total, device=torch.device("cuda"))
    lane.begin(drawn_weights(model, 1), training.optim(), total // windows)
    seconds = []
    for part in text.reshape(STRETCHES, STRETCH_WINDOWS, -1):
        lane.feed(part)
        torch.cuda.synchronize()
        since = time.perf_counter()
        lane.advance()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - since)
    tokens_s = STRETCH_WINDOWS * protocol.context / min(seconds[1:])
    gpu = gpu_called(torch.cuda.get_device_name())
    mfu = utilization(tokens_s, model.flops_per_token, gpu.peak_flops if gpu else None) or 0.0
    losses = lane.outcome().losses
    print(
        f"{size} {windows:4} windows  {tokens_s:>10,.0f} tokens/s  MFU {100 * mfu:.1f} %  loss {losses[0]:.2f} to {losses[-1]:.2f}"
    )
    return {"tokens_s": tokens_s, "mfu": mfu, "ms_step": 1000 * min(seconds[1:]) * windows / STRETCH_WINDOWS}


if __name__ == "__main__":
    main()
