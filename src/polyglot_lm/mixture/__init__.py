"""How much of each language the model reads, in which unit, and in which order."""

from polyglot_lm.mixture.plan import MIXTURE_FILE, epochs, plan_mixture, read_shares, read_tokenizers
from polyglot_lm.mixture.policies import Shares, Uniform, Unit
from polyglot_lm.mixture.prefetch import Prefetcher
from polyglot_lm.mixture.sampler import Batch, Sampler

__all__ = [
    "MIXTURE_FILE",
    "Batch",
    "Prefetcher",
    "Sampler",
    "Shares",
    "Uniform",
    "Unit",
    "epochs",
    "plan_mixture",
    "read_shares",
    "read_tokenizers",
]
