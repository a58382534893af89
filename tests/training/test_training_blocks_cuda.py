"""Blocks by hand next to the plain block in fp32, on a Hopper GPU; run by hand there with `pytest -m gpu`."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from polyglot_lm.model.config import polyglot_ko
from polyglot_lm.model.transformer import GPTNeoX, initialize, rotary_tables
from polyglot_lm.training.compute import Compute, prepare

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]
CUDA = torch.device("cuda")
ALLOWED = {"bf16": 0.01, "fp8": 0.12}  # relative; measured on an H100: 0.007 and 0.098


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
@pytest.mark.parametrize("size", ["1.3b", "5.8b"])
@pytest.mark.parametrize("gelu", ["exact", "tanh"])
def test_a_block_by_hand_computes_the_plain_block_and_its_gradients(size: str, precision: Any, recompute: Any, gelu: Any) -> None:
    model = replace(polyglot_ko(size), num_layers=1, gelu=gelu)
    plain = GPTNeoX(model).to(CUDA)
    initialize(plain, torch.Generator(CUDA).manual_seed(0))
    hand = copy.deepcopy(plain)
    prepare(hand, Compute(precision=precision, compile=False, recompute=recompute, loss_chunk_tokens=1024, z_loss=0.0), CUDA)
    cos, sin = rotary_tables(model, model.context, CUDA)
    x = torch.randn(4, model.context, model.width, device=CUDA)
    onto = torch.randn_like(x) * 1e-4
    exact, rounded = x.clone().requires_grad_(), x.bfloat16().requires_grad_()
    expected = plain.layers[0](exact, cos, sin, None)
    expected.backward(onto)
    for times in (1, 2):  # the second time gradients are added in place
        found = hand.layers[0](rounded, cos, sin, None)
        found.backward(onto.bfloat16())
        assert error(found - x, expected - x) < ALLOWED[precision]
        assert error(rounded.grad / times, exact.grad) < ALLOWED[precision]
        for name, parameter in hand.layers[0].named_parameters():
            assert error(parameter.grad / times, plain.layers[0].get_parameter(name).grad) < ALLOWED[precision], name
