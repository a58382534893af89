"""What an export starts from: weights, the tokenizer they were trained with, and real text to prove the copy on.

A folder that a step wrote knows all three, for its record names the folders it was made from. For any other folder, such
as a checkpoint of the hub, the tokenizer is looked for inside, and the text is given by the caller.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import UserError
from polyglot_lm.release.checkpoints import training_of
from polyglot_lm.release.records import arguments_of, root_of
from polyglot_lm.release.weights import Weights
from polyglot_lm.shards import texts
from polyglot_lm.tokenizer import TOKENIZER_FILE, Tokenizer
from polyglot_lm.tokenizer.parity import read_parallel

PROOF_TEXTS = 25  # a language


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A trained model: `tokenizer` is a folder, `texts` maps a language's code to real texts it was not trained on."""

    weights: Weights
    tokenizer: Path
    texts: Mapping[str, list[str]]


def find_trained(model: Path, *, tokenizer: Path | None = None, text: Path | None = None) -> Trained:
    """Open a folder that a training or an export wrote, or one of the hub's; `text` is JSON lines with a sentence a language.

    Raises UserError where the tokenizer is missing or is not the model's, or where no text is known.
    """
    if not model.is_dir():
        raise UserError(f"there is no folder {str(model)!r}; give that of a trained or exported model")
    weights, model = Weights(model), training_of(model)
    arguments = arguments_of(model)
    found = tokenizer_of(model, weights, tokenizer, arguments)
    return Trained(weights=weights, tokenizer=found, texts=proof_texts(model, text, arguments))


def tokenizer_of(model: Path, weights: Weights, given: Path | None, arguments: Mapping[str, Any]) -> Path:
    recorded = root_of(model) / arguments["tokenizer"] if "tokenizer" in arguments else None
    inside = weights.folder if (weights.folder / TOKENIZER_FILE).exists() else None
    found = given or inside or recorded
    if found is None:
        raise UserError(f"no {TOKENIZER_FILE} in {str(model)!r} and no record of one; name its folder with --tokenizer")
    loaded = Tokenizer(found)
    if recorded is not None and recorded.exists() and Tokenizer(recorded).hash != loaded.hash:
        raise UserError(f"{str(model)!r} was trained with the tokenizer in {str(recorded)!r}, not with that in {str(found)!r}")
    if loaded.vocab_size > weights.config.vocab_size:
        raise UserError(
            f"the tokenizer in {str(found)!r} has {loaded.vocab_size:,} tokens and the model only "
            f"{weights.config.vocab_size:,}; give the one it was trained with"
        )
    return found


def proof_texts(model: Path, given: Path | None, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
    if given is not None:
        return {code: sentences[:PROOF_TEXTS] for code, sentences in read_parallel(given).items()}
    if "corpora" not in arguments:
        raise UserError(f"{str(model)!r} does not record what it was trained on; name JSON lines of real text with --text")
    root = root_of(model)
    return {
        code: list(itertools.islice(texts(root / address, "test"), PROOF_TEXTS)) for code, address in arguments["corpora"].items()
    }
