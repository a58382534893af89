"""What a user would train a GPT-NeoX with today, in the loop of ours: transformers eager and compiled, its Trainer, litgpt."""

import time
from pathlib import Path
from typing import Any

import torch
from steps import CONTEXT, CUDA, Trainee, forget, windows
from torch import Tensor

from polyglot_lm.model.config import ModelConfig, polyglot_ko


def transformers_trainee(model: ModelConfig, *, compiled: bool) -> Trainee:
    """Return transformers' own network and loss under bf16 autocast, fp32 weights, SDPA."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from polyglot_lm.model.hf import to_hf_config

    with torch.device(CUDA):
        network = GPTNeoXForCausalLM(GPTNeoXConfig(**to_hf_config(model, end_id=2, dtype="float32")))
    run = torch.compile(network) if compiled else network

    def summed_loss(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return run(input_ids=inputs, labels=inputs, use_cache=False).loss * targets.numel()

    return Trainee(network, summed_loss, 8)


def litgpt_trainee(model: ModelConfig) -> Trainee:
    """Return litgpt's pythia-1.4b with our vocabulary and rotary share, compiled, as its pretraining script does."""
    from litgpt.config import Config
    from litgpt.model import GPT

    config = Config.from_name("pythia-1.4b", padded_vocab_size=model.vocab_size, rotary_percentage=model.rotary_fraction)
    with torch.device(CUDA):
        network = GPT(config)
        network.max_seq_length = CONTEXT
    run = torch.compile(network)

    def summed_loss(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            logits = run(inputs)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")

    return Trainee(network, summed_loss, 8)


def trainer_rate(path: Path, model: ModelConfig, batch: int, num_steps: int) -> dict[str, Any]:
    """Return transformers' Trainer's tokens a second: bf16, torch.compile, fused AdamW, micro-batches of 8."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from polyglot_lm.model.hf import to_hf_config

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            self.times.append(time.time())

    rows = windows(path, 0)[: batch * num_steps, :-1].long().cpu()
    network = GPTNeoXForCausalLM(GPTNeoXConfig(**to_hf_config(model, end_id=2, dtype="float32")))
    options = TrainingArguments(
        output_dir="/tmp/trainer",
        per_device_train_batch_size=8,
        gradient_accumulation_steps=batch // 8,
        max_steps=num_steps,
        bf16=True,
        torch_compile=True,
        optim="adamw_torch_fused",
        learning_rate=2e-4,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    clock = Clock()
    Trainer(network, options, train_dataset=[{"input_ids": row, "labels": row} for row in rows], callbacks=[clock]).train()
    seconds = clock.times[-1] - clock.times[0]
    return {"tokens_s": round(batch * CONTEXT * (num_steps - 1) / seconds)}


def peer(path: Path, text: str) -> dict[str, Any]:
    """Run `NAME[:batch[:steps]]`: transformers, transformers-compiled, litgpt or trainer, on the 1.3B shape in bf16."""
    name, *numbers = text.split(":")
    batch, num_steps = (int(number) for number in [*numbers, "64", "4"][:2])
    model = polyglot_ko("1.3b")
    forget()
    if name == "trainer":
        return {"peer": name, **trainer_rate(path, model, batch, num_steps)}
    trainee = litgpt_trainee(model) if name == "litgpt" else transformers_trainee(model, compiled=name.endswith("compiled"))
    result = trainee.train(windows(path, 0), batch, num_steps)
    return {"peer": name, **{key: result[key] for key in ("tokens_s", "memory_gib", "losses")}}
