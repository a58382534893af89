"""How close each engine's numbers are to those in fp32: greedy text, its log-probabilities up to where the texts part.

python benchmarks/serving/closeness.py MODEL        the folder of an export, Hugging Face
"""

import asyncio
import sys

import numpy as np

from polyglot_lm.languages import languages
from polyglot_lm.serving.engines.engine import Sampling, Token
from polyglot_lm.serving.engines.opening import open_engine

REFERENCE = ("transformers", "float32")
ENGINES = (("ctranslate2", "float32"), ("ctranslate2", "int8"), ("llama", "float32"), ("llama", "int8"), ("llama", "int4"))
GREEDY = Sampling(max_tokens=40, temperature=0, logprobs=1)


async def written(model: str, kind: str, precision: str) -> list[list[Token]]:
    """Return what an engine writes after the prompt of every language."""
    engine = open_engine(model, kind, precision=precision)
    await engine.start()
    texts = [[token async for piece in engine.stream(one.prompt, GREEDY) for token in piece.tokens] for one in languages().values()]
    await engine.close()
    return texts


def main() -> None:
    expected = asyncio.run(written(sys.argv[1], *REFERENCE))
    for kind, precision in ENGINES:
        off, whole = [], 0
        for text, other in zip(asyncio.run(written(sys.argv[1], kind, precision)), expected, strict=True):
            alike = next((at for at, pair in enumerate(zip(text, other, strict=False)) if pair[0].text != pair[1].text), len(other))
            whole += alike == len(other)
            off += [abs((one.logprob or 0) - (two.logprob or 0)) for one, two in zip(text[:alike], other[:alike], strict=True)]
        told = f"off by {np.mean(off):.4f} on average, {max(off):.3f} at most" if off else "nothing alike"
        print(f"{kind:<12}{precision:<9} {whole} of {len(expected)} texts alike, log-probabilities of {len(off)} tokens {told}")


if __name__ == "__main__":
    main()
