"""Train a byte-level BPE on equal amounts of every language.

In: corpora, a folder a language. Out: `tokenizer.json` (Hugging Face tokenizers) and `tokenizer_config.json` (transformers).
The sampling policy is the tokenizer's own, apart from the training mixture: the same number of English-equivalent bytes
(UTF-8 bytes ÷ byte premium) of every language, cut where the smallest ends. The pre-tokeniser keeps combining marks with their
letters (`[\\p{L}\\p{M}]+`), else no Thai word with a vowel sign above could ever become one token; numbers are cut every
three digits; NFC. Merges are learned on bytes, so every text can be encoded.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import Counters, Runtime, UserError, stage, write_json, xxh3_128_file
from polyglot_lm.shards import require_documents, texts
from polyglot_lm.tokenizer.special import END, NUM_SPECIAL, PERSONAL_TOKENS, SPECIAL_TOKENS

WORDS = (
    r"'(?i:[sdmt]|ll|ve|re)"  # English clitics
    r"|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+"  # a word with the space or sign before it
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"  # punctuation
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


@stage(version=1)
def train_tokenizer(
    out: Path,
    *,
    corpora: Mapping[str, Path],
    byte_premiums: Mapping[str, float],
    vocab_size: int,
    max_english_bytes: int,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Train on at most `max_english_bytes` of each corpus, equally of all; raises UserError for a size not divisible by 128."""
    check_vocab_size(vocab_size)
    require_documents(corpora, "train")
    supply = {code: corpus_bytes(folder) / byte_premiums[code] for code, folder in corpora.items()}
    budget = min(max_english_bytes, *supply.values())
    limits = {code: int(budget * byte_premiums[code]) for code in corpora}
    tokenizer = new_tokenizer()
    with runtime.progress.task("tokenizer", total=sum(limits.values()), unit="B") as task:
        sample = (text for code, folder in corpora.items() for text in first_bytes(folder, limits[code], task))
        tokenizer.train_from_iterator(sample, trainer(vocab_size))
    if tokenizer.get_vocab_size() != vocab_size:
        raise UserError(
            f"the text yields only {tokenizer.get_vocab_size()} tokens, fewer than vocab_size={vocab_size}; "
            "ask for fewer or add text"
        )
    tokenizer.save(str(out / TOKENIZER_FILE))
    write_json(out / CONFIG_FILE, transformers_config())
    return {
        "vocab_size": vocab_size,
        "english_bytes_per_language": int(budget),
        "bytes": limits,
        "tokenizer": xxh3_128_file(out / TOKENIZER_FILE),
    }


def check_vocab_size(vocab_size: int) -> None:
    """128 divides every efficient matrix shape (and 16 × 8 tensor-parallel ranks)."""
    smallest = 384  # 64 special tokens and 256 bytes, rounded up to the next multiple
    if vocab_size % 128 or vocab_size < smallest:
        near = max(smallest, round(vocab_size / 128) * 128)
        raise UserError(f"vocab_size is {vocab_size}; it must be a multiple of 128 from {smallest} up, such as {near}")


def new_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def trainer(vocab_size: int) -> Any:
    from tokenizers import pre_tokenizers, trainers

    return trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )


def corpus_bytes(folder: Path) -> int:
    return sum(len(text.encode()) for text in texts(folder, "train"))


def first_bytes(folder: Path, limit: int, task: Any) -> Iterator[str]:
    """Yield training documents until `limit` bytes are out; the last one is cut at a character."""
    left = limit
    for text in texts(folder, "train"):
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
