"""The step's computation next to the plain network: the same losses and gradients, in every way of computing them."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import MODEL
from torch import Tensor
from torch.nn import functional as F

from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.attention import attention_backend
from polyglot_lm.training.compute import Compute, loss_sum, prepare
from polyglot_lm.training.loss import linear_cross_entropy

CPU = torch.device("cpu")
EXACT = Compute(precision="fp32", compile=False, recompute="none", loss_chunk_tokens=50, z_loss=0.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def network(**changed: Any) -> GPTNeoX:
    model = GPTNeoX(replace(MODEL, **changed))
    initialize(model, torch.Generator().manual_seed(0))
    return model


def batch() -> tuple[Tensor, Tensor]:
    tokens = torch.randint(0, 384, (4, 33), generator=torch.Generator().manual_seed(1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].clone()
    targets[0, 20:] = -100
    return inputs, targets


def gradients(model: GPTNeoX, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def reference(model: GPTNeoX, z_loss: float = 0.0) -> Tensor:
    inputs, targets = batch()
    logits = model(inputs).flatten(0, 1)
    log_sum = logits.logsumexp(dim=1)[targets.flatten() != -100]
    return F.cross_entropy(logits, targets.flatten(), reduction="sum") + z_loss * log_sum.square().sum()


@pytest.mark.parametrize("changed", [{}, {"parallel_residual": False}, {"tied_head": True}, {"gelu": "tanh"}], ids=str)
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_losses_and_gradients_are_those_of_the_plain_network(changed: dict[str, Any], recompute: Any) -> None:
    plain, prepared = network(**changed), network(**changed)
    compute = replace(EXACT, recompute=recompute, z_loss=1e-2)
    prepare(prepared, compute, CPU)
    expected, found = reference(plain, z_loss=1e-2), loss_sum(prepared, *batch(), compute)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    theirs = gradients(plain, expected)
    for name, gradient in gradients(prepared, found).items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-4, msg=name)


def test_blocks_that_recompute_hold_less_for_the_backward_pass() -> None:
    held = {}
    for recompute in ("none", "selective", "full"):
        model, compute = network(), replace(EXACT, recompute=recompute)
        prepare(model, compute, CPU)
        seen: dict[int, int] = {}

        def keep(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss_sum(model, *batch(), compute)
        held[recompute] = sum(seen.values())
    assert held["full"] < held["none"] and held["selective"] < held["none"]


@pytest.mark.parametrize("recompute", ["none", "selective"])
def test_bf16_gradients_point_where_those_of_fp32_do(recompute: Any) -> None:
    plain, rounded = network(), network()
    compute = replace(EXACT, precision="bf16", recompute=recompute)
    prepare(rounded, compute, CPU)
    loss = loss_sum(rounded, *batch(), compute)
    assert loss.item() == pytest.approx(reference(plain).item(), rel=3e-3)
    assert loss.item() != reference(plain).item()
    theirs, ours = gradients(plain, reference(plain)), gradients(rounded, loss)
    for name in theirs:
        assert ours[name].dtype == torch.float32
        assert F.cosine_similarity(ours[name].flatten(), theirs[name].flatten(), dim=0) > 0.99, name


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "recompute"), list(itertools.product(("fp32", "bf16"), ("none", "selective", "full"))))
def test_compiled_blocks_compute_the_same(precision: Any, recompute: Any) -> None:
    losses = []
    for compiled in (False, True):
        model, compute = network(), replace(EXACT, precision=precision, recompute=recompute, compile=compiled)
        prepare(model, compute, CPU)
        loss = loss_sum(model, *batch(), compute)
        losses.append((loss.item(), gradients(model, loss)))
    tolerance = 1e-5 if precision == "fp32" else 1e-2
    assert losses[1][0] == pytest.approx(losses[0][0], rel=tolerance)
    for name, gradient in losses[0][1].items():
        assert F.cosine_similarity(gradient.flatten(), losses[1][1][name].flatten(), dim=0) > 1 - tolerance, name


@settings(max_examples=30, deadline=None)
@given(
    tokens=st.integers(1, 40),
    chunk=st.integers(1, 50),
    z_loss=st.sampled_from([0.0, 1e-3]),
    ignored=st.integers(0, 40),
    scale=st.sampled_from([1.0, 0.01, 30.0]),
)
def test_any_chunk_gives_the_loss_of_all_logits(tokens: int, chunk: int, z_loss: float, ignored: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(tokens, 8, generator=generator, dtype=torch.float32).requires_grad_()
    head = (scale * torch.randn(24, 8, generator=generator)).requires_grad_()
    targets = torch.randint(0, 24, (tokens,), generator=generator)
    targets[:ignored] = -100
    logits = hidden @ head.T
    expected = F.cross_entropy(logits, targets, reduction="sum")
    expected = expected + z_loss * logits.logsumexp(1)[targets != -100].square().sum()
    found = linear_cross_entropy(hidden, head, targets, chunk_tokens=chunk, z_loss=z_loss)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(found / 7, (hidden, head)), torch.autograd.grad(expected / 7, (hidden, head)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_loss_without_gradients_makes_none() -> None:
    model = network()
    with torch.no_grad():
        loss = loss_sum(model, *batch(), EXACT)
    assert not loss.requires_grad
    assert float(loss) == pytest.approx(float(reference(model)), rel=1e-6)


def test_never_more_logits_than_a_chunk_are_held() -> None:
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.ndim == 2 and result.shape[1] == 384:
                largest = max(largest, len(result))
            return result

    model = network()
    with Watch():
        loss_sum(model, *batch(), EXACT).backward()
    assert largest == EXACT.loss_chunk_tokens


def test_attention_on_a_cpu_is_torchs_own() -> None:
    assert attention_backend(MODEL, CPU) == "torch's own on cpu"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("precision", "fp16", "must be fp32, bf16 or fp8"),
        ("recompute", "some", "must be none, selective or full"),
        ("loss_chunk_tokens", 0, "must be at least 1"),
        ("z_loss", -1.0, "must be at least 0"),
    ],
)
def test_a_computation_that_is_none_is_refused(field: str, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(EXACT, **{field: value})
