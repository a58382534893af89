"""lm-evaluation-harness as a library, with a scorer that does only the work that is asked for.

The harness makes the prompts, cuts them into tokens and counts the scores; the forward passes are ours. Its own scorer computes
the logits of every position; of a prompt of 300 tokens and an answer of one, 299 rows of the vocabulary are thrown away, which
for small models is nearly all the work. Here equal inputs are run once, batches hold inputs of like length up to a number of
tokens, and the head sees the positions of the answers alone. This module is imported only when tasks are run: it needs the
extra `eval`.
"""

import inspect
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval
import lm_eval.tasks
import torch
from lm_eval.api.model import TemplateLM
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from torch import Tensor
from torch.nn import functional as F

from polyglot_lm.evaluation.masked import pseudo_nats
from polyglot_lm.evaluation.models import BenchedModel
from polyglot_lm.pipeline import Task

PROMPTS = Path(lm_eval.tasks.__file__).parent  # the harness keeps its own here
VERSION = f"lm_eval {lm_eval.__version__}"
BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
BATCH_LOGITS = 2**28  # values a batch may hold: 1 GiB in fp32
GENERATE_BATCH = 16
TOKENIZE_BATCH = 2048
Request = tuple[tuple[str, str], list[int], list[int]]  # (context, continuation), their tokens
Answer = tuple[float, bool]  # log-likelihood in nats, whether it is the greedy choice


@dataclass(kw_only=True, slots=True)
class Input:
    """Tokens that go through the model once, and the requests whose continuations end with its last prediction."""

    tokens: list[int]
    first: int  # the earliest position whose prediction is asked for
    requests: list[int]


logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of what is meant here


class BenchModel(HFLM):  # type: ignore[misc]
    """The harness's Hugging Face model with our scorer; `truncated` counts requests that lost the beginning of their prompt."""

    def __init__(self, model: BenchedModel, progress: Task | None = None) -> None:
        super().__init__(pretrained=model.network, tokenizer=model.tokenizer, max_length=model.context, batch_size=GENERATE_BATCH)
        self.encoded: dict[str, list[int]] = {}
        self.progress = progress
        self.truncated = 0
        self.picks_positions = "logits_to_keep" in inspect.signature(model.network.forward).parameters

    @property
    def max_gen_toks(self) -> int:
        """Tokens that may be generated: the harness's 256, or half of a short context, so that there is room for the prompt."""
        tokens: int = min(super().max_gen_toks, self.max_length // 2)
        return tokens

    def loglikelihood(self, requests: Sequence[Any], **_: Any) -> list[Answer]:
        self.encode_ahead([request.args for request in requests])
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
        return list(super().generate_until(requests, disable_tqdm=True))

    def encode_ahead(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Encode in batches what the harness is about to ask for one by one."""
        start = self.tokenizer.decode(self.prefix_token_id)
        texts = {text for context, continuation in pairs for text in (context.rstrip(), context + continuation) if context}
        plain = sorted(text for text in texts if text and not text.startswith(start))
        for at in range(0, len(plain), TOKENIZE_BATCH):
            batch = plain[at : at + TOKENIZE_BATCH]
            extra = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
            self.encoded |= dict(zip(batch, self.tokenizer(batch, **extra)["input_ids"], strict=True))

    def tok_encode(self, string: str, *, add_special_tokens: bool | None = None, **extra: Any) -> list[int]:
        if add_special_tokens is None and not extra and string in self.encoded:
            return self.encoded[string]
        return list(super().tok_encode(string, add_special_tokens=add_special_tokens, **extra))

    def _loglikelihood_tokens(self, requests: Sequence[Request], **_: Any) -> list[Answer]:
        answers: list[Answer] = [(0.0, False)] * len(requests)
        for batch in self.batches(self.inputs(requests)):
            first = min(entry.first for entry in batch)
            logits_BTV = self.logits(batch, first)
            for row, entry in enumerate(batch):
                end = len(entry.tokens) - first
                for number in entry.requests:
                    continuation = requests[number][2][-self.max_length :]
                    answers[number] = score(logits_BTV[row, end - len(continuation) : end], continuation)
                    if self.progress is not None:
                        self.progress.advance(1)
        self.encoded.clear()
        return answers

    def inputs(self, requests: Sequence[Request]) -> list[Input]:
        """Cut to the model's context, from the left, and put equal inputs together.

        The harness cuts prompts so too; at an answer that is longer than the context, which it refuses, the end is scored.
        """
        found: dict[tuple[int, ...], Input] = {}
        for number, (texts, context, continuation) in enumerate(requests):
            if not continuation:
                raise ValueError(f"the answer {texts[1]!r} has no token of its own")
            whole = [*context, *continuation]
            self.truncated += len(whole) > self.max_length + 1
            tokens = whole[-(self.max_length + 1) : -1]
            first = max(0, len(tokens) - len(continuation))
            entry = found.setdefault(tuple(tokens), Input(tokens=tokens, first=first, requests=[]))
            entry.first = min(entry.first, first)
            entry.requests.append(number)
        return list(found.values())

    def batches(self, inputs: Sequence[Input]) -> Iterator[list[Input]]:
        """Longest first, so that what does not fit into memory shows at once."""
        room, vocabulary = BATCH_TOKENS[self.device.type], self.model.config.vocab_size
        batch: list[Input] = []
        for entry in sorted(inputs, key=lambda entry: (-len(entry.tokens), entry.first)):
            longest = len(batch[0].tokens) if batch else len(entry.tokens)
            first = min([entry.first, *(other.first for other in batch)])
            size = len(batch) + 1
            if batch and (size * longest > room or size * (longest - first) * vocabulary > BATCH_LOGITS):
                yield batch
                batch = []
            batch.append(entry)
        if batch:
            yield batch

    @torch.no_grad()
    def logits(self, batch: Sequence[Input], first: int) -> Tensor:
        """Return the predictions from position `first` on, [B, T − first, V]; padding is at the right, where it changes nothing."""
        rows = [torch.tensor(entry.tokens) for entry in batch]
        tokens_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        if not self.picks_positions:
            return self.model(tokens_BT).logits[:, first:]  # type: ignore[no-any-return]
        wanted = torch.arange(first, tokens_BT.shape[1], device=self.device)
        return self.model(tokens_BT, logits_to_keep=wanted).logits  # type: ignore[no-any-return]


def score(logits_TV: Tensor, continuation: Sequence[int]) -> Answer:
    tokens = torch.tensor(continuation, device=logits_TV.device)
    nats = F.cross_entropy(logits_TV.float(), tokens, reduction="sum")
    return -float(nats), bool((logits_TV.argmax(dim=-1) == tokens).all())


def evaluate_task(model: Any, name: str, folder: Path, *, shots: int, limit: int | None) -> dict[str, Any]:
    """Run one task whose YAML lies in `folder`; return the harness's metrics, sample by sample and in all."""
    loaded = TaskManager(include_path=str(folder), include_defaults=False).load([name])
    task = loaded["tasks"][name]
    task.set_config(key="num_fewshot", value=shots)
    task.set_fewshot_seed(
        seed=DEFAULT_OTHER_SEED
    )  # as `lm_eval` draws examples; its simple_evaluate also spends 2 s on git and pip
    found = evaluate(lm=model, task_dict=loaded, limit=limit, bootstrap_iters=0, log_samples=True)
    return {"metrics": found["results"][name], "samples": found["samples"][name]}


def gathered(samples: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Join what several filters of the harness say of one item: of each metric the last."""
    joined: dict[int, dict[str, Any]] = defaultdict(dict)
    for sample in samples:
        joined[sample["doc_id"]] |= sample
    return dict(sorted(joined.items()))


class MaskedBenchModel(TemplateLM):  # type: ignore[misc]
    """A masked model, its answers ranked by pseudo-log-likelihood; it generates nothing, and tasks that ask for that fail."""

    def __init__(self, model: BenchedModel, progress: Task | None = None) -> None:
        super().__init__()
        self.network, self.tokenizer, self.context, self.progress = model.network, model.tokenizer, model.context, progress
        self.truncated = 0

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.sep_token_id)

    def tok_encode(self, string: str, **_: Any) -> list[int]:
        return list(self.tokenizer(string, add_special_tokens=False)["input_ids"])

    def loglikelihood(self, requests: Sequence[Any], **_: Any) -> list[Answer]:
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def _loglikelihood_tokens(self, requests: Sequence[Request], **_: Any) -> list[Answer]:
        answers = []
        for _texts, context, continuation in requests:
            whole = [token for token in context if token != self.eot_token_id] + continuation
            self.truncated += len(whole) > self.context - 2
            kept = whole[-(self.context - 2) :]
            answers.append((-pseudo_nats(self.network, self.tokenizer, kept, max(0, len(kept) - len(continuation))), False))
            if self.progress is not None:
                self.progress.advance(1)
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Any], **_: Any) -> list[float]:
        raise NotImplementedError("a masked model has no likelihood of a text")

    def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
        raise NotImplementedError("a masked model generates no text")
