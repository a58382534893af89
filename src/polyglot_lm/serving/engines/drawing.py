"""The next token of one completion from its logits, for engines that draw themselves.

Order: repetition penalty, then the log-probabilities that are reported, then temperature, top-k, top-p. The penalty is that of CTRL
(Keskar et al. 2019, arXiv 1909.05858) as vLLM and transformers have it, over prompt and completion without the first
`<|endoftext|>`. A seeded completion has a generator of its own on the CPU, so it is drawn alike alone and in any company as far
as the logits are alike: a matrix product of another shape may round otherwise, and then a draw at the very edge falls otherwise.
"""

import torch
from torch import Tensor

from polyglot_lm.serving.engines.engine import Sampling
from polyglot_lm.serving.engines.requests import Request


class Drawer:
    """Draws one completion's tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)

    def draw(self, logits_V: Tensor, request: Request) -> bool:
        """Draw a token of fp32 logits on the CPU and add it to the request; say whether the completion is over."""
        if self.sampling.repetition_penalty != 1:
            logits_V = penalised(logits_V, request.ids[1:], self.sampling.repetition_penalty)
        token = choose(logits_V, self.sampling, self.generator)
        if self.sampling.logprobs is None:
            return request.draw(token)
        logprobs_V = logits_V.log_softmax(0)
        best = logprobs_V.topk(self.sampling.logprobs)
        likeliest = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return request.draw(token, float(logprobs_V[token]), likeliest)


def penalised(logits_V: Tensor, ids: list[int], penalty: float) -> Tensor:
    seen = torch.tensor(sorted(set(ids)), dtype=torch.long)
    values = logits_V[seen]
    return logits_V.index_copy(0, seen, torch.where(values > 0, values / penalty, values * penalty))


def choose(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    scaled_V = logits_V / sampling.temperature
    if not sampling.top_k and sampling.top_p == 1:
        return int(torch.multinomial(scaled_V.softmax(0), 1, generator=generator))
    most = min(sampling.top_k or len(scaled_V), len(scaled_V))
    kept = scaled_V.topk(most)  # sorted, the likeliest first
    probabilities = kept.values.softmax(0)
    before = probabilities.cumsum(0) - probabilities
    probabilities = probabilities.masked_fill(before >= sampling.top_p, 0)
    return int(kept.indices[torch.multinomial(probabilities, 1, generator=generator)])
