"""The engines of this machine: the same text as the model itself, alone and in company; whoever leaves frees his place."""

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from conftest import SENTENCES
from serving.tiny_model import CONTEXT, write_tiny_model

from polyglot_lm.model.generate import Sampling as ModelSampling
from polyglot_lm.model.generate import generate
from polyglot_lm.model.hf import load_hf
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines import ctranslate2, lanes
from polyglot_lm.serving.engines.engine import Piece, Sampling, Unavailable
from polyglot_lm.serving.engines.opening import open_engine
from polyglot_lm.tokenizer import Tokenizer

KINDS = ("ctranslate2", "llama", "transformers")
PROMPTS = [sentence[: 3 + 2 * n] for n, sentence in enumerate(SENTENCES.values())]
GREEDY = Sampling(temperature=0, max_tokens=40)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("served") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@asynccontextmanager
async def running(folder: Path, kind: str) -> AsyncIterator[Any]:
    options: dict[str, Any] = {} if kind == "transformers" else {"num_cores": 1}
    engine: Any = open_engine(str(folder), kind, precision="float32", **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def served(folder: Path, kind: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with running(folder, kind) as engine:
            return await ask(engine)

    return asyncio.run(run())


async def pieces_of(engine: Any, prompt: str, sampling: Sampling, client: str = "") -> list[Piece]:
    return [piece async for piece in engine.stream(prompt, sampling, client)]


async def text_of(engine: Any, prompt: str, sampling: Sampling, client: str = "") -> str:
    return "".join(piece.text for piece in await pieces_of(engine, prompt, sampling, client))


def by_model(folder: Path, prompt: str, max_tokens: int) -> str:
    """Slow twin: our own network."""
    tokenizer = Tokenizer(folder)
    ids = generate(
        load_hf(folder),
        tokenizer.encode(prompt, parse_special=False),
        max_tokens=max_tokens,
        end_id=tokenizer.end_id,
        allowed=tokenizer.vocab_size,
        sampling=ModelSampling(temperature=0),
    )
    return tokenizer.decode_bytes(list(ids)).decode("utf-8", "replace").rstrip("\ufffd")


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_text_is_the_models_own(folder: Path, kind: str) -> None:
    async def ask(engine: Any) -> list[str]:
        return [await text_of(engine, prompt, GREEDY) for prompt in PROMPTS]

    found = served(folder, kind, ask)
    assert [text.rstrip("\ufffd") for text in found] == [by_model(folder, prompt, 40) for prompt in PROMPTS]
    assert len(set(found)) > 5  # the prompts do matter


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_at_once_get_what_each_gets_alone(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATHER_SECONDS", "GATHER_BUSY_SECONDS", "LOOK_SECONDS", "SLICE_SECONDS", "SETTLED_SECONDS"):
        monkeypatch.setattr(lanes, name, 0.0)  # so that lanes are joined and parted all the time
    asked = [
        (PROMPTS[n % 8] * (1 + n // 8), Sampling(temperature=0, max_tokens=10 + 4 * n, repetition_penalty=1.0 if n % 3 else 1.3))
        for n in range(16)
    ]

    async def ask(engine: Any) -> tuple[list[str], list[str]]:
        alone = [await text_of(engine, prompt, sampling) for prompt, sampling in asked]
        together = await asyncio.gather(*(text_of(engine, prompt, sampling, str(n)) for n, (prompt, sampling) in enumerate(asked)))
        return alone, list(together)

    alone, together = served(folder, kind, ask)
    assert together == alone


@pytest.mark.parametrize(("kinds", "penalty", "near"), [(KINDS, 1.0, 0.1), (("ctranslate2", "transformers"), 1.3, 1e-3)])
def test_all_engines_mean_the_same_by_penalty_and_logprobs(folder: Path, kinds: Sequence[str], penalty: float, near: float) -> None:
    """llama.cpp computes GELU by its tanh form, from a table in fp16, and the head of this model multiplies what it meets by 24."""
    asked = Sampling(temperature=0, max_tokens=30, repetition_penalty=penalty, logprobs=5)

    async def ask(engine: Any) -> list[list[Piece]]:
        return [await pieces_of(engine, prompt, asked) for prompt in PROMPTS[:4]]

    *ours, theirs = (served(folder, kind, ask) for kind in kinds)
    for one, other in ((one, other) for own in ours for one, other in zip(own, theirs, strict=True)):
        tokens, others = ([token for piece in pieces for token in piece.tokens] for pieces in (one, other))
        assert [token.text for token in tokens] == [token.text for token in others]
        assert [token.logprob for token in tokens] == pytest.approx([token.logprob for token in others], abs=near)
        for token, twin in zip(tokens, others, strict=True):
            assert len(token.likeliest) == 5 and token.likeliest[0] == (token.text, pytest.approx(token.logprob, abs=1e-4))
            assert [value for _, value in token.likeliest] == pytest.approx([value for _, value in twin.likeliest], abs=near)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", [Sampling(top_k=2, logprobs=2, max_tokens=60), Sampling(top_p=1e-6, logprobs=1, max_tokens=60)])
def test_only_the_likeliest_tokens_are_drawn(folder: Path, kind: str, asked: Sampling) -> None:
    async def ask(engine: Any) -> list[Piece]:
        return [piece for prompt in PROMPTS[:3] for piece in await pieces_of(engine, prompt, asked)]

    tokens = [token for piece in served(folder, kind, ask) for token in piece.tokens]
    assert len(tokens) > 20
    assert all(min(abs(token.logprob - value) for _, value in token.likeliest) < 1e-3 for token in tokens)
    seconds = sum(token.logprob < token.likeliest[0][1] - 1e-3 for token in tokens)
    assert bool(seconds) == (asked.top_k == 2)


def test_what_llama_cpp_cannot_tell_is_refused(folder: Path) -> None:
    async def ask(engine: Any) -> None:
        with pytest.raises(UserError, match="leave logprobs or repetition_penalty out"):
            await text_of(engine, PROMPTS[0], Sampling(repetition_penalty=1.3, logprobs=1))

    served(folder, "llama", ask)


def test_llama_cpp_listens_to_nobody(folder: Path) -> None:
    async def ask(engine: Any) -> list[int]:
        async with httpx.AsyncClient(base_url=engine.server.listening_address) as client:
            asked = [await client.post(path, json={"prompt": [5], "n_predict": 1}) for path in ("/completion", "/v1/completions")]
            return [*(answer.status_code for answer in asked), (await client.get("/slots")).status_code]

    assert served(folder, "llama", ask) == [401, 401, 401]


def test_a_seed_decides_alone_and_in_company(folder: Path) -> None:
    asked = [Sampling(seed=seed, max_tokens=30) for seed in (1, 1, 2)]

    async def ask(engine: Any) -> tuple[list[str], list[str]]:
        alone = [await text_of(engine, PROMPTS[0], sampling) for sampling in asked]
        others = [text_of(engine, prompt, Sampling(max_tokens=50)) for prompt in PROMPTS]
        return alone, await asyncio.gather(*(text_of(engine, PROMPTS[0], sampling) for sampling in asked), *others)

    alone, together = served(folder, "transformers", ask)
    assert alone[0] == alone[1] != alone[2] and list(together[:3]) == alone
    alone, _ = served(folder, "llama", ask)
    assert alone[0] == alone[1] != alone[2]
    engine = open_engine(str(folder))
    assert "seed" not in engine.honours and "logprobs" in engine.honours


@pytest.mark.parametrize("kind", KINDS)
def test_stops_lengths_and_the_context_end_a_completion(folder: Path, kind: str) -> None:
    async def ask(engine: Any) -> tuple[str, list[Piece], list[Piece], list[Piece]]:
        whole = await text_of(engine, PROMPTS[0], GREEDY)
        stop = whole[len(whole) // 2 :][:2]
        stopped = await pieces_of(engine, PROMPTS[0], Sampling(temperature=0, max_tokens=40, stop=(stop,)))
        short = await pieces_of(engine, PROMPTS[0], Sampling(temperature=0, max_tokens=3))
        long = await pieces_of(engine, PROMPTS[0], Sampling(temperature=0, max_tokens=10_000))
        return whole.partition(stop)[0], stopped, short, long

    before, stopped, short, long = served(folder, kind, ask)
    assert "".join(piece.text for piece in stopped) == before and stopped[-1].finish == "stop"
    assert short[-1].finish == "length" and sum(len(piece.tokens) for piece in short) == 3
    prompt = len(Tokenizer(folder).encode(PROMPTS[0], parse_special=False))
    drawn = sum(len(piece.tokens) for piece in long)
    assert long[-1].finish == "stop" or drawn == CONTEXT - 1 - prompt


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_leaves_frees_its_place(folder: Path, kind: str) -> None:
    async def ask(engine: Any) -> int:
        async with aclosing(engine.stream(PROMPTS[1], Sampling(max_tokens=100_000, temperature=2), "leaver")) as pieces:
            await anext(pieces)
            assert engine.waiting.under_way["leaver"] == 1
        for _ in range(1000):
            if not engine.waiting.under_way:
                break
            await asyncio.sleep(0.005)
        return engine.waiting.under_way.total()

    assert served(folder, kind, ask) == 0


class Endless:
    """llama.cpp's server, if its context had no end."""

    def handle_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> None:
        while not callback({"choices": [{"text": "5,", "finish_reason": None}]}):
            pass


@pytest.mark.parametrize("kind", KINDS)
def test_closing_ends_what_waits_with_a_sentence(folder: Path, kind: str) -> None:
    async def run() -> None:
        async with running(folder, kind) as engine:
            engine.context = 1_000_000
            if kind == "llama":
                engine.server = Endless()
            long = asyncio.create_task(text_of(engine, "a", Sampling(max_tokens=100_000, temperature=1.5, top_k=400)))
            while not engine.waiting.under_way:
                await asyncio.sleep(0.005)
        for asked in (long, text_of(engine, "a", GREEDY)):
            with pytest.raises(Unavailable, match="stopping"):
                await asked

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_library_ends_its_completions_and_not_the_engine(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(engine: Any) -> str:
        with monkeypatch.context() as patched:
            owner = engine.batch if kind == "transformers" else engine
            patched.setattr(owner, "forward" if kind == "transformers" else "draw", broken)
            if kind == "ctranslate2":
                patched.setattr(engine.lanes, "draw", broken)
            with pytest.raises(RuntimeError, match="broken"):
                await text_of(engine, PROMPTS[2], GREEDY)
        return await text_of(engine, PROMPTS[2], GREEDY)

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    assert served(folder, kind, ask).rstrip("\ufffd") == by_model(folder, PROMPTS[2], 40)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_a_prompt_are_text_and_long_prompts_are_refused(folder: Path, kind: str) -> None:
    async def ask(engine: Any) -> Sequence[str]:
        with pytest.raises(UserError, match=r"the prompt has \d+ tokens"):
            await text_of(engine, "a" * 10_000, GREEDY)
        return engine.tokens("<|endoftext|>")

    found = served(folder, kind, ask)
    assert len(found) > 1 and "".join(found) == "<|endoftext|>"


def test_a_newcomer_does_not_wait_for_long_completions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lanes are taken by settings that cannot share one; each still steps back in time."""
    monkeypatch.setattr(lanes, "SLICE_SECONDS", 0.01)
    monkeypatch.setattr(ctranslate2, "LANES_PER_CORE", 2)

    async def ask(engine: Any) -> list[str]:
        ended: list[str] = []

        async def one(name: str, sampling: Sampling) -> None:
            await text_of(engine, PROMPTS[3], sampling, name)
            ended.append(name)

        engine.context = 1_000_000  # long enough to outlast the newcomer
        engine.tokenizer.end_id = 511  # a row that only pads the embedding: nothing ends by chance
        long = [asyncio.create_task(one("long", Sampling(temperature=0.5 + n / 10, max_tokens=20_000))) for n in range(5)]
        await asyncio.sleep(0.1)
        await one("newcomer", Sampling(max_tokens=2, temperature=0))
        for task in long:
            task.cancel()
        return ended

    assert served(folder, "ctranslate2", ask)[0] == "newcomer"


def resident() -> int:
    """Return the bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library cannot give memory back")
def test_freed_memory_below_what_is_held_is_given_back() -> None:
    library, size, count = ctypes.CDLL(None), 65_536, 2_000
    library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    blocks = [library.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for number, block in enumerate(blocks):
        if number % 100 != 99:  # what stays keeps the heap from shrinking by itself
            library.free(block)
    before = resident()
    ctranslate2.give_back_memory()
    assert before - resident() > 0.8 * size * count
    for block in blocks[99::100]:
        library.free(block)


def test_an_engine_tidies_up_after_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[None] = []
    monkeypatch.setattr(ctranslate2, "give_back_memory", lambda: times.append(None))
    asked = Sampling(max_tokens=2)
    served(folder, "ctranslate2", lambda engine: pieces_of(engine, "hello", asked))
    assert not times
    monkeypatch.setattr(ctranslate2, "TIDY_SECONDS", 0.0)
    served(folder, "ctranslate2", lambda engine: pieces_of(engine, "hello", asked))
    assert times
