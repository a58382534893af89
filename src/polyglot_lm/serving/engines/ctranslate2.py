"""CTranslate2 on CPUs, int8: what `polyglot serve` runs unless told otherwise.

    waiting requests ─► groups that one call can draw ─► lanes (one thread and one core each) ─► pieces

CTranslate2 draws a batch from beginning to end: nobody joins it, all its rows are drawn with the same settings, and its rows
share one time axis. But a row leaves at any step, by its callback, and several batches run side by side on the same weights. So
there are many lanes of small groups (`lanes`), and two are joined by stopping both and reading their text so far in again: 0.9 ms a
token, where a step costs 16 ms and 2.4 ms a row (125M, one core of an EPYC; a second thread for one batch gains nothing). A group
has prompts of like length, since what exceeds the shortest is read one token a step.

`seed` is not honoured: 4.8 seeds a thread once, at its first draw. Rows of one call are quantised each by itself, so a greedy
completion in company is what it is alone, but for ties within rounding.
"""

import asyncio
import ctypes
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.pipeline import UserError
from polyglot_lm.release.extras import required
from polyglot_lm.serving.engines.folder import converted
from polyglot_lm.serving.engines.lanes import ROWS, STEP_TOKENS, Lane, Lanes
from polyglot_lm.serving.engines.local import LocalEngine
from polyglot_lm.serving.engines.requests import Request
from polyglot_lm.tokenizer import Tokenizer

VOCABULARY = "vocabulary.json"
PRECISIONS = ("int8", "float32")
LANES_PER_CORE = 8
TIDY_SECONDS = 5.0  # between two times that freed memory is given back, which takes 20 to 100 ms of one lane
SLICE_TOKENS = 64  # where likeliest tokens are asked for, CTranslate2 keeps every step's logits until a call ends: 120 kB a token


class CTranslate2Engine(LocalEngine):
    """A GPT-NeoX on this machine's CPU. `folder` is a Hugging Face one, converted to `precision` once, or CTranslate2's."""

    library, precisions = "CTranslate2", PRECISIONS
    honours = frozenset({"max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "stop", "logprobs"})

    def __init__(self, folder: Path, *, name: str, precision: str = "int8", num_cores: int | None = None) -> None:
        super().__init__(folder, name, precision)
        self.num_cores = num_cores or len(os.sched_getaffinity(0))
        self.tidied = time.monotonic()

    def load(self) -> None:
        library = required("ctranslate2")
        self.tokenizer = Tokenizer(self.folder)
        folder = converted(self.folder, self.precision)
        num_lanes = min(LANES_PER_CORE * self.num_cores, ROWS)
        try:
            self.generator = library.Generator(str(folder), device="cpu", inter_threads=num_lanes, intra_threads=1)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"CTranslate2 cannot load {str(folder)!r}: {error}; export the model again") from error
        self.spelling = vocabulary(folder)
        unknown = self.spelling[self.tokenizer.vocab_size :]  # rows that only pad the embedding
        self.suppressed = [[token] for token in unknown] or None
        self.lanes = Lanes(self.waiting, self.draw, settings=settings, reading=reading, cores=self.num_cores, num_lanes=num_lanes)
        self.lanes.start()

    async def close(self) -> None:
        if self.ready:
            self.ready = False
            await asyncio.to_thread(self.lanes.close)
            self.generator.unload_model()

    def draw(self, lane: Lane) -> None:
        """Draw a lane's rows until all are over or the lane is stopped."""
        rows, first = lane.rows, lane.rows[0].sampling
        # the penalty sees what was drawn in the call, so a prompt under it is drawn too, by force: a step a token
        forced = [len(row.ids) - 1 if first.repetition_penalty != 1 else 0 for row in rows]
        longest = max(number + row.room for number, row in zip(forced, rows, strict=True))
        reader = Likeliest(first.logprobs or 0, self.tokenizer.vocab_size)

        def callback(step: Any) -> bool:
            row = rows[step.batch_id]
            likeliest = reader.of(step)
            if step.step < forced[step.batch_id]:
                return bool(row.cancelled)
            over = row.draw(step.token_id, step.log_prob, likeliest)
            return self.lanes.step(lane) or over

        self.generator.generate_batch(
            [[self.spelling[token] for token in row.ids] for row in rows],
            max_length=min(longest, SLICE_TOKENS) if reader.count else longest,
            end_token=[self.tokenizer.end_id],
            include_prompt_in_result=any(forced),
            suppress_sequences=self.suppressed,
            repetition_penalty=first.repetition_penalty,
            sampling_temperature=first.temperature or 1.0,
            sampling_topk=first.top_k if first.temperature else 1,
            sampling_topp=first.top_p,
            return_scores=first.logprobs is not None,
            return_logits_vocab=reader.count > 0,
            callback=callback,
        )
        if time.monotonic() - self.tidied > TIDY_SECONDS:
            self.tidied = time.monotonic()
            give_back_memory()


def give_back_memory() -> None:
    """Return what is freed to the operating system, where the C library can: keys and values of rows of all lengths leave the heap
    full of holes, and a server that kept them would seem to grow for hours."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


class Likeliest:
    """Reads the likeliest tokens of each row off a step's logits, which CTranslate2 hands to the first row for all of them."""

    def __init__(self, count: int, vocab_size: int) -> None:
        self.count, self.vocab_size = count, vocab_size
        self.rows: Iterator[npt.NDArray[np.float32]] = iter(())

    def of(self, step: Any) -> list[tuple[int, float]]:
        if not self.count:
            return []
        if len(step.logits.shape) == 2:
            self.rows = iter(np.array(step.logits, dtype=np.float32))
        logits_V = next(self.rows)[: self.vocab_size]
        logprobs_V = logits_V - np.logaddexp.reduce(logits_V)
        best = np.argsort(-logprobs_V, kind="stable")[: self.count]
        return [(int(token), float(logprobs_V[token])) for token in best]


def settings(request: Request) -> tuple[object, ...]:
    """Return what all rows of one call share."""
    asked = request.sampling
    drawn = (asked.temperature, asked.top_k, asked.top_p) if asked.temperature else None
    return drawn, asked.repetition_penalty, asked.logprobs


def reading(request: Request) -> int:
    """Return what reading a request's text costs, in tokens: under a penalty it is drawn by force, a step a token."""
    return len(request.ids) * (STEP_TOKENS if request.sampling.repetition_penalty != 1 else 1)


def vocabulary(folder: Path) -> list[str]:
    """Return CTranslate2's name of every row of the embedding."""
    names: list[str] = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
    return names
