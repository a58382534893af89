"""Train a byte-level BPE on a bounded sample of every language.

In: corpora, a folder a language. Out: `tokenizer.json` (Hugging Face tokenizers) and `tokenizer_config.json` (transformers).
The sampling policy is the tokenizer's own, apart from the training mixture (see `policies`); unless another is chosen, the same
number of English-equivalent bytes (UTF-8 bytes ÷ byte premium) of every language, cut where the smallest ends. The pre-tokeniser
keeps combining marks with their letters (`[\\p{L}\\p{M}]+`), else no Thai word with a vowel sign above could ever become one token;
numbers are cut every three digits; NFC. Merges are learned on bytes, so every text can be encoded.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import xxhash

from polyglot_lm.pipeline import Counters, Progress, Runtime, Task, UserError, stage, write_json, xxh3_128_file
from polyglot_lm.shards import read_documents, require_documents
from polyglot_lm.tokenizer.morphemes import WALL, require_analysers, walled
from polyglot_lm.tokenizer.policies import Balanced, Policy, Samples
from polyglot_lm.tokenizer.special import END, NUM_SPECIAL, PERSONAL_TOKENS, SPECIAL_TOKENS
from polyglot_lm.tokenizer.vocabulary import TOKENIZER_FILE

WORDS = (
    r"'(?i:[sdmt]|ll|ve|re)(?![\p{L}\p{M}])"  # English clitics, and no beginning of a word in quotation marks
    r"|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+"  # a word with the space or sign before it
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"  # punctuation
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONFIG_FILE = "tokenizer_config.json"
BEAT_SECONDS = 1.0
SPARE = 0.02  # of a spread sample, so that its documents seldom run out before its bytes


@stage(version=2)
def train_tokenizer(
    out: Path,
    *,
    corpora: Mapping[str, Path],
    byte_premiums: Mapping[str, float],
    vocab_size: int,
    max_english_bytes: int,
    policy: Policy = Balanced(),
    spread: bool = False,
    morphemes: tuple[str, ...] = (),
    runtime: Runtime = Runtime(),
) -> Counters:
    """Train on at most `max_english_bytes` of a corpus, in the mean over all; raises UserError for a size not divisible by 128.

    With `spread` the sample's documents come from all over a corpus, else they are its first ones. In the languages of
    `morphemes` no merge is learned across a morpheme's boundary. Memory holds the sample and its distinct words.
    """
    check_vocab_size(vocab_size)
    require_analysers(morphemes)
    require_documents(corpora, "train")
    num_bytes = {code: corpus_bytes(folder) for code, folder in corpora.items()}
    supply = {code: size / byte_premiums[code] for code, size in num_bytes.items()}
    budgets = policy.budgets(supply, max_english_bytes)
    limits = {code: int(budgets[code] * byte_premiums[code]) for code in corpora}
    tokenizer = new_tokenizer(walls=bool(morphemes))
    total = sum(limits.values())
    with shown(runtime.progress, total, policy.expected_seconds(total)) as (task, begin):
        samples = {
            code: functools.partial(
                sample,
                folder,
                limits[code],
                task,
                share=limits[code] / num_bytes[code] if spread else 1.0,
                walls_of=code if code in morphemes else None,
            )
            for code, folder in corpora.items()
        }
        policy.train(tokenizer, then(begin, samples), vocab_size, byte_premiums)
    if tokenizer.get_vocab_size() != vocab_size:
        raise UserError(
            f"the text yields only {tokenizer.get_vocab_size()} tokens, fewer than vocab_size={vocab_size}; "
            "ask for fewer or add text"
        )
    tokenizer.pre_tokenizer = new_tokenizer().pre_tokenizer  # without walls
    tokenizer.save(str(out / TOKENIZER_FILE))
    write_json(out / CONFIG_FILE, transformers_config())
    return {
        "vocab_size": vocab_size,
        "english_bytes_per_language": int(sum(budgets.values()) / len(budgets)),
        "bytes": limits,
        "tokenizer": xxh3_128_file(out / TOKENIZER_FILE),
    }


def check_vocab_size(vocab_size: int) -> None:
    """128 divides every efficient matrix shape (and 16 × 8 tensor-parallel ranks)."""
    smallest = 384  # 64 special tokens and 256 bytes, rounded up to the next multiple
    if vocab_size % 128 or vocab_size < smallest:
        near = max(smallest, round(vocab_size / 128) * 128)
        raise UserError(f"vocab_size is {vocab_size}; it must be a multiple of 128 from {smallest} up, such as {near}")


def new_tokenizer(*, walls: bool = False) -> Any:
    """Return an untrained tokenizer; with `walls` its pre-tokeniser cuts at them first and takes them out."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *([pre_tokenizers.Split(WALL, behavior="removed")] if walls else []),
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def corpus_bytes(folder: Path) -> int:
    return sum(row["num_bytes"] for row in read_documents(folder, ("num_bytes",), "train"))


def sample(folder: Path, limit: int, task: Task, *, share: float, walls_of: str | None) -> Iterator[str]:
    """Yield a language's texts for training, with the walls of its morphemes where asked for."""
    chosen = first_bytes(texts_of_share(folder, share), limit, task)
    return walled(chosen, walls_of) if walls_of else chosen


@contextmanager
def shown(progress: Progress, num_bytes: int, seconds: float) -> Iterator[tuple[Task, Callable[[], None]]]:
    """Show the reading of text, and from the call of what is yielded on the time of merging against what it usually takes.

    The library says nothing until it is done, in up to a quarter of an hour, but lets other threads run.
    """
    reading, ended = ExitStack(), threading.Event()
    task = reading.enter_context(progress.task("tokenizer: text", total=num_bytes, unit="B"))

    def merging() -> None:
        with progress.task("tokenizer: merges", total=seconds, unit="s") as merges:
            while not ended.wait(BEAT_SECONDS):
                merges.advance(max(0.0, min(BEAT_SECONDS, 0.99 * seconds - merges.done)))  # never done before it is

    thread = threading.Thread(target=merging, daemon=True)

    def begin() -> None:
        reading.close()  # a terminal has room for one bar
        thread.start()

    try:
        yield task, begin
    finally:
        ended.set()
        reading.close()
        if thread.ident is not None:
            thread.join()


def then(begin: Callable[[], None], samples: Samples) -> Samples:
    """Return samples of which the last that ends calls `begin`."""
    unread = set(samples)

    def followed(code: str) -> Iterator[str]:
        yield from samples[code]()
        unread.discard(code)
        if not unread:
            begin()

    return {code: functools.partial(followed, code) for code in samples}


def texts_of_share(folder: Path, share: float) -> Iterator[str]:
    """Yield training texts, of `share` < 1 those whose id's hash falls into a little more than it, first, and then the others."""
    if share >= 1:
        yield from (row["text"] for row in read_documents(folder, ("text",), "train"))
        return
    bound = int((share + SPARE * share**0.5) * 2**64)
    for inside in (True, False):
        for row in read_documents(folder, ("id", "text"), "train"):
            if (xxhash.xxh3_64_intdigest(row["id"].encode()) < bound) == inside:
                yield row["text"]


def first_bytes(texts: Iterable[str], limit: int, task: Task) -> Iterator[str]:
    """Yield texts until `limit` bytes are out; the last one is cut at a character."""
    left = limit
    for text in texts:
        data = text.encode()[:left]
        task.advance(len(data))
        yield data.decode(errors="ignore")
        left -= len(data)
        if left <= 0:
            return


def transformers_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "additional_special_tokens": ["<|sep|>", *PERSONAL_TOKENS],
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],  # GPT-NeoX takes no token_type_ids
        "model_max_length": 10**30,
    }


assert len(SPECIAL_TOKENS) == NUM_SPECIAL
