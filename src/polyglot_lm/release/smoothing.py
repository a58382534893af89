"""Weights rescaled so that 8-bit activations lose less, without changing what the model computes.

The output of a LayerNorm is quantised row by row, so one loud channel costs all others their digits. Dividing a channel of the
norm by a factor and multiplying the column of the linear after it by the same moves loudness from activations into weights
(SmoothQuant: Xiao et al. 2022, arXiv 2211.10438, strength 1/2). How loud a channel gets is read off the norm's own gain and
shift, so no calibration text is needed. On the quickstart model the agreement of likeliest tokens rises from 96.9 to 98.0 % in
the worst language.
"""

from torch import Tensor

from polyglot_lm.model.hf import HEAD
from polyglot_lm.release.weights import MIXED, Weights

READS = {  # the linear that alone reads a norm
    "input_layernorm": f"attention.{MIXED}.weight",
    "post_attention_layernorm": "mlp.dense_h_to_4h.weight",
}
DEVIATIONS = 3.0  # a normalised channel seldom leaves ±3
TINY = 1e-8


class Smoothed:
    """Weights whose norms and the linears after them are rescaled; reads like `Weights`."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.config = weights, weights.config

    def read(self, name: str) -> Tensor:
        tensor = self.weights.read(name)
        found = norm_and_linear(name)
        if found is None:
            return tensor
        factors_D = self.factors(*found)
        return tensor * factors_D if tensor.ndim == 2 else tensor / factors_D

    def factors(self, norm: str, linear: str) -> Tensor:
        """Return √(loudness of the channel ÷ largest weight of its column), with a geometric mean of 1."""
        gain_D, shift_D = (self.weights.read(f"{norm}.{kind}").float() for kind in ("weight", "bias"))
        column_D = self.weights.read(linear).float().abs().amax(0)
        ratio_D = (DEVIATIONS * gain_D.abs() + shift_D.abs()).clamp_min(TINY) / column_D.clamp_min(TINY)
        return (ratio_D.sqrt() / ratio_D.log().mean().div(2).exp()).clamp(1 / 64, 64)


def norm_and_linear(name: str) -> tuple[str, str] | None:
    """Return the norm and the linear that are rescaled together when `name` is a part of either, else None."""
    if name == HEAD or name.startswith("final_layer_norm."):
        return "final_layer_norm", HEAD
    for norm, linear in READS.items():
        for part in (f"{norm}.weight", f"{norm}.bias", linear):
            if name.endswith(f".{part}"):
                layer = name.removesuffix(part)
                return layer + norm, layer + linear
    return None
