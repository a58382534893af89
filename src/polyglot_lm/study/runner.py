"""Carries a study out: trains what the plan lacks, most important first, until it is complete or the time is up.

    runs/<stage>/<name>/run.json         a record: what was trained, what it read, bits per byte; written last
                        documents.npz    bits and bytes of each test document, by language
                        controller.jsonl the controller's decisions, if it had one
    references-<size>.json               the frozen references: written once, before any arm
    proposals.json                       the mixtures that the search proposes: written once, before any is confirmed
    mixtures/                            the mixture of every arm

A training without a record is trained again from its beginning: it takes seconds, so a checkpoint would cost more than it saves.
Trainings of one size run in several lanes of one process, each a thread, because small steps leave most of a card idle. Several
processes may share a folder, best one a GPU: whoever trains holds a lock on the training, and what others did is read from disk.
"""

import fcntl
import json
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, repeat
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import torch

from polyglot_lm.pipeline import UserError, atomic_path, read_json, write_json
from polyglot_lm.study.engine import Lane, drawn_weights
from polyglot_lm.study.gather import FLORES, StudyData
from polyglot_lm.study.heldout import Scored, place_all
from polyglot_lm.study.plan import Plan, Record
from polyglot_lm.study.protocol import SHAPES, Protocol, Training, check_supply, model_of
from polyglot_lm.study.reading import Reading
from polyglot_lm.study.records import RUN_FILE, read_runs
from polyglot_lm.study.search import proposals
from polyglot_lm.training.gpus import gpu_called
from polyglot_lm.training.metrics import utilization

DOCUMENTS_FILE, CONTROLLER_FILE, BEGUN = "documents.npz", "controller.jsonl", "begun"
LOOKS = 25  # of a controller over a training, those before it begins and in its rest not counted off
KEPT_LANES = 3  # of a thread: a step captured for one batch is of no use for another
LANES = {"tiny": 4, "10m": 4, "27m": 4, "110m": 2, "350m": 1}  # that fill an H100
WAIT_SECONDS = 0.2  # between looks at what other processes train
SWITCH_SECONDS = 0.0002  # of Python between threads: a lane that asks for its next step must not wait 5 ms behind each other one
STAGES = ("sweep", "references", "arms", "whole-budget", "synergy", "ladder", "search", "carried", "finer")


@dataclass(kw_only=True)
class Study:
    """A study on devices of one machine, `lanes` on each, until `deadline` in seconds of `time.monotonic`."""

    protocol: Protocol
    data: StudyData
    out: Path
    devices: Sequence[torch.device]
    lanes: int | None = None
    deadline: float = float("inf")
    say: Callable[[str], None] = print
    own: local = field(default_factory=local)
    seconds: dict[tuple[str, int], float] = field(default_factory=dict)  # a window, by size and batch

    def __post_init__(self) -> None:
        check_supply(self.protocol, self.data.supplies)
        for name in {arm.tokenizer for arm in self.protocol.arms.values()} - self.data.tokenizers.keys():
            self.say(f"tokenizer {name!r} did not come along: arms that need it are left out")
        self.done = read_records(self.out)
        self.scored: dict[tuple[str, torch.device], dict[tuple[str, str], Scored]] = {}

    def carry_out(self, stages: Sequence[str] = STAGES) -> bool:
        """Train whatever stages lack, in order; say whether all are complete. Raises UserError for an unknown stage."""
        for stage in stages:
            if stage not in STAGES:
                raise UserError(f"no stage {stage!r} of a study; there are {', '.join(STAGES)}")
        for stage in stages:
            while missing := self.missing(stage):
                if not self.train_all(missing):
                    self.say(f"time is up in {stage}: {len(missing)} trainings or more are left")
                    return False
                self.done |= read_records(self.out, known=self.done)
        return True

    def missing(self, stage: str) -> list[Training]:
        """Return what a stage lacks, as far as can be known now."""
        plan, size = self.plan(), self.protocol.size
        before = plan.sweep(size)
        if before or stage == "sweep":
            return before
        if lacking := plan.references(size):
            return lacking
        plan = self.frozen(plan, size)
        match stage:
            case "references":
                return []
            case "arms":
                return plan.arms(size)
            case "whole-budget":
                return plan.whole_budget(size)
            case "synergy":
                return plan.synergy()
            case "ladder" | "carried":
                carried = stage == "carried"
                rungs = [rung for rung in self.protocol.ladder if rung != size and (rung in self.protocol.carried) == carried]
                for rung in rungs:
                    if lacking := plan.ladder(rung):
                        return lacking
                    self.frozen(plan, rung)
                return []
            case "finer":
                return plan.finer()
            case _:
                return plan.search() or plan.confirmations(self.proposed())

    def plan(self) -> Plan:
        written = {size: self.out / f"references-{size}.json" for size in SHAPES}
        return Plan(self.protocol, self.data, self.done, {size: read_json(path) for size, path in written.items() if path.exists()})

    def frozen(self, plan: Plan, size: str) -> Plan:
        """Write the references of a size, once, and return a plan that knows them."""
        if size in plan.frozen:
            return plan
        write_json(self.out / f"references-{size}.json", plan.freeze(size))
        return self.plan()

    def proposed(self) -> dict[str, dict[str, float]]:
        """Return the mixtures that the search proposes, found once."""
        if not (path := self.out / "proposals.json").exists():
            write_json(path, {name: dict(shares) for name, shares in proposals(read_runs(self.out / "runs")).items()})
        return read_json(path)

    # ------------------------------------------------------------------ trainings

    def train_all(self, trainings: Sequence[Training]) -> bool:
        """Train in lanes, a size at a time, what no other process is at; False where the deadline left some out."""
        complete = True
        sys.setswitchinterval(SWITCH_SECONDS)
        for size, group in groupby(sorted(trainings, key=lambda each: list(LANES).index(each.size)), key=lambda each: each.size):
            jobs = list(group)
            capacity = max(training.steps * training.batch_windows for training in jobs)
            for name in {training.tokenizer for training in jobs}:
                self.place(name)
            places = deque([*self.devices] * self.lanes_of(size))
            self.own = local()
            with ThreadPoolExecutor(len(places), initializer=self.take_place, initargs=(places,)) as pool:
                complete &= all(list(pool.map(self.train, jobs, repeat(capacity))))
        return complete

    def lanes_of(self, size: str) -> int:
        return self.lanes or (LANES[size] if self.devices[0].type == "cuda" else 1)

    def take_place(self, places: deque[torch.device]) -> None:
        """Give a new thread its device."""
        self.own.device = places.popleft()
        if self.own.device.type == "cuda":
            torch.cuda.set_device(self.own.device)

    def train(self, training: Training, capacity: int) -> bool:
        """Train, score and record one, unless another process is at it; False if there is no time for it."""
        expected = self.seconds.get((training.size, training.batch_windows), 0.0) * training.num_windows
        if time.monotonic() + expected > self.deadline:
            return False
        folder = self.out / "runs" / training.stage / training.name
        with claimed(folder) as ours:
            if not ours:
                time.sleep(WAIT_SECONDS)
                return True
            since = time.monotonic()
            record = self.trained(training, self.lane(training, capacity), folder)
            record |= {"resumed": len((folder / BEGUN).read_text()) - 1, "seconds_in_all": time.monotonic() - since}
            write_json(folder / RUN_FILE, record)
        self.done[training.stage, training.name] = record
        self.seconds[training.size, training.batch_windows] = record["seconds_in_all"] / training.num_windows
        bits = record["bits_per_byte"]["select"]
        self.say(f"{training.stage} {training.name} select {np.mean(list(bits.values())):.4f} in {record['seconds_in_all']:.1f} s")
        return True

    def lane(self, training: Training, capacity: int) -> Lane:
        """Return this thread's lane for the shape and batch of a training."""
        lanes: OrderedDict[tuple[str, int, int], Lane] = self.own.__dict__.setdefault("lanes", OrderedDict())
        vocab_size = self.data.tokenizers[training.tokenizer]["vocab_size"]
        key = (training.size, vocab_size, training.batch_windows)
        if key not in lanes:
            while len(lanes) >= KEPT_LANES:
                lanes.popitem(last=False)
            model = model_of(training.size, vocab_size=vocab_size, context=self.protocol.context)
            lanes[key] = Lane(
                model, training.optim(), batch_windows=training.batch_windows, max_windows=capacity, device=self.own.device
            )
        return lanes[key]

    def trained(self, training: Training, lane: Lane, folder: Path) -> dict[str, Any]:
        """Train in a lane and return the record."""
        mixtures, context = self.out / "mixtures", self.protocol.context
        reading = Reading(self.data, training, mixtures=mixtures, context=context, max_epochs=self.protocol.max_epochs)
        total = training.steps * training.batch_windows
        first = reading.next(total) if reading.steering is None else None
        lane.begin(drawn_weights(lane.model, training.seed), training.optim(), training.steps)
        since = time.monotonic()
        if first is not None:
            lane.feed(first)
            lane.advance()
        else:
            self.steered(training, lane, reading)
        outcome = lane.outcome()
        seconds = time.monotonic() - since
        bits = self.bits(training, lane)
        if reading.decisions:
            write_lines(folder / CONTROLLER_FILE, reading.decisions)
        write_documents(folder / DOCUMENTS_FILE, bits["test"], self.held(training, lane))
        tokens_s = total * context / seconds
        card = torch.cuda.get_device_name(lane.device) if lane.stream else "cpu"
        gpu = gpu_called(card)
        return {
            **described(training, lane, context, self.data),
            **reading.account(),
            "bits_per_byte": {split: self.per_byte(training, lane, split, found) for split, found in bits.items()},
            "document_bits": DOCUMENTS_FILE,
            "controller_log": CONTROLLER_FILE if reading.decisions else None,
            "train_loss": float(np.mean(outcome.losses[-max(1, training.steps // 20) :])),
            "spikes": outcome.spikes,
            "seconds": seconds,
            "tokens_s": tokens_s,
            "mfu": utilization(tokens_s, lane.model.flops_per_token, gpu.peak_flops if gpu else None),
            "lanes": self.lanes_of(training.size),
            "card": card,
            "torch": torch.__version__,
        }

    def steered(self, training: Training, lane: Lane, reading: Reading) -> None:
        """Train in stretches, with a look at the control text after each."""
        every, done = max(1, training.steps // LOOKS), 0
        while done < training.steps:
            steps = min(every, training.steps - done)
            lane.feed(reading.next(steps * training.batch_windows))
            lane.advance()
            done += steps
            if done < training.steps:
                control = {code: self.score(training, lane, "control", code) for code in training.languages}
                reading.steer(self.per_byte(training, lane, "control", control))

    # ------------------------------------------------------------------ scores

    def place(self, tokenizer: str) -> None:
        """Put held-out text on the devices."""
        for device in self.devices:
            if (tokenizer, device) not in self.scored:
                self.scored[tokenizer, device] = place_all(
                    self.data.heldout(tokenizer),
                    end_id=self.data.tokenizers[tokenizer]["end_id"],
                    window_english_bytes=self.data.study["window_english_bytes"],
                    byte_premiums=self.data.byte_premiums,
                    context=self.protocol.context,
                    device=device,
                )

    def held(self, training: Training, lane: Lane) -> dict[tuple[str, str], Scored]:
        return self.scored[training.tokenizer, lane.device]

    def bits(self, training: Training, lane: Lane) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
        """Return the bits of each document by split and language."""
        splits = ("test", "select", "control", FLORES)
        return {split: {code: self.score(training, lane, split, code) for code in training.scored} for split in splits}

    def score(self, training: Training, lane: Lane, split: str, code: str) -> np.ndarray[Any, Any]:
        with torch.cuda.stream(lane.stream):
            found = self.held(training, lane)[split, code].bits(lane.network, low_precision=lane.stream is not None)
            return found.cpu().numpy()

    def per_byte(self, training: Training, lane: Lane, split: str, bits: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float]:
        held = self.held(training, lane)
        return {code: float(found.sum() / held[split, code].num_bytes.sum()) for code, found in bits.items()}


def devices_of(asked: str) -> list[torch.device]:
    """Return all GPUs of this machine, or the CPU where there is none or it is asked for."""
    if asked != "cpu" and torch.cuda.is_available():
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [torch.device("cpu")]


def described(training: Training, lane: Lane, context: int, data: StudyData) -> dict[str, Any]:
    """Return what a record says of a training before it begins."""
    model = lane.model
    return {
        "stage": training.stage,
        "arm": training.arm,
        "size": training.size,
        "parameters": model.num_parameters,
        "non_embedding_parameters": model.num_parameters - 2 * model.vocab_size * model.width,
        "seed": training.seed,
        "batch_windows": training.batch_windows,
        "context": context,
        "steps": training.steps,
        "learning_rate": training.learning_rate,
        "tokenizer": training.tokenizer,
        "languages": list(training.languages),
        "confirmation": training.confirmation,
        "corpus": data.study["corpus"],
    }


def write_documents(path: Path, bits: Mapping[str, np.ndarray[Any, Any]], scored: Mapping[tuple[str, str], Scored]) -> None:
    arrays = {f"{code}_bits": found.astype(np.float32) for code, found in bits.items()}
    arrays |= {f"{code}_bytes": scored["test", code].num_bytes.astype(np.float32) for code in bits}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # names of arrays, never of options


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Begin a training and hold it; False where it is done or held by another thread or process. Death lets go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / BEGUN).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        if ours := not (folder / RUN_FILE).exists():
            file.write("x")
            file.flush()
        yield ours


def read_records(out: Path, known: Container[tuple[str, str]] = ()) -> dict[tuple[str, str], Record]:
    """Return the records of a study by stage and name, but those that are known."""
    found = {(path.parent.parent.name, path.parent.name): path for path in sorted((out / "runs").glob(f"*/*/{RUN_FILE}"))}
    return {name: read_json(path) for name, path in found.items() if name not in known}
