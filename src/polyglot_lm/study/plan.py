"""What is to be trained next: a pure function of the protocol and of what is done.

    sweep ─► references ─► (frozen) ─► arms, whole budget ─► synergy ─► ladder ─► search        most important first

Each stage is a function that returns the trainings it still lacks, none when it is complete. Later choices (a batch, a rate)
follow from earlier records alone, so a study that was killed goes on with what is missing, and so does a machine that was given the
records of another.

Sweeps are grids of batch and rate, rates a factor 2 apart, that grow by one rate where the best of a batch lies at an edge and that
batch is within 2 % of the best of all. Losses are of the `select` text, the mean of ln bits over the languages scored. A training
that is excluded is trained again with the next seed; a sweep has one seed, and excludes nothing.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyglot_lm.mixture import Explicit, Policy
from polyglot_lm.study.gather import StudyData
from polyglot_lm.study.protocol import UNIFORM, Protocol, Training, windows_of

Record = Mapping[str, Any]
NEAR = math.log(1.02)
MOST_LEFT_OUT = 0.01  # of the steps, as spikes: a training that left out more is excluded
FRESH = 101  # the first of the seeds that no arm has seen
MOST_EXTENSIONS = 3
CONCENTRATION = 1.0  # of the Dirichlet from which mixtures are drawn: even over all mixtures
FOURFOLD = 4  # times the content, for a yardstick that had more text
LEAST_SHARE = 0.02  # of what is drawn; the law of mixtures that is fitted to it diverges at 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A batch and a rate (as the protocol states rates)."""

    batch_windows: int
    rate: float


class Plan:
    """The protocol over some data; `done` are records by stage and name, `frozen` the references written down, by size."""

    def __init__(
        self,
        protocol: Protocol,
        data: StudyData,
        done: Mapping[tuple[str, str], Record],
        frozen: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.protocol, self.done, self.frozen = protocol, done, frozen or {}
        self.supply = {code: data.supplies["parity"][code] for code in protocol.languages}
        self.per_token = data.per_token("parity")
        self.tokenizers = data.tokenizers

    # ------------------------------------------------------------------ what one training is

    def windows(self, content: float, languages: Sequence[str]) -> int:
        return windows_of(dict.fromkeys(languages, content), self.per_token, self.protocol.context)

    def training(
        self,
        stage: str,
        arm: str,
        seed: int,
        choice: Choice,
        *,
        size: str,
        languages: tuple[str, ...] = (),
        content: float = 0.0,
        **own: Any,
    ) -> Training:
        """Return a training of `content` of each language (the protocol's if none is said); `own` is what else differs."""
        languages = languages or self.protocol.languages
        return Training(
            stage=stage,
            arm=arm,
            size=size,
            seed=seed,
            batch_windows=choice.batch_windows,
            learning_rate=self.protocol.rate(choice.rate, size=size, batch_windows=choice.batch_windows),
            languages=languages,
            **{
                "num_windows": self.windows(content or self.protocol.content, languages),
                "tokenizer": "parity",
                "scored": languages,
                "policy": UNIFORM,
                **own,
            },
        )

    def reference(
        self, code: str, seed: int, choice: Choice, *, size: str, content: float = 0.0, stage: str = "references"
    ) -> Training:
        return self.training(stage, "reference", seed, choice, size=size, languages=(code,), content=content)

    def arm(self, stage: str, name: str, seed: int, choice: Choice, *, size: str) -> Training:
        """Return an arm, which reads as much as all others, and is scored in all languages, whichever it reads."""
        arm = self.protocol.arms[name]
        references = None
        if arm.steered:
            references = {code: float(found["control"]) for code, found in self.frozen[size]["languages"].items()}
        every = self.protocol.languages
        return self.training(
            stage,
            name,
            seed,
            choice,
            size=size,
            languages=tuple(code for code in every if code in (arm.languages or every)),
            num_windows=self.windows(self.protocol.content, every),
            scored=every,
            policy=arm.policy,
            tokenizer=arm.tokenizer,
            references=references,
        )

    # ------------------------------------------------------------------ stages

    def sweep(self, size: str) -> list[Training]:
        """The arms' batch and rate, on uniform alone; then the check on bloom."""
        if size in self.protocol.carried:
            return self.sweep(self.protocol.carried[size])
        missing, choice = self.arms_swept(size)
        if choice is None:
            return missing
        rates = [choice.rate / 2, choice.rate, 2 * choice.rate]
        return self.lacking([self.arm("sweep", "bloom", 1, Choice(choice.batch_windows, r), size=size) for r in rates])

    def arms_choice(self, size: str) -> Choice:
        """Return the batch and rate of the arms; the sweep must be complete."""
        _, choice = self.arms_swept(size)
        assert choice is not None
        return choice

    def arms_swept(self, size: str) -> tuple[list[Training], Choice | None]:
        size = self.protocol.carried.get(size, size)
        full = size == self.protocol.size  # elsewhere the batch is taken over, and the rate alone is swept
        batches = self.protocol.arm_batches if full else (self.arms_choice(self.protocol.size).batch_windows,)
        return self.swept(lambda choice: self.arm("sweep", "uniform", 1, choice, size=size), batches)

    def references(self, size: str) -> list[Training]:
        """A sweep for each language, and seeds at its best."""
        return [training for code in self.protocol.languages for training in self.reference_of(code, size)[0]]

    def reference_of(self, code: str, size: str) -> tuple[list[Training], Choice | None]:
        if size in self.protocol.carried:
            missing, choice = self.reference_of(code, self.protocol.carried[size])
            return (missing, None) if choice is None else (self.lacking([self.reference(code, 1, choice, size=size)]), choice)
        if size in self.protocol.full_sweeps:
            batches = tuple(sorted({*self.protocol.batches, self.arms_choice(size).batch_windows}))
        else:
            known = self.reference_of(code, self.protocol.size)[1]
            assert known is not None
            batches = (known.batch_windows,)
        missing, choice = self.swept(lambda c: self.reference(code, 1, c, size=size), batches)
        if choice is None:
            return missing, None
        wanted = self.seeded(lambda seed: self.reference(code, seed, choice, size=size), self.protocol.reference_seeds)
        return self.lacking(wanted), choice

    def freeze(self, size: str) -> dict[str, Any]:
        """Return the chosen reference of each language, its bits the mean over seeds; `references` must be complete."""
        languages = {}
        for code in self.protocol.languages:
            choice = self.reference_of(code, size)[1]
            assert choice is not None
            make = functools.partial(self.reference, code, choice=choice, size=size)
            carried = size in self.protocol.carried  # one seed, which counts whatever it left out
            trainings = [make(1)] if carried else self.seeded(make, self.protocol.reference_seeds)
            records = [self.record(training) for training in trainings]
            languages[code] = {
                "batch_windows": choice.batch_windows,
                "learning_rate": records[0]["learning_rate"],
                "rate": choice.rate,
                "seeds": len(records),
                **{
                    part: float(np.mean([record["bits_per_byte"][part][code] for record in records]))
                    for part in records[0]["bits_per_byte"]
                },
            }
        return {"size": size, "languages": languages}

    def arms(self, size: str) -> list[Training]:
        """All arms, seed by seed, so that a study cut short has whole pairs; every seed of any arm is also one of uniform."""
        choice = self.arms_choice(size)
        names = [name for name, arm in self.protocol.arms.items() if arm.tokenizer in self.tokenizers]
        wanted = [
            training
            for name in names
            for training in self.seeded(functools.partial(self.arm, "arms", name, choice=choice, size=size), self.protocol.seeds)
        ]
        pairs = {training.seed for training in wanted} - {training.seed for training in wanted if training.arm == "uniform"}
        wanted += [self.arm("arms", "uniform", seed, choice, size=size) for seed in pairs]
        return self.lacking(sorted(wanted, key=lambda training: training.seed))

    def whole_budget(self, size: str) -> list[Training]:
        """References of the arms' whole budget, and of four times the content where a language has so much, swept as the others."""
        batches, missing = tuple(sorted({*self.protocol.batches, self.arms_choice(size).batch_windows})), []
        contents = [(code, self.protocol.content * len(self.protocol.languages)) for code in self.protocol.whole_budget]
        fourfold = FOURFOLD * self.protocol.content
        held = {code: self.protocol.max_epochs * self.supply[code]["english_bytes"] for code in self.protocol.languages}
        for code, content in [*contents, *((code, fourfold) for code, most in held.items() if most >= fourfold)]:
            make = functools.partial(self.reference, code, size=size, content=content)
            lacking, choice = self.swept(functools.partial(make, 1), batches)
            if choice is not None:
                lacking = self.lacking(self.seeded(functools.partial(make, choice=choice), self.protocol.reference_seeds))
            missing += lacking
        return missing

    def synergy(self) -> list[Training]:
        """Pairs at D + D and single languages at 2 D; those at D are the references."""
        size, wanted = self.protocol.synergy_size, []
        choices = {code: self.reference_of(code, size)[1] for code in self.protocol.languages}
        for seed in range(1, self.protocol.synergy_seeds + 1):
            for number, one in enumerate(self.protocol.languages):
                alone = choices[one]
                assert alone is not None
                content = 2 * self.protocol.content
                wanted.append(self.training("synergy", "mono", seed, alone, size=size, languages=(one,), content=content))
                for other in self.protocol.languages[number + 1 :]:
                    both = max((choices[one], choices[other]), key=lambda c: (c.batch_windows, c.rate) if c else (0, 0.0))
                    wanted.append(self.training("synergy", "pair", seed, both or alone, size=size, languages=(one, other)))
        return self.lacking(wanted)

    def ladder(self, size: str) -> list[Training]:
        """A sweep, references, and uniform and bloom at another size."""
        if missing := self.sweep(size) or self.references(size):
            return missing
        choice, seeds = self.arms_choice(size), range(1, self.seeds(size, self.protocol.ladder_seeds) + 1)
        return self.lacking([self.arm("ladder", name, seed, choice, size=size) for seed in seeds for name in ("uniform", "bloom")])

    def search(self) -> list[Training]:
        """Random mixtures, one seed each, for a regression of competence on shares."""
        size, generator = self.protocol.probe_size, np.random.default_rng(0)
        if missing := self.sweep(size):
            return missing
        choice = self.arms_choice(size)
        wanted = []
        for number in range(self.protocol.probes):
            drawn = generator.dirichlet(np.full(len(self.protocol.languages), CONCENTRATION))
            weights = dict(zip(self.protocol.languages, np.maximum(drawn, LEAST_SHARE).tolist(), strict=True))
            policy = Explicit(unit="english_bytes", weights=weights)
            if self.within_supply(policy):
                wanted.append(self.training("search", f"probe-{number:03d}", 1, choice, size=size, policy=policy))
        return self.lacking(wanted)

    def confirmations(self, proposed: Mapping[str, Mapping[str, float]]) -> list[Training]:
        """What a search proposes, and uniform beside it, at another size with seeds that no arm has seen."""
        size = self.protocol.confirm_size
        if missing := self.ladder(size) if size != self.protocol.size else []:
            return missing
        policies = {"uniform": UNIFORM} | {name: Explicit(unit="english_bytes", weights=found) for name, found in proposed.items()}
        return self.lacking(
            [
                self.training("search", name, seed, self.arms_choice(size), size=size, policy=policy, confirmation=True)
                for seed in range(FRESH, FRESH + self.protocol.confirm_seeds)
                for name, policy in policies.items()
                if self.within_supply(policy)
            ]
        )

    def finer(self) -> list[Training]:
        """Batches smaller than those of the sweeps, for uniform and for every reference; seeds at the best. Nothing is excluded:
        with so few windows a step, a change of document looks like a spike."""
        size = self.protocol.confirm_size
        if missing := self.ladder(size) if size != self.protocol.size else []:
            return missing
        uniform = functools.partial(self.arm, "finer", "uniform", size=size)
        alone = [functools.partial(self.reference, code, size=size, stage="finer") for code in self.protocol.languages]
        wanted = [(uniform, self.protocol.finer_batches), *((make, self.protocol.finer_reference_batches) for make in alone)]
        missing = []
        for make, batches in wanted:
            lacking, choice = self.swept(functools.partial(make, 1), batches)
            if choice is not None:
                lacking = self.lacking([make(seed, choice) for seed in range(1, self.protocol.reference_seeds + 1)])
            missing += lacking
        return missing

    def within_supply(self, policy: Policy) -> bool:
        """Tell whether a mixture reads nothing more often than the protocol allows."""
        tokens = sum(self.protocol.content / self.per_token[code] for code in self.protocol.languages)
        shares = policy.shares(self.supply).converted("tokens", self.supply).values
        return all(share * tokens <= self.protocol.max_epochs * self.supply[code]["tokens"] for code, share in shares.items())

    # ------------------------------------------------------------------ what is done

    def seeded(self, make: Callable[[int], Training], count: int) -> list[Training]:
        """Return trainings of the first seeds that are not excluded."""
        chosen: list[Training] = []
        for seed in itertools.count(1):
            training = make(seed)
            if not excluded(self.done.get((training.stage, training.name))):
                chosen.append(training)
            if len(chosen) == count:
                break
        return chosen

    def seeds(self, size: str, count: int) -> int:
        """Return how many seeds a size gets where others get `count`."""
        return 1 if size in self.protocol.carried else count

    def record(self, training: Training) -> Record:
        return self.done[training.stage, training.name]

    def lacking(self, wanted: Sequence[Training]) -> list[Training]:
        return [training for training in wanted if (training.stage, training.name) not in self.done]

    def swept(self, make: Callable[[Choice], Training], batches: Sequence[int]) -> tuple[list[Training], Choice | None]:
        """Return what a sweep still lacks, or its best."""
        tried = {batch: list(self.protocol.rates) for batch in batches}
        while True:
            choices = [Choice(batch, rate) for batch, rates in tried.items() for rate in rates]
            if missing := self.lacking([make(choice) for choice in choices]):
                return missing, None
            losses = {choice: loss(self.record(make(choice))) for choice in choices}
            best = min(losses, key=losses.__getitem__)
            if not (further := extensions(losses, losses[best], tried, most=len(self.protocol.rates) + MOST_EXTENSIONS)):
                return [], best
            for batch, rate in further:
                tried[batch].append(rate)


def extensions(
    losses: Mapping[Choice, float], best: float, tried: Mapping[int, list[float]], *, most: int
) -> list[tuple[int, float]]:
    """Return a rate beyond the edge for each batch whose best lies there, if that is near the best of all."""
    further = []
    for batch, rates in tried.items():
        rate = min(rates, key=lambda each: losses[Choice(batch, each)])
        if losses[Choice(batch, rate)] > best + NEAR or len(rates) >= most:
            continue
        if rate == max(rates):
            further.append((batch, 2 * rate))
        elif rate == min(rates):
            further.append((batch, rate / 2))
    return further


def excluded(record: Record | None) -> bool:
    """Tell whether a training counts for nothing: its loss is no number at the end, or it left out too many steps as spikes."""
    if record is None:
        return False
    return not math.isfinite(record["train_loss"]) or record["spikes"] > MOST_LEFT_OUT * record["steps"]


def loss(record: Record) -> float:
    """Return the mean of ln bits per byte of the select text."""
    found = record["bits_per_byte"]["select"]
    value = float(np.mean([math.log(bits) for bits in found.values()]))
    return value if math.isfinite(value) else math.inf
