"""A GPT-NeoX of the 125M shape with Polyglot-Ko's vocabulary and random weights: speed does not depend on what they are."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

from polyglot_lm.model.config import POLYGLOT_KO_VOCAB, neox
from polyglot_lm.release import hugging_face
from polyglot_lm.release.weights import expected_shapes
from polyglot_lm.tokenizer import SPECIAL_TOKENS

CONFIG = neox(vocab_size=POLYGLOT_KO_VOCAB, context=2048, num_layers=12, width=768, num_heads=12, rotary_dims=16)
LETTERS = "abcdefghijklmnopqrstuvwxyz가나다라마바사아자차"


def write_random_model(folder: Path) -> Path:
    """Write it as `polyglot export` writes a Hugging Face folder, in fp32."""
    (folder / "tokenizer").mkdir(parents=True)
    write_random_tokenizer(folder / "tokenizer")
    generator, shapes = torch.Generator().manual_seed(0), expected_shapes(CONFIG)
    weights: Any = SimpleNamespace(config=CONFIG, shapes=shapes, read=lambda name: random_tensor(name, shapes[name], generator))
    hugging_face.write(weights, folder / "tokenizer", folder, "float32")
    return folder


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if len(shape) == 2:
        return torch.randn(shape, generator=generator) * 0.02
    return torch.ones(shape) if "norm" in name and name.endswith("weight") else torch.zeros(shape)


def write_random_tokenizer(folder: Path) -> None:
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=POLYGLOT_KO_VOCAB,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator([" ".join(random_words(60_000, seed=0))], trainer)
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def random_words(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(LETTERS, k=rng.randint(2, 8))) for _ in range(count)]
