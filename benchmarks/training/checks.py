"""Blocks by hand next to the plain block in fp32, and the real 1.3B next to transformers, on the GPU."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from steps import CONTEXT, CUDA, forget, windows
from torch import Tensor

from polyglot_lm.model.config import ModelConfig, polyglot_ko
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.compute import Compute, loss_sum, prepare


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
        network.load_state_dict(
            {name.removeprefix("gpt_neox.").replace("lm_head", "embed_out"): value for name, value in theirs.state_dict().items()}
        )
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
