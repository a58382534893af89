"""llama.cpp on CPUs, int8: for a few people at once, each of whom it serves about twice as fast as CTranslate2.

    waiting requests ─► a thread a row ─► llama.cpp, which batches continuously ─► token ids ─► pieces

One row at a time costs little more than reading the weights (Q8_0, as they lie); of many rows together CTranslate2 makes more
(`benchmarks/serving/speed.py`). The file that llama.cpp loads is made for it alone: its tokens are called by their numbers, so what
it sends as text are ids, parts of characters too, and rows of the embedding that only pad are left out. The library listens on a
port of this machine, where it lets in nobody: the key is drawn here and forgotten. Rows share matrix products, so what is drawn in
company may differ from what is drawn alone by rounding. GELU is computed by its tanh form, which moves the log-probabilities of a
110M by 0.0006 on average; 8 bits move them by 0.008, a third of what those of CTranslate2 do.
"""

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import UserError
from polyglot_lm.release.extras import required
from polyglot_lm.serving.engines.engine import Piece, Sampling, Unavailable
from polyglot_lm.serving.engines.folder import made_once
from polyglot_lm.serving.engines.local import LocalEngine
from polyglot_lm.serving.engines.requests import Request
from polyglot_lm.tokenizer import Tokenizer

EXTRA = "llama"
PRECISIONS = ("int8", "int4", "float32")
ROWS = 4  # under way at once, each with keys and values for a whole context
SAMPLERS = ("penalties", "temperature", "top_k", "top_p")  # in this order, as transformers


class LlamaEngine(LocalEngine):
    """A Hugging Face GPT-NeoX folder on this machine's CPU, converted to `precision` once."""

    library, precisions = "llama.cpp", PRECISIONS
    honours = frozenset({"max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop", "logprobs"})

    def __init__(self, folder: Path, *, name: str, precision: str = "int8", num_cores: int | None = None) -> None:
        super().__init__(folder, name, precision)
        self.num_cores = num_cores or len(os.sched_getaffinity(0))
        self.under_way: set[Request] = set()

    def load(self) -> None:
        library = required("xllamacpp", EXTRA)
        self.tokenizer = Tokenizer(self.folder)
        params = library.CommonParams()
        params.model.path = str(converted(self.folder, self.precision, self.tokenizer))
        params.n_parallel, params.n_ctx = ROWS, ROWS * self.context
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self.num_cores
        params.api_keys = [secrets.token_hex(32)]
        params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
        if self.precision == "float32":  # keys and values are fp16 otherwise
            params.cache_type_k = params.cache_type_v = library.ggml_type.GGML_TYPE_F32
        params.cache_ram_mib, params.verbosity = 0, 0  # nothing of a prompt is kept, nothing is said of it
        try:
            self.server = library.Server(params)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"llama.cpp cannot load {str(self.folder)!r}: {error}; export the model again") from error
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(ROWS)]
        for thread in self.threads:
            thread.start()

    async def close(self) -> None:
        if self.ready:
            self.ready = False
            await asyncio.to_thread(self.end)

    def end(self) -> None:
        """End what waits and what is under way, and free the model."""
        self.waiting.close()
        with self.waiting.changed:
            for row in self.under_way:
                row.stop()
        for thread in self.threads:
            thread.join()
        del self.server

    async def stream(self, prompt: str, sampling: Sampling, client: str = "") -> AsyncGenerator[Piece, None]:
        if sampling.logprobs is not None and sampling.repetition_penalty != 1:
            raise UserError("llama.cpp tells log-probabilities before the penalty; leave logprobs or repetition_penalty out")
        async with aclosing(super().stream(prompt, sampling, client)) as pieces:
            async for piece in pieces:
                yield piece

    def work(self) -> None:
        """Draw row after row until the engine closes."""
        while (row := self.next_row()) is not None:
            try:
                self.draw(row)
            except Exception as error:  # noqa: BLE001  (whatever the library raises belongs to the client)
                row.fail(error)
            with self.waiting.changed:
                self.under_way.discard(row)
                self.waiting.release(row)

    def next_row(self) -> Request | None:
        with self.waiting.changed:
            while not self.waiting.closed:
                if rows := self.waiting.take(1):
                    self.under_way.update(rows)
                    return rows[0]
                self.waiting.changed.wait()
        return None

    def draw(self, row: Request) -> None:
        """Draw a row until it is over; raises Unavailable with what llama.cpp says where it draws nothing."""
        errors = []

        def callback(event: Mapping[str, Any]) -> bool:
            if "error" in event:
                errors.append(event["error"]["message"])
                return True
            (choice,) = event["choices"]
            over = any(row.draw(*drawn) for drawn in drawn_in(choice, row.sampling.logprobs))
            if choice["finish_reason"] == "stop" and not over:
                over = row.draw(self.tokenizer.end_id)
            return over or row.cancelled

        self.server.handle_completions(asked(row, self.context), callback)
        if not (row.ended or row.cancelled):
            raise Unavailable(f"llama.cpp broke off: {errors[0] if errors else 'it said no reason'}; ask again later")


def asked(row: Request, context: int) -> dict[str, Any]:
    """Return a request under llama.cpp's names, with what it would do unasked turned off."""
    sampling = row.sampling
    return {
        "prompt": row.ids,
        "n_predict": row.room,
        "stream": True,
        "cache_prompt": False,
        "samplers": SAMPLERS,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": context,
        "seed": secrets.randbits(32) if sampling.seed is None else sampling.seed % 2**32,
        "n_probs": 0 if sampling.logprobs is None else max(1, sampling.logprobs),
    }


def drawn_in(choice: Mapping[str, Any], count: int | None) -> Iterator[tuple[int, float | None, list[tuple[int, float]]]]:
    """Yield what an event tells of tokens: id, log-probability, and the `count` likeliest, where they were asked for."""
    if count is None:
        yield from ((int(number), None, []) for number in choice["text"].split(",") if number)
        return
    for token in (choice["logprobs"] or {}).get("content", []):
        yield token["id"], token["logprob"], [(other["id"], other["logprob"]) for other in token["top_logprobs"][:count]]


def converted(folder: Path, precision: str, tokenizer: Tokenizer) -> Path:
    """Return the file for llama.cpp, made on first use."""
    from polyglot_lm.release import gguf_file

    required("gguf", EXTRA)
    file = gguf_file.file_name(precision)
    out = made_once(
        folder,
        f"llama-{precision}",
        file,
        lambda weights, out: gguf_file.write_numbered(
            weights, out / file, precision, num_tokens=tokenizer.vocab_size, end_id=tokenizer.end_id
        ),
    )
    return out / file
