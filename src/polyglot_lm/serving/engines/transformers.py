"""transformers on any device: the reference, and every parameter honoured.

    newcomers ─► one forward over their prompts ─► joined to the batch ─► a forward a step over all rows ─► rows leave

Batching is continuous. Keys and values of all rows end in the same column: a newcomer's are filled up on the left, the mask hides
the filling, and each row keeps positions of its own, so nobody waits for another to end. Prompts are read between two steps, at
most about `READ_TOKENS` tokens of them at a time. Weights are safetensors, code comes from the installed library alone.
"""

import asyncio
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.drawing import Drawer
from polyglot_lm.serving.engines.local import LocalEngine
from polyglot_lm.serving.engines.requests import Request
from polyglot_lm.tokenizer import Tokenizer

ROWS = 32  # drawn together
READ_TOKENS = 512  # of prompts, between two steps
PRECISIONS = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


class TransformersEngine(LocalEngine):
    """A Hugging Face GPT-NeoX folder on `device` (`cpu`, `cuda`, `cuda:1`), computing in `precision`."""

    library, precisions = "transformers", tuple(PRECISIONS)
    honours = frozenset({"max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop", "logprobs"})

    def __init__(self, folder: Path, *, name: str, precision: str = "bfloat16", device: str = "cpu") -> None:
        super().__init__(folder, name, precision)
        self.device = device

    def load(self) -> None:
        from transformers import AutoModelForCausalLM

        self.tokenizer = Tokenizer(self.folder)
        safe = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
        try:
            model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=PRECISIONS[self.precision], **safe)
            self.batch = Batch(model.eval().to(self.device), self.tokenizer)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"transformers cannot load {str(self.folder)!r} on {self.device}: {reason}; export it again") from error
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    async def close(self) -> None:
        if self.ready:
            self.ready = False
            self.waiting.close()
            await asyncio.to_thread(self.thread.join)
            for request in self.batch.requests:
                request.stop()
            del self.batch

    def work(self) -> None:
        """Draw until the engine closes; an error ends the completions it met, not the engine."""
        while not self.waiting.closed:
            with self.waiting.changed:
                newcomers = self.newcomers()
                if not newcomers and not self.batch.requests:
                    self.waiting.changed.wait()
                    continue
            try:
                self.turn(newcomers)
            except Exception as error:  # noqa: BLE001  (whatever the library raises belongs to the clients)
                for request in {*newcomers, *self.batch.requests}:
                    request.fail(error)
                    self.waiting.release(request)
                self.batch = Batch(self.batch.model, self.tokenizer)

    def turn(self, newcomers: list[Request]) -> None:
        """Let newcomers in, then draw a token of every row."""
        if newcomers:
            self.batch.join(newcomers)
            self.leave()
        if self.batch.requests:
            self.batch.step()
            self.leave()

    def newcomers(self) -> list[Request]:
        taken: list[Request] = []
        while len(self.batch.requests) + len(taken) < ROWS and sum(len(request.ids) for request in taken) < READ_TOKENS:
            if not (found := self.waiting.take(1)):
                break
            taken += found
        return taken

    def leave(self) -> None:
        for request in self.batch.drop_ended():
            self.waiting.release(request)


class Batch:
    """The rows that are drawn together. B rows, T columns of keys and values, V tokens."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        from transformers import DynamicCache

        self.model, self.tokenizer, self.new_cache = model, tokenizer, DynamicCache
        self.requests: list[Request] = []
        self.drawers: list[Drawer] = []
        self.cache = DynamicCache()
        self.seen_BT = torch.zeros(0, 0, dtype=torch.long)  # 1 where a row has a token, 0 where it is filled up

    def join(self, newcomers: list[Request]) -> None:
        """Read the newcomers' prompts, add them as rows and draw a token of each."""
        longest = max(len(request.ids) for request in newcomers)
        ids_BT = torch.full((len(newcomers), longest), self.tokenizer.end_id)
        seen_BT = torch.zeros_like(ids_BT)
        for row, request in enumerate(newcomers):
            ids_BT[row, longest - len(request.ids) :] = torch.tensor(request.ids)
            seen_BT[row, longest - len(request.ids) :] = 1
        cache = self.new_cache()
        drawers = [Drawer(request.sampling) for request in newcomers]
        logits_BV = self.forward(ids_BT, seen_BT, cache)
        self.append(cache, seen_BT)
        self.requests, self.drawers = self.requests + newcomers, self.drawers + drawers
        for request, drawer, logits_V in zip(newcomers, drawers, logits_BV, strict=True):
            drawer.draw(logits_V, request)

    def append(self, cache: Any, seen_BT: Tensor) -> None:
        """Put new rows under the old ones, the shorter filled up on the left."""
        columns = max(self.seen_BT.shape[1], seen_BT.shape[1])
        if self.requests:
            for old, new in zip(self.cache.layers, cache.layers, strict=True):
                old.keys = torch.cat([filled(old.keys, columns), filled(new.keys, columns)])
                old.values = torch.cat([filled(old.values, columns), filled(new.values, columns)])
            seen_BT = torch.cat([torch.nn.functional.pad(part, (columns - part.shape[1], 0)) for part in (self.seen_BT, seen_BT)])
        else:
            self.cache = cache
        self.seen_BT = seen_BT

    def step(self) -> None:
        """Read every row's last token and draw its next."""
        ids_B1 = torch.tensor([request.ids[-1:] for request in self.requests])
        self.seen_BT = torch.nn.functional.pad(self.seen_BT, (0, 1), value=1)
        logits_BV = self.forward(ids_B1, self.seen_BT, self.cache)
        for request, drawer, logits_V in zip(self.requests, self.drawers, logits_BV, strict=True):
            drawer.draw(logits_V, request)

    @torch.inference_mode()
    def forward(self, ids_BT: Tensor, seen_BT: Tensor, cache: Any) -> Tensor:
        """Return the logits after the last column, on the CPU, without the rows that pad the embedding."""
        positions_BT = (seen_BT.cumsum(1) - 1).clamp_min(0)[:, -ids_BT.shape[1] :]
        device = self.model.device
        logits_B1V = self.model(
            input_ids=ids_BT.to(device),
            attention_mask=seen_BT.to(device),
            position_ids=positions_BT.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        logits_BV: Tensor = logits_B1V[:, 0, : self.tokenizer.vocab_size].float().cpu()
        return logits_BV

    def drop_ended(self) -> list[Request]:
        """Take out the rows that are over or cancelled, and columns that no row needs any more; return those requests."""
        kept = [row for row, request in enumerate(self.requests) if not (request.ended or request.cancelled)]
        gone = [request for request in self.requests if request.ended or request.cancelled]
        if gone:
            self.requests = [self.requests[row] for row in kept]
            self.drawers = [self.drawers[row] for row in kept]
            self.seen_BT = self.seen_BT[kept]
            unused = int(self.seen_BT.argmax(1).min()) if kept else 0
            self.seen_BT = self.seen_BT[:, unused:]
            rows = torch.tensor(kept, dtype=torch.long, device=self.model.device)
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[rows, :, unused:], layer.values[rows, :, unused:]
        return gone


def filled(tensor_BHTD: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(tensor_BHTD, (0, 0, columns - tensor_BHTD.shape[2], 0))
