"""A training small enough for a test: three languages, 384 tokens, two layers of 32, and all its inputs made by the real stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.model.config import neox
from polyglot_lm.pipeline import Runtime
from polyglot_lm.tokenizer import encode_corpus, train_tokenizer
from polyglot_lm.training.config import TrainingConfig
from polyglot_lm.training.logs import SPEED_FILE
from polyglot_lm.training.optim import OptimConfig

LANGUAGES = ("ko", "th", "en")
PREMIUMS = {"ko": 1.3, "th": 2.8, "en": 1.0}
MODEL = neox(vocab_size=384, context=32, num_layers=2, width=32, num_heads=4, rotary_dims=4)
ONE_THREAD = Runtime(threads=1, device="cpu")


def optim(optimizer: Literal["adamw", "muon"] = "adamw", learning_rate: float = 0.01) -> OptimConfig:
    return OptimConfig(
        optimizer=optimizer,
        learning_rate=learning_rate,
        matrix_learning_rate=0.02,
        schedule="wsd",
        warmup_steps=2,
        decay_fraction=0.4,
        final_rate=0.0,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip_norm=1.0,
    )


def schedule(steps: int = 8, batch_windows: int = 4, precision: Literal["fp32", "bf16"] = "fp32", seed: int = 1) -> TrainingConfig:
    return TrainingConfig(
        steps=steps,
        batch_windows=batch_windows,
        precision=precision,
        control_every=3,
        seed=seed,
        z_loss=0.0,
        on_spike="skip",
        milestone_every=None,
    )


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The folders that a training reads."""

    corpora: Mapping[str, Path]
    tokenizer: Path
    tokens: Mapping[str, Path]
    mixture: Path

    def arguments(self, **changed: Any) -> dict[str, Any]:
        """Return the keyword arguments of `train`."""
        folders = {"mixture": self.mixture, "tokens": self.tokens, "tokenizer": self.tokenizer, "corpora": self.corpora}
        return {**folders, "model": MODEL, "optim": optim(), "training": schedule(), **changed}


def make_inputs(root: Path, corpora: Mapping[str, Path]) -> Inputs:
    chosen = {code: corpora[code] for code in LANGUAGES}
    tokenizer, mixture = root / "tokenizer", root / "mixture"
    for folder in (tokenizer, mixture):
        folder.mkdir(parents=True)
    train_tokenizer(tokenizer, corpora=chosen, byte_premiums=PREMIUMS, vocab_size=384, max_english_bytes=20_000)
    for code, corpus in chosen.items():
        folder = root / "tokens" / code
        encode_corpus(
            folder,
            corpus=corpus,
            tokenizer=tokenizer,
            language=code,
            source="tiny",
            byte_premium=PREMIUMS[code],
            runtime=Runtime(workers=1),
        )
    tokens = {code: root / "tokens" / code for code in chosen}
    plan_mixture(mixture, tokens=tokens, policy=Uniform(unit="english_bytes"), seed=1)
    return Inputs(corpora=chosen, tokenizer=tokenizer, tokens=tokens, mixture=mixture)


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative path, but for the one that tells of speed."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SPEED_FILE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
