"""A tiny GPT-NeoX of eight languages with opinions of its own, as the exported folder that engines load."""

from pathlib import Path

import torch
from conftest import SENTENCES
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.tokenizer import END_ID, SPECIAL_TOKENS

VOCAB, CONTEXT = 500, 160  # 12 rows of the embedding are padding


def write_tiny_model(folder: Path) -> Path:
    """Write weights that disagree with an even guess, and a tokenizer whose tokens often hold part of a character."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(SENTENCES.values(), trainer)
    network = GPTNeoX(neox(vocab_size=VOCAB, context=CONTEXT, num_layers=2, width=32, num_heads=4, rotary_dims=4))
    initialize(network, torch.Generator().manual_seed(3))
    with torch.no_grad():
        network.embed_out.weight.mul_(24)
    save_hf(network, folder, end_id=END_ID)
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    return folder
