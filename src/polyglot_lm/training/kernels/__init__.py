"""The element-wise work of a block and of the loss as Triton kernels, each one pass over memory where it can be.

A block's matrix products need two thirds of a step on an H100; nearly all the rest is reading and writing activations at 3 TB/s.
So what touches the same bytes is computed together: both LayerNorms of a block, GELU's gradient with the sum that is the bias'
gradient, the rotary turn with the split of query, key and value, and, for FP8, scaling and casting with the function that made the
number. An FP8 product on Hopper wants both operands along the summed dimension, so tiles are written both ways at once
(`Quantised`). Column sums are made of partial sums in a fixed order: the same numbers on every run.

`training.blocks` calls these; N tokens, D columns, H heads, K head width, R rotated dimensions. N must be a multiple of 128.
"""

from polyglot_lm.training.kernels.loss import softmax_loss_
from polyglot_lm.training.kernels.norms import Norms, norm_pair, norm_pair_backward
from polyglot_lm.training.kernels.rotary import rotary_join, rotary_split
from polyglot_lm.training.kernels.tiles import Quantised, add_branches, gelu, gelu_backward, quantise

__all__ = [
    "Norms",
    "Quantised",
    "add_branches",
    "gelu",
    "gelu_backward",
    "norm_pair",
    "norm_pair_backward",
    "quantise",
    "rotary_join",
    "rotary_split",
    "softmax_loss_",
]
