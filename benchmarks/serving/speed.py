"""How fast the engines write, beside `transformers`, on a 125M shape with random weights.

    python benchmarks/serving/speed.py

Prompts of 128 tokens, greedy, two cores, wall time; each subject in a process of its own, in turn, and the best of three rounds
counts (other work on the machine only ever slows). Tokens a second count new tokens over the whole time, prompt included.
  ratio_one_stream         llama.cpp int8 ÷ transformers generate bf16, one completion of 64 tokens
  ratio_one_stream_fp32    the same ÷ fp32
  ratio_one_stream_ctranslate2, _fp32   CTranslate2 int8 ÷ the same
  ratio_sixteen            CTranslate2 int8 with sixteen clients that ask for 128 tokens again and again ÷ bf16 one stream
  p99_first_token_seconds  of the sixteen clients, over the even load and the uneven one (16 to 240 tokens)
`transformers serve` is asked over HTTP, as it starts by default. The engine `transformers` is ours, with continuous batching.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

PROMPT_TOKENS, NEW_TOKENS, CLIENTS = 128, 64, 16
EVEN, UNEVEN = (128, 128), (16, 240)  # least and most tokens that a client asks for
ROUNDS = {  # the slow ones, which no figure needs, once
    "generate bfloat16": 3,
    "generate float32": 3,
    "ctranslate2 int8": 3,
    "llama int8": 3,
    "transformers bfloat16": 1,
    "serve bfloat16": 1,
}
REQUESTS = {"ctranslate2": 4, "llama": 1, "transformers": 2, "serve": 1}  # of each client
Row = dict[str, float]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        from random_model import write_random_model

        folder = write_random_model(Path(scratch) / "random-125m")
        rounds = [
            {subject: measured(subject, folder) for subject, most in ROUNDS.items() if number < most}
            for number in range(max(ROUNDS.values()))
        ]
    best = {subject: better([row[subject] for row in rounds if subject in row]) for subject in ROUNDS}
    for subject, row in best.items():
        print(f"{subject:<24}" + "  ".join(f"{name} {value:.3g}" for name, value in row.items()))
    ours, few = best["ctranslate2 int8"], best["llama int8"]
    bf16, fp32 = best["generate bfloat16"], best["generate float32"]
    figures = {
        "ratio_one_stream": few["one"] / bf16["one"],
        "ratio_one_stream_fp32": few["one"] / fp32["one"],
        "ratio_one_stream_ctranslate2": ours["one"] / bf16["one"],
        "ratio_one_stream_ctranslate2_fp32": ours["one"] / fp32["one"],
        "ratio_sixteen": ours["even"] / bf16["one"],
        "p99_first_token_seconds": max(ours["even_p99_s"], ours["uneven_p99_s"]),
    }
    print(json.dumps(figures))


def measured(subject: str, folder: Path) -> Row:
    """Run a subject in a process of its own; its last line is its row, empty when it cannot run here."""
    done = subprocess.run([sys.executable, __file__, subject, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{subject}: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return {}
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(f"{subject}: {row}", file=sys.stderr, flush=True)
    return row


def better(rows: list[Row]) -> Row:
    """Return the best of each figure: the least seconds, the most tokens a second."""
    return {name: (min if name.endswith("_s") else max)(row[name] for row in rows if name in row) for name in rows[0]}


def prompt_text(tokenizer: Any, seed: int) -> str:
    """Return text of exactly `PROMPT_TOKENS` tokens with the first, unlike for every seed."""
    from random_model import random_words

    words = random_words(PROMPT_TOKENS, seed)
    text = ""
    for word in words:
        longer = f"{text} {word}"
        if len(tokenizer.encode(longer, parse_special=False)) > PROMPT_TOKENS - 1:
            break
        text = longer
    return text


def generate(folder: Path, precision: str) -> Row:
    """transformers' own loop: one completion, and a batch of sixteen."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).eval()
    row = {}
    for name, count in (("one", 1), ("batch_16", CLIENTS)):
        ids_BT = torch.randint(64, 30_000, (count, PROMPT_TOKENS))
        options = {"attention_mask": torch.ones_like(ids_BT), "do_sample": False, "pad_token_id": 2}
        model.generate(ids_BT, max_new_tokens=2, **options)
        begun = time.perf_counter()
        model.generate(ids_BT, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, **options)
        row[name] = count * NEW_TOKENS / (time.perf_counter() - begun)
    return row


async def asked(
    complete: Callable[[str, int, str], Awaitable[tuple[float, int]]], prompts: Callable[[int], str], requests: int
) -> Row:
    """Ask as one client, then as sixteen, each again as soon as it has its answer. `complete` returns the seconds to the first
    token and the number of tokens."""
    await complete(prompts(0), 4, "")
    begun = time.perf_counter()
    _, count = await complete(prompts(1), NEW_TOKENS, "")
    row = {"one": count / (time.perf_counter() - begun)}
    for name, (least, most) in (("even", EVEN), ("uneven", UNEVEN)):
        rng = random.Random(0)
        wanted = [[rng.randint(least, most) for _ in range(requests)] for _ in range(CLIENTS)]

        async def client(number: int, wanted: list[list[int]] = wanted) -> list[tuple[float, int]]:
            return [
                await complete(prompts(2 + number * requests + n), tokens, str(number)) for n, tokens in enumerate(wanted[number])
            ]

        begun = time.perf_counter()
        found = [answer for answers in await asyncio.gather(*map(client, range(CLIENTS))) for answer in answers]
        row[name] = sum(count for _, count in found) / (time.perf_counter() - begun)
        row[f"{name}_p99_s"] = float(np.quantile([seconds for seconds, _ in found], 0.99))
    return row


async def engine(folder: Path, kind: str, precision: str) -> Row:
    from polyglot_lm.serving.engines.engine import Sampling
    from polyglot_lm.serving.engines.opening import open_engine
    from polyglot_lm.tokenizer import Tokenizer

    opened = open_engine(str(folder), kind, precision=precision)
    await opened.start()
    tokenizer = Tokenizer(folder)

    async def complete(prompt: str, tokens: int, client: str) -> tuple[float, int]:
        begun, first, count = time.perf_counter(), 0.0, 0
        async for piece in opened.stream(prompt, Sampling(max_tokens=tokens, temperature=0), client):
            first = first or time.perf_counter() - begun
            count += len(piece.tokens)
        return first, count

    row = await asked(complete, lambda seed: prompt_text(tokenizer, seed), REQUESTS[kind])
    await opened.close()
    return row


async def serve(folder: Path, precision: str) -> Row:
    """`transformers serve`, over HTTP."""
    import httpx

    from polyglot_lm.tokenizer import Tokenizer

    tokenizer, port = Tokenizer(folder), random.randint(20_000, 60_000)
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder), "--port", str(port), "--dtype", precision]
    process = subprocess.Popen([*command, "--device", "cpu"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://localhost:{port}", timeout=600) as client:
            for _ in range(120):
                try:
                    if (await client.get("/health")).is_success:
                        break
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(1)

            async def complete(prompt: str, tokens: int, _: str) -> tuple[float, int]:
                body = {"model": str(folder), "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
                begun, first = time.perf_counter(), 0.0
                async with client.stream("POST", "/v1/completions", json=body) as response:
                    response.raise_for_status()
                    async for line in response.aiter_lines():
                        if line.startswith("data:"):
                            first = first or time.perf_counter() - begun
                return first, tokens

            return await asked(complete, lambda seed: prompt_text(tokenizer, seed), REQUESTS["serve"])
    finally:
        process.terminate()
        process.wait()


def subject(name: str, folder: Path) -> Row:
    kind, precision = name.split()
    if kind == "generate":
        return generate(folder, precision)
    return asyncio.run(serve(folder, precision) if kind == "serve" else engine(folder, kind, precision))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(subject(sys.argv[1], Path(sys.argv[2]))))
    else:
        main()
