"""A trained model as a Hugging Face folder that `GPTNeoXForCausalLM` and `AutoTokenizer` load without options, and its card.

The export is proved on the spot: transformers loads the folder, and its logits on held-out text of every language must equal
those of the model that was trained. What fails the proof never gets a record, so it never looks done.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyglot_lm.model.hf import load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Counters, Runtime, atomic_text, stage
from polyglot_lm.release.card import model_card
from polyglot_lm.shards import texts
from polyglot_lm.tokenizer import CONFIG_FILE, TOKENIZER_FILE, Tokenizer

CARD_FILE = "README.md"
PROOF_TOKENS = 128
TOLERANCE = 1e-4  # fp32 logits of two implementations; seen differences are near 1e-5


@stage(version=1)
def export_hf(
    out: Path,
    *,
    title: str,
    names: Mapping[str, str],
    training: Path,
    tokenizer: Path,
    corpora: Mapping[str, Path],
    report: Path,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write weights, configuration, tokenizer and card; raises RuntimeError when transformers computes other logits."""
    torch.set_num_threads(runtime.threads)
    model, loaded = load_hf(training), Tokenizer(tokenizer)
    save_hf(model, out, end_id=loaded.end_id)
    for name in (TOKENIZER_FILE, CONFIG_FILE):
        shutil.copyfile(tokenizer / name, out / name)
    worst = prove(out, model, loaded, corpora)
    with atomic_text(out / CARD_FILE) as file:
        file.write(model_card(title, names, training, report))
    return {"parameters": model.config.num_parameters, "largest_logit_difference_below": TOLERANCE, "languages_proved": len(worst)}


@torch.no_grad()
def prove(folder: Path, model: GPTNeoX, tokenizer: Tokenizer, corpora: Mapping[str, Path]) -> dict[str, float]:
    """Return the largest difference of logits by language; raises RuntimeError above the tolerance or when ids differ."""
    theirs, their_tokenizer = load_with_transformers(folder)
    worst: dict[str, float] = {}
    for language, corpus in corpora.items():
        text = next(iter(texts(corpus, "test")))
        ids = tokenizer.encode(text, parse_special=True)[:PROOF_TOKENS]
        if their_tokenizer(text)["input_ids"][:PROOF_TOKENS] != ids:
            raise RuntimeError(f"{folder}: AutoTokenizer cuts {language!r} text differently; the export is not usable")
        batch = torch.tensor([ids[: model.config.context]])
        worst[language] = float((model(batch) - theirs(batch).logits).abs().max())
        if not worst[language] <= TOLERANCE:  # also when it is no number
            raise RuntimeError(f"{folder}: logits differ by {worst[language]} on {language!r}; the export is not usable")
    return worst


def load_with_transformers(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoTokenizer, GPTNeoXForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = GPTNeoXForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)
