"""Pretraining steps on one GPU beside what a user would pick today, on real text, with a loss that falls.

    python benchmarks/training/gpu.py TOKENS.npy JOB [JOB ...]       TOKENS.npy from benchmarks/training/text.py

A job is `check`, `profile:…`, `ours:SIZE:PRECISION[:key=value…]`, `peers` or `against`; each prints a line, and `ours` with its peers is
written to `training-<card>-<size>-<precision>.json` in --out. MFU is house.md's: `mfu` counts attention in full, `mfu_causal` its half,
over 989.5 TFLOP/s; `of_ceiling` is the model's operations over those of an 8192³ bf16 product measured in the same run.
"""

import argparse
import gc
import itertools
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig, padded_vocab_size, polyglot_ko
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.attention import attention_backend
from polyglot_lm.training.compute import Compute, loss_sum, prepare
from polyglot_lm.training.optim import OptimConfig, build_optimizers, rate_factor, set_rate

PEAK = 989.5e12
CUDA = torch.device("cuda")
CONTEXT = 2048
OPTIM = OptimConfig(
    optimizer="adamw",
    learning_rate=2e-4,
    matrix_learning_rate=1.0,
    warmup_steps=20,
    decay_fraction=0.3,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    clip_norm=1.0,
)


def windows(path: Path, seed: int) -> Tensor:
    """Return the text as shuffled windows [n, context + 1] on the GPU."""
    tokens = np.load(path)
    count = (len(tokens) - 1) // CONTEXT
    starts = np.random.default_rng(seed).permutation(count) * CONTEXT
    rows = np.stack([tokens[start : start + CONTEXT + 1] for start in starts]).astype(np.int32)
    return torch.from_numpy(rows).to(CUDA)


def matmul_ceiling() -> float:
    """Return the operations a second of an 8192³ bf16 product on random numbers."""
    left, right = (torch.randn(8192, 8192, device=CUDA, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        left @ right
    return 2 * 8192**3 * 20 / timed(lambda: [left @ right for _ in range(20)])


def timed(work: Callable[[], Any]) -> float:
    """Return seconds of GPU work."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3


def forget() -> None:
    gc.collect()
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


class Trainee:
    """A network, how its summed loss is computed, and an optimizer; the same loop for ours and for peers."""

    def __init__(self, network: torch.nn.Module, summed_loss: Callable[[Tensor, Tensor], Tensor], micro_batch: int) -> None:
        self.network, self.summed_loss, self.micro_batch = network, summed_loss, micro_batch
        self.optimizers = build_optimizers(network, OPTIM)

    def step(self, rows: Tensor, number: int, num_steps: int) -> tuple[Tensor, Tensor]:
        set_rate(self.optimizers, rate_factor(OPTIM, number, num_steps))
        total, num_tokens = torch.zeros((), device=CUDA), rows.shape[0] * CONTEXT
        for part in rows.split(self.micro_batch):
            part = part.long()
            loss = self.summed_loss(part[:, :-1], part[:, 1:]) / num_tokens
            loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), OPTIM.clip_norm, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return total, norm

    def train(self, rows: Tensor, batch: int, num_steps: int, warm: int = 2) -> dict[str, Any]:
        """Take steps of `batch` windows; the first `warm` are not timed."""
        batches: Iterator[Tensor] = iter(rows[: batch * num_steps].split(batch))
        began = time.time()
        losses = [self.step(next(batches), number, num_steps)[0] for number in range(warm)]
        torch.cuda.synchronize()
        first = time.time() - began
        if not all(loss.isfinite() for loss in losses):
            raise ValueError(f"the first losses are {[float(loss) for loss in losses]}")
        seconds = timed(lambda: losses.extend(self.step(next(batches), n, num_steps)[0] for n in range(warm, num_steps)))
        values = [round(float(loss), 4) for loss in losses]
        last = max(1, num_steps // 10)
        return {
            "tokens_s": round(batch * CONTEXT * (num_steps - warm) / seconds),
            "warm_up_s": round(first, 1),
            "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
            "tokens": batch * CONTEXT * num_steps,
            "losses": values if num_steps <= 20 else values[:: num_steps // 20],
            "final_loss": round(sum(values[-last:]) / last, 4),
        }


def our_trainee(model: ModelConfig, compute: Compute, micro_batch: int, seed: int, *, by_hand: bool = True) -> Trainee:
    with torch.device(CUDA):
        network = GPTNeoX(model)
    initialize(network, torch.Generator(CUDA).manual_seed(seed))
    prepare(network, compute, CUDA, by_hand=by_hand)
    return Trainee(network, lambda inputs, targets: loss_sum(network, inputs, targets, compute), micro_batch)


def rates(result: dict[str, Any], model: ModelConfig, ceiling: float) -> dict[str, Any]:
    flops = result["tokens_s"] * model.flops_per_token
    causal = result["tokens_s"] * (model.flops_per_token - 6 * model.num_layers * model.width * model.context)
    return {"mfu": round(flops / PEAK, 4), "mfu_causal": round(causal / PEAK, 4), "of_ceiling": round(flops / ceiling, 4)}


def ours(path: Path, text: str, ceiling: float) -> dict[str, Any]:
    """Run `SIZE:PRECISION:key=value…`; keys: mb, batch, steps, recompute, vocab, chunk, hand, compile, seed."""
    size, precision, *pairs = text.split(":")
    chosen = {
        **{"mb": 16, "batch": 64, "steps": 8, "recompute": "none", "vocab": 30_003, "chunk": 8192, "hand": 1, "compile": 1, "seed": 0},
        **dict(pair.split("=") for pair in pairs),
    }
    number = {key: int(value) for key, value in chosen.items() if key != "recompute"}
    model = replace(polyglot_ko(size), vocab_size=padded_vocab_size(number["vocab"]))
    compute = Compute(
        precision=precision, compile=bool(number["compile"]), recompute=chosen["recompute"], loss_chunk_tokens=number["chunk"], z_loss=0.0
    )
    forget()
    trainee = our_trainee(model, compute, number["mb"], number["seed"], by_hand=bool(number["hand"]))
    result = trainee.train(windows(path, number["seed"]), number["batch"], number["steps"])
    return {"job": text, "size": size, "precision": precision, **result, **rates(result, model, ceiling)}


def check(path: Path) -> dict[str, Any]:
    """Compare blocks by hand with the plain block in fp32, and the 1.3B with transformers, logits and loss."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from polyglot_lm.model.hf import to_hf_config, to_hf_weights

    found: dict[str, Any] = {}
    for size, precision, recompute in (
        ("1.3b", "bf16", "none"),
        ("1.3b", "fp8", "none"),
        ("5.8b", "bf16", "selective"),
        ("1.3b", "bf16", "full"),
        ("1.3b", "fp8", "selective"),
    ):
        found[f"{size} {precision} {recompute}"] = block_errors(replace(polyglot_ko(size), num_layers=1), precision, recompute)
        print(size, precision, recompute, found[f"{size} {precision} {recompute}"], flush=True)
    forget()
    model = polyglot_ko("1.3b")
    with torch.device(CUDA):
        network = GPTNeoX(model)
        initialize(network, torch.Generator(CUDA).manual_seed(0))
        theirs = GPTNeoXForCausalLM(GPTNeoXConfig(**to_hf_config(model, end_id=2, dtype="float32"))).eval()
    names = {name.replace("embed_out", "lm_head"): tensor for name, tensor in to_hf_weights(network.state_dict()).items()}
    theirs.load_state_dict(names)
    rows = windows(path, 0)[:2].long()
    with torch.no_grad():
        ours_BTV, theirs_BTV = network(rows[:, :-1]), theirs(rows[:, :-1]).logits
        found["1.3b logits fp32"] = relative(ours_BTV, theirs_BTV)
        expected = torch.nn.functional.cross_entropy(theirs_BTV.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
    for precision in ("bf16", "fp8"):
        network = network.__class__(model).to(CUDA) if precision == "fp8" else network
        network.load_state_dict({name.removeprefix("gpt_neox.").replace("lm_head", "embed_out"): value for name, value in theirs.state_dict().items()})
        compute = Compute(precision=precision, compile=False, recompute="none", loss_chunk_tokens=1024, z_loss=0.0)
        prepare(network, compute, CUDA)
        found[f"1.3b loss {precision}"] = [loss_sum(network, rows[:, :-1], rows[:, 1:], compute).item(), expected]
    return found


def relative(found: Tensor, expected: Tensor) -> float:
    return round(((found.float() - expected.float()).norm() / expected.float().norm()).item(), 6)


def block_errors(model: ModelConfig, precision: str, recompute: str) -> dict[str, float]:
    """Return the relative errors of one block's output and gradients against fp32."""
    forget()
    with torch.device(CUDA):
        plain, hand = GPTNeoX(model), GPTNeoX(model)
    initialize(plain, torch.Generator(CUDA).manual_seed(0))
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    hand.load_state_dict(plain.state_dict())
    prepare(hand, Compute(precision=precision, compile=False, recompute=recompute, loss_chunk_tokens=1024, z_loss=0.0), CUDA)
    from polyglot_lm.model.transformer import rotary_tables

    cos, sin = rotary_tables(model, CONTEXT, CUDA)
    x = torch.randn(4, CONTEXT, model.width, device=CUDA)
    onto = torch.randn_like(x) * 1e-4
    inputs = x.clone().requires_grad_(), x.bfloat16().requires_grad_()
    outputs = plain.layers[0](inputs[0], cos, sin, None), hand.layers[0](inputs[1], cos, sin, None)
    outputs[0].backward(onto)
    outputs[1].backward(onto.bfloat16(), retain_graph=False)
    hand.layers[0](inputs[1], cos, sin, None).backward(onto.bfloat16())  # a second time: gradients are added in place
    errors = {"y": relative(outputs[1] - x, outputs[0] - x), "x": relative(inputs[1].grad / 2, inputs[0].grad)}
    for name, parameter in hand.layers[0].named_parameters():
        errors[name.replace("layernorm", "ln")] = relative(parameter.grad / 2, plain.layers[0].get_parameter(name).grad)
    return {name: round(value, 4) for name, value in errors.items()}


def quantise_errors() -> dict[str, Any]:
    """Return the largest error of casting to FP8 by rows and by columns, over formats and operations."""
    from polyglot_lm.training import kernels

    found = {}
    for turn in (1, 3, 2, 0):
        kernels.TURN = turn
        worst = 0.0
        for source, target, shape in itertools.product(
            (torch.float32, torch.bfloat16), (torch.float8_e4m3fn, torch.float8_e5m2), ((2048, 8192), (32768, 2048))
        ):
            x, onto = ((torch.randn(shape, device=CUDA)).to(source) for _ in range(2))
            norms = kernels.Norms(*(torch.randn(shape[1], device=CUDA) for _ in range(4)))
            both = [
                (kernels.quantise(x, target), x),
                (kernels.gelu(x, tanh=False, dtype=target), kernels.gelu(x, tanh=False)),
                (kernels.gelu_backward(x, onto, tanh=False, dtype=target)[0], kernels.gelu_backward(x, onto, tanh=False)[0]),
                (kernels.norm_pair(x, norms, 1e-5, dtype=target)[1], kernels.norm_pair(x, norms, 1e-5)[1]),
            ]
            allowed = 0.03 if target == torch.float8_e4m3fn else 0.06
            for made, exact in both:
                for form in (made.rows.float(), made.columns.float().T):
                    error = relative(form * made.inverse_scale, exact)
                    worst = max(worst, error / allowed) if error == error else float("nan")
                    if error != error or worst != worst:
                        worst = float("inf")
        h, g = (torch.randn(32768, 8192, device=CUDA, dtype=torch.bfloat16) for _ in range(2))
        kernels.gelu_backward(h, g, tanh=False, dtype=torch.float8_e5m2)
        times = [
            timed(lambda: [kernels.gelu_backward(h, g, tanh=False, dtype=torch.float8_e5m2) for _ in range(10)]),
            timed(lambda: [kernels.gelu(h, tanh=False, dtype=torch.float8_e4m3fn) for _ in range(10)]),
            timed(lambda: [kernels.quantise(h, torch.float8_e4m3fn) for _ in range(10)]),
        ]
        found[turn] = (round(worst, 3), [round(1e5 * seconds) for seconds in times])
        print("turn", turn, found[turn], flush=True)
    kernels.TURN = min((sum(times), turn) for turn, (worst, times) in found.items() if worst < 1)[1]
    return {"turn": kernels.TURN, "found": found}


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
        times: list[float] = []

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
    clock.times.clear()
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


def profile(path: Path, text: str) -> dict[str, Any]:
    """Print the kernels of a micro-batch of `SIZE:PRECISION:hand`, and their milliseconds."""
    size, precision, hand = text.split(":")
    forget()
    compute = Compute(precision=precision, compile=True, recompute="none", loss_chunk_tokens=8192, z_loss=0.0)
    trainee = our_trainee(polyglot_ko(size), compute, 16, 0, by_hand=hand == "1")
    rows = windows(path, 0)[:48]
    for number in range(2):
        trainee.step(rows[:32], number, 10)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        trainee.step(rows[:32], 3, 10)
        torch.cuda.synchronize()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in events) / 1e3
    print(f"profile {text}: {total:.1f} ms of kernels for a step of 2 micro-batches of 16")
    for event in events[:32]:
        print(f"  {event.self_device_time_total / 1e3:8.2f} ms  {event.count:5d} ×  {event.key[:110]}")
    return {"profile": text, "ms": total}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tokens", type=Path)
    parser.add_argument("jobs", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("."))
    chosen = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    ceiling = matmul_ceiling()
    card = torch.cuda.get_device_name().replace("NVIDIA ", "").split()[0].lower()
    about = {
        "card": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "python": platform.python_version()},
        "command": " ".join(["python", *sys.argv]),
        "ceiling_tflops": round(ceiling / 1e12),
        "attention": {size: attention_backend(polyglot_ko(size), CUDA) for size in ("1.3b", "5.8b")},
    }
    print(json.dumps(about), flush=True)
    for job in chosen.jobs:
        began = time.time()
        kind, _, rest = job.partition(":")
        try:
            if kind == "check":
                result = check(chosen.tokens)
            elif kind == "quantise":
                result = quantise_errors()
            elif kind == "peer":
                result = peer(chosen.tokens, rest)
            elif kind == "profile":
                result = profile(chosen.tokens, rest)
            else:
                result = ours(chosen.tokens, rest, ceiling)
                name = f"training-{card}-{result['size']}-{result['precision']}.json"
                with (chosen.out / name).open("a") as file:
                    file.write(json.dumps(about | result) + "\n")
        except Exception as error:
            import traceback

            result = {"job": job, "error": f"{type(error).__name__}: {error}"[:600], "trace": traceback.format_exc()[-1500:]}
        print(json.dumps(result), f"({time.time() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
