"""How much of each language the model reads, in which unit, and in which order."""

from polyglot_lm.mixture.batch import Batch, Windows
from polyglot_lm.mixture.plan import MIXTURE_FILE, epochs, plan_mixture, read_occurrences, read_shares, read_stages, read_tokenizers
from polyglot_lm.mixture.policies import Explicit, Policy, Shares, Temperature, Uniform, UniMax
from polyglot_lm.mixture.prefetch import Prefetcher
from polyglot_lm.mixture.presets import policy_named
from polyglot_lm.mixture.sampler import Sampler
from polyglot_lm.mixture.schedule import PlannedStage, Schedule, Stage, schedule_named
from polyglot_lm.mixture.units import UNITS, Budget, Supply, Unit
from polyglot_lm.mixture.weights import Repeats

__all__ = [
    "MIXTURE_FILE",
    "UNITS",
    "Batch",
    "Budget",
    "Explicit",
    "PlannedStage",
    "Policy",
    "Prefetcher",
    "Repeats",
    "Sampler",
    "Schedule",
    "Shares",
    "Stage",
    "Supply",
    "Temperature",
    "UniMax",
    "Uniform",
    "Unit",
    "Windows",
    "epochs",
    "plan_mixture",
    "policy_named",
    "read_occurrences",
    "read_shares",
    "read_stages",
    "read_tokenizers",
    "schedule_named",
]
