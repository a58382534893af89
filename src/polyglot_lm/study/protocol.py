"""What a study trains: sizes, arms, and one training as plain data.

A `Protocol` is all decisions of the experiment; `plan` turns it and what is done into trainings; `engine` carries one out.
Every amount is in windows, since arms are compared at equal compute, but content is counted in English-equivalent bytes: what a
language alone reads as its reference is what the uniform arm reads of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from polyglot_lm.mixture import Policy, Shares, Supply, Uniform
from polyglot_lm.model.config import ModelConfig, neox
from polyglot_lm.pipeline import UserError

if TYPE_CHECKING:
    from polyglot_lm.training.optim import OptimConfig

SHAPES = {"tiny": (2, 64), "10m": (8, 192), "27m": (8, 384), "110m": (12, 768), "350m": (24, 1024)}  # layers, width
HEAD_WIDTH, ROTARY_DIMS = 64, 16
RATE_WINDOWS, RATE_WIDTH = 64, 384  # to which a rate is stated: it goes with the root of the batch, and against the width


def model_of(size: str, *, vocab_size: int, context: int) -> ModelConfig:
    """Return a shape by name; raises UserError that lists them."""
    if size not in SHAPES:
        raise UserError(f"no size {size!r} in the study; there are {', '.join(SHAPES)}")
    layers, width = SHAPES[size]
    return neox(
        vocab_size=vocab_size,
        context=context,
        num_layers=layers,
        width=width,
        num_heads=max(1, width // HEAD_WIDTH),
        rotary_dims=ROTARY_DIMS,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A mixture under test, of all languages unless it names some, read in the tokens of `tokenizer`; `steered`: the controller may
    change its shares."""

    policy: Policy
    tokenizer: str = "parity"
    steered: bool = False
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """The decisions. `content` is what the uniform arm reads of each language, in English-equivalent bytes; `rates` are learning
    rates at a batch of 64 windows and a width of 384; `batches` those of the references, beside the arms' own,
    which are swept at the sizes of `full_sweeps`; elsewhere the rate alone is, at the batch that was best at `size`. At a size of
    `carried` nothing is swept: batch and rate are those of the size that it names, and there is one seed. `finer_batches` of
    uniform and `finer_reference_batches` are tried afterwards, at `confirm_size`."""

    languages: tuple[str, ...]
    size: str
    context: int
    content: float
    max_epochs: float
    arms: Mapping[str, Arm]
    seeds: int
    arm_batches: tuple[int, ...]
    batches: tuple[int, ...]
    rates: tuple[float, ...]
    full_sweeps: tuple[str, ...]
    carried: Mapping[str, str]
    reference_seeds: int
    whole_budget: tuple[str, ...]
    synergy_size: str
    synergy_seeds: int
    ladder: tuple[str, ...]
    ladder_seeds: int
    probes: int
    probe_size: str
    confirm_size: str
    confirm_seeds: int
    finer_batches: tuple[int, ...]
    finer_reference_batches: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.languages) < 2 or not {"uniform", "bloom"} <= self.arms.keys():
            raise ValueError(
                f"languages are {self.languages} and arms {tuple(self.arms)}; give two languages, and uniform and bloom"
            )
        if (
            min(self.seeds, self.reference_seeds, self.synergy_seeds, self.ladder_seeds, self.confirm_seeds) < 1
            or self.content <= 0
        ):
            raise ValueError("numbers of seeds and content must be above 0")

    def rate(self, factor: float, *, size: str, batch_windows: int) -> float:
        """Return the learning rate that a swept rate stands for at a size and batch, rounded to three digits."""
        scaled = factor * math.sqrt(batch_windows / RATE_WINDOWS) * RATE_WIDTH / SHAPES[size][1]
        return float(f"{scaled:.3g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """One training, by what it computes; `name` is its folder's.

    `policy` shares the reading among `languages`; the languages of `scored` are measured. `references`: control bits by which a
    controller steers.
    """

    stage: str
    arm: str
    size: str
    seed: int
    batch_windows: int
    learning_rate: float
    num_windows: int
    tokenizer: str
    languages: tuple[str, ...]
    scored: tuple[str, ...]
    policy: Policy
    references: Mapping[str, float] | None = None
    confirmation: bool = False

    @property
    def mixture(self) -> str:
        """What the shares follow from."""
        return "-".join([self.arm, self.tokenizer, *(self.languages if len(self.languages) <= 2 else ())])

    @property
    def name(self) -> str:
        return f"{self.mixture}-{self.size}-w{self.num_windows}-b{self.batch_windows}-lr{self.learning_rate:g}-s{self.seed}"

    @property
    def steps(self) -> int:
        return max(1, round(self.num_windows / self.batch_windows))

    def with_seed(self, seed: int) -> "Training":
        return replace(self, seed=seed)

    def optim(self) -> "OptimConfig":
        """Return how every run of the study moves its weights: only the rate and the length differ."""
        from polyglot_lm.training.optim import OptimConfig  # imports torch, which a recipe must not wait for

        return OptimConfig(
            optimizer="adamw",
            learning_rate=self.learning_rate,
            matrix_learning_rate=self.learning_rate,
            schedule="wsd",
            warmup_steps=self.steps // 20,
            decay_fraction=DECAY,
            final_rate=0.0,
            weight_decay=0.1,
            beta1=0.9,
            beta2=0.95,
            clip_norm=1.0,
        )


DECAY = 0.2  # of the steps; a controller rests there


def windows_of(english_bytes: Mapping[str, float], per_token: Mapping[str, float], context: int) -> int:
    """Return the windows that hold so much of each language; `per_token` are English-equivalent bytes."""
    return max(1, round(sum(amount / per_token[code] for code, amount in english_bytes.items()) / context))


def check_supply(protocol: Protocol, supplies: Mapping[str, Supply]) -> None:
    """Raise UserError for the first arm, language and megabytes that lack; `supplies` are by tokenizer."""
    for code in protocol.languages:
        held = supplies["parity"].get(code, {"english_bytes": 0.0})["english_bytes"]
        if not held:
            raise UserError(f"arm 'uniform' reads {code!r}, of which there is no text; add some, or take the language out")
    per_token = {code: held["english_bytes"] / held["tokens"] for code, held in supplies["parity"].items()}
    tokens = sum(protocol.content / per_token[code] for code in protocol.languages)
    for name, arm in protocol.arms.items():
        supply = supplies.get(arm.tokenizer)
        if supply is None:
            continue  # an arm whose tokenizer was left out is left out itself
        chosen = {code: supply[code] for code in arm.languages or protocol.languages}
        shares = arm.policy.shares(chosen).converted("tokens", chosen)
        check_arm(name, shares, tokens, chosen, protocol.max_epochs)


def check_arm(name: str, shares: Shares, tokens: float, supply: Supply, max_epochs: float) -> None:
    lacking = {}
    for code, share in shares.values.items():
        held = supply[code]
        wanted = share * tokens / held["tokens"] * held["english_bytes"]
        if (lack := wanted / max_epochs - held["english_bytes"]) > 0:
            lacking[code] = lack
    if lacking:
        code = max(lacking, key=lambda each: lacking[each])
        raise UserError(
            f"arm {name!r} lacks {lacking[code] / 1e6:.1f} MB-eq. of {code!r} to read none of it more than {max_epochs:g} times; "
            f"add text, lower content_megabytes, or leave the arm out"
        )


UNIFORM = Uniform(unit="english_bytes")
