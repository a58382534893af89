"""What a training will need before it is begun: whether it fits, how fast it goes, how long it takes, what it costs.

    shape, cards, batch ─► placements that are possible ─► memory and seconds of each ─► the fastest that fits
                                                                                     └─ the nearest to one that does not

A step's time is a sum of what its kernels do: products against what the card reaches on large ones, attention at a share of that,
everything element-wise, the optimizer and the copies around messages at the speed of memory, and the tenth of the messages that
computing does not hide. The constants are fitted to the runs of `measured.toml`, which are met within 3 %; cards without a run
there and more than two cards are extrapolated. Larger groups than a host share one copy of the model per host.
"""

import dataclasses
import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from polyglot_lm.model.config import POLYGLOT_KO, ModelConfig
from polyglot_lm.pipeline import Recompute, UserError
from polyglot_lm.training.gpus import Gpu, gpu_named
from polyglot_lm.training.memory import RECOMPUTE, SPARE, Placement, Precision, memory_gib
from polyglot_lm.training.metrics import causal_flops_per_token, utilization

SPEED_ERROR = 0.03  # the largest over the measured runs
PRODUCT_SHARE = 0.93  # of a large product's rate, what a model's own products reach
ATTENTION_SHARE = 0.46  # of it, what causal attention reaches, forward and backward
ELEMENT_BYTES = 150  # moved a token, layer and dimension of the width by all that is no product
FP8_ELEMENT_GAIN = 1.3  # so many times as much with quantisation
OPTIMIZER_BYTES = 32  # moved a parameter and step: clipping and Adam
CAST_BYTES = 9  # moved a parameter and micro-batch: into the format computed in, and gradients added up
GATHER_BYTES = 35  # moved further where blocks are gathered: copies before and after messages, and gradients cast for their sum
MESSAGE_BYTES = 8  # sent a parameter and micro-batch: bf16 twice, fp32 gradients
EXPOSED = 0.1  # of communication, when computing takes longer than it
MOST_GPUS = 4096
LARGEST_MICRO_BATCH = 64
GPUS_OF_A_HOST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is asked of the planner; None where it may choose."""

    model: ModelConfig
    gpu: Gpu
    gpus: int
    batch_windows: int
    tokens: int
    precision: Precision
    micro_batch: int | None = None
    recompute: Recompute | None = None
    shards: int | None = None

    def __post_init__(self) -> None:
        for name in ("gpus", "batch_windows", "tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.batch_windows % self.gpus:
            raise UserError(f"batch_windows is {self.batch_windows}; {self.gpus} GPUs must divide it evenly")
        part = self.batch_windows // self.gpus
        if self.micro_batch is not None and (self.micro_batch < 1 or part % self.micro_batch):
            raise UserError(f"micro_batch is {self.micro_batch}; it must divide the {part} windows of each GPU")
        if self.shards is not None and (self.shards < 1 or self.gpus % self.shards):
            raise UserError(f"shards is {self.shards}; it must divide the {self.gpus} GPUs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One way to carry a training out. Rates are of all cards together; `memory` is GiB by component on each."""

    wish: Wish
    placement: Placement
    memory: dict[str, float]
    tokens_s: float

    @property
    def memory_gib(self) -> float:
        return math.fsum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether it fits with some memory to spare."""
        return self.memory_gib * (1 + SPARE) <= self.wish.gpu.memory_gib

    @property
    def mfu(self) -> float:
        return utilization(self.tokens_s / self.wish.gpus, self.wish.model.flops_per_token, self.wish.gpu.peak_flops) or 0.0

    @property
    def mfu_causal(self) -> float:
        return utilization(self.tokens_s / self.wish.gpus, causal_flops_per_token(self.wish.model), self.wish.gpu.peak_flops) or 0.0

    @property
    def days(self) -> float:
        return self.wish.tokens / self.tokens_s / 86_400

    @property
    def gpu_hours(self) -> float:
        return self.days * 24 * self.wish.gpus

    def changes(self, other: "Plan") -> list[str]:
        """Say what `other` does against the wish of this one."""
        found = [f"{other.wish.gpus} GPUs"] if other.wish.gpus != self.wish.gpus else []
        titles = {"shards": "shards", "micro_batch": "micro-batch", "recompute": "recomputation"}
        asked = {name: getattr(self.wish, name) for name in titles}
        given = {name: getattr(other.placement, name) for name in titles}
        return found + [f"{title} {given[name]}" for name, title in titles.items() if asked[name] not in (None, given[name])]


def plan_training(wish: Wish) -> tuple[Plan, Plan | None]:
    """Return the fastest placement that meets the wish and, where none of those fits, the smallest change that does.

    The change is to the fewest of the shards, micro-batch and recomputation that were asked for, the fastest among equals; if none
    helps, to the fewest more cards. None when nothing up to 4,096 cards fits.
    """
    met = [plan_of(wish, placement) for placement in placements(wish)]
    fitting = [plan for plan in met if plan.fits]
    if fitting:
        return max(fitting, key=lambda plan: plan.tokens_s), None
    nearest = min(met, key=lambda plan: plan.memory_gib)
    return nearest, smallest_change(nearest)


def smallest_change(plan: Plan) -> Plan | None:
    free = dataclasses.replace(plan.wish, micro_batch=None, recompute=None, shards=None)
    gpus = plan.wish.gpus
    while gpus <= min(MOST_GPUS, free.batch_windows):
        if free.batch_windows % gpus == 0:
            wish = dataclasses.replace(free, gpus=gpus)
            fitting = [found for found in (plan_of(wish, placement) for placement in placements(wish)) if found.fits]
            if fitting:
                return min(fitting, key=lambda found: (len(plan.changes(found)), -found.tokens_s))
        gpus *= 2
    return None


def placements(wish: Wish) -> Iterator[Placement]:
    """Yield what may be chosen: micro-batches that divide a card's part, and copies of one card, one host or all."""
    part = wish.batch_windows // wish.gpus
    host = math.gcd(wish.gpus, GPUS_OF_A_HOST)
    micro_batches = (
        [wish.micro_batch] if wish.micro_batch else [count for count in range(1, min(part, 64) + 1) if part % count == 0]
    )
    shards = [wish.shards] if wish.shards else sorted({1, host, wish.gpus})
    recompute = [wish.recompute] if wish.recompute else RECOMPUTE
    for micro_batch, shared, again in itertools.product(micro_batches, shards, recompute):
        yield Placement(
            shards=shared,
            micro_batch=micro_batch,
            accumulated=part // micro_batch,
            recompute=again,
            precision=wish.precision,
        )


def plan_of(wish: Wish, placement: Placement) -> Plan:
    seconds = step_seconds(wish.model, wish.gpu, placement, copies=wish.gpus // placement.shards)
    tokens_s = wish.batch_windows * wish.model.context / seconds
    return Plan(wish=wish, placement=placement, memory=memory_gib(wish.model, placement), tokens_s=tokens_s)


def step_seconds(model: ModelConfig, gpu: Gpu, placement: Placement, *, copies: int) -> float:
    """Return the time of one step, of which every card computes `accumulated` micro-batches."""
    computing = placement.accumulated * micro_batch_seconds(model, gpu, placement)
    optimizer = OPTIMIZER_BYTES * model.num_parameters / placement.shards / gpu.memory_bytes_s
    link = gpu.link_bytes_s if placement.shards <= GPUS_OF_A_HOST else gpu.network_bytes_s
    sent = placement.accumulated * MESSAGE_BYTES * model.num_parameters * (placement.shards - 1) / placement.shards / link
    wide = gpu.link_bytes_s if placement.shards * copies <= GPUS_OF_A_HOST else gpu.network_bytes_s
    gradients = 8 * model.num_parameters / placement.shards  # fp32, there and back
    summed = gradients * (copies - 1) / copies / wide  # once a step
    return max(computing, sent + summed) + EXPOSED * min(computing, sent + summed) + optimizer


def micro_batch_seconds(model: ModelConfig, gpu: Gpu, placement: Placement) -> float:
    tokens = placement.micro_batch * model.context
    again = 1 / 3 if placement.recompute == "full" else 0.0  # of all products are the forward ones
    made_again = 0.0 if placement.recompute == "none" else 1 / 3
    head = 6 * model.vocab_size * model.width * tokens
    blocks = (6 * (model.num_parameters - 2 * model.vocab_size * model.width) * tokens) * (1 + again)
    attention = 6 * model.num_layers * model.width * model.context * tokens * (1 + again)
    elements = ELEMENT_BYTES * tokens * model.num_layers * model.width * (1 + made_again)
    casts = (CAST_BYTES + GATHER_BYTES * placement.gathered) * model.num_parameters
    low = placement.precision == "fp8"
    products = gpu.matmul_flops * PRODUCT_SHARE
    return (
        head / products
        + blocks / (products * (gpu.fp8_gain if low else 1))
        + attention / (gpu.matmul_flops * ATTENTION_SHARE)
        + (elements * (FP8_ELEMENT_GAIN if low else 1) + casts) / gpu.memory_bytes_s
    )


def plan_of_measured(run: Mapping[str, Any]) -> Plan:
    """Plan one of the runs that were measured, just as it was."""
    wish = Wish(
        model=POLYGLOT_KO[run["size"]],
        gpu=gpu_named(run["gpu"]),
        gpus=run["gpus"],
        batch_windows=run["gpus"] * run["micro_batch"] * run["accumulated"],
        tokens=1,
        precision=run["precision"],
    )
    placement = Placement(
        shards=run["shards"],
        micro_batch=run["micro_batch"],
        accumulated=run["accumulated"],
        recompute=run["recompute"],
        precision=run["precision"],
    )
    return plan_of(wish, placement)


def measured_runs() -> list[dict[str, Any]]:
    """Return the runs that the planner is held against."""
    read = tomllib.loads((files("polyglot_lm.training") / "measured.toml").read_text(encoding="utf-8"))
    return list(read["run"])
