"""Models of every architecture on the bench, tiny and untrained, with tokenizers of their kinds: nothing is fetched."""

from pathlib import Path
from typing import Any

import torch
from conftest import SENTENCES
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB = 420
TEXTS = [*SENTENCES.values(), "🧪 ก็ naïve 🇰🇷 𠮷"]


def byte_level() -> Tokenizer:
    """Byte-level BPE, as GPT-NeoX, BLOOM and ours have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    )
    return tokenizer


def sentence_pieces() -> Tokenizer:
    """Pieces of normalised text that begin with `</s>`, as XGLM has them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=VOCAB, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return tokenizer


def word_pieces() -> Tokenizer:
    """WordPiece, as mBERT has it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=VOCAB, special_tokens=special, show_progress=False))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))],
    )
    return tokenizer


def write_model(folder: Path, kind: str) -> Path:
    """Write a model of an architecture (gpt_neox, bloom, xglm, bert) with its tokenizer, as the hub has them."""
    import transformers as hf

    torch.manual_seed(1)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if kind == "bert":
        special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
        library = word_pieces()
        size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        network: Any = hf.BertForMaskedLM(hf.BertConfig(vocab_size=library.get_vocab_size(), max_position_embeddings=64, **size))
        tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=library, **special)
    else:
        library = sentence_pieces() if kind == "xglm" else byte_level()
        tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=library, **names)
        network = causal(kind, library.get_vocab_size())
    for parameter in network.parameters():
        parameter.data.mul_(4)  # untrained logits are nearly even; this spreads them
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def causal(kind: str, vocab_size: int) -> Any:
    import transformers as hf

    if kind == "gpt_neox":
        size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(vocab_size=vocab_size, max_position_embeddings=64, **size))
    if kind == "bloom":
        return hf.BloomForCausalLM(hf.BloomConfig(vocab_size=vocab_size, hidden_size=32, n_layer=2, n_head=4, seq_length=64))
    size = {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64}
    return hf.XGLMForCausalLM(hf.XGLMConfig(vocab_size=vocab_size, max_position_embeddings=64, **size))
