"""Byte-level BPE: special tokens, training, encoding."""

from polyglot_lm.tokenizer.encode import encode_corpus
from polyglot_lm.tokenizer.policies import PLAIN_SHARE, Balanced, Natural, ParallelText, Parity, Policy
from polyglot_lm.tokenizer.special import ALIASES, END, END_ID, PERSONAL_TOKENS, SPECIAL_TOKENS
from polyglot_lm.tokenizer.train import CONFIG_FILE, check_vocab_size, train_tokenizer
from polyglot_lm.tokenizer.vocabulary import TOKENIZER_FILE, Tokenizer

__all__ = [
    "ALIASES",
    "CONFIG_FILE",
    "END",
    "END_ID",
    "PERSONAL_TOKENS",
    "PLAIN_SHARE",
    "SPECIAL_TOKENS",
    "TOKENIZER_FILE",
    "Balanced",
    "Natural",
    "ParallelText",
    "Parity",
    "Policy",
    "Tokenizer",
    "check_vocab_size",
    "encode_corpus",
    "train_tokenizer",
]
