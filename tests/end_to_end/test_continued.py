"""Go on with another's model in new languages, from text to export, with a vocabulary that grew."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import tiny_texts

from polyglot_lm.model.hf import load_hf
from polyglot_lm.shards import read_metrics
from polyglot_lm.tokenizer import Tokenizer

TINY = ["vocab_size=384", "width=32", "layers=2", "heads=2", "context=64", "steps=60", "batch_windows=8"]


def polyglot(folder: Path, *words: str, settings: list[str]) -> str:
    pairs = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "polyglot_lm.cli", *words, "--threads", "1", "--workers", "1", "--device", "cpu", *pairs]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.slow
def test_a_model_learns_a_language_more(tmp_path: Path) -> None:
    for code in ("en", "id", "ko", "th"):
        (tmp_path / "my_text" / code).mkdir(parents=True)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(code, 300))
        (tmp_path / "my_text" / code / "part.jsonl").write_text(rows)
    polyglot(tmp_path, "run", "quickstart", settings=[*TINY, "languages=en,id", "source=my_text"])
    start = tmp_path / "runs" / "quickstart" / "model"
    more = [f"start={start}", "languages=ko,th,en", "source=my_text", "vocab_size=512", "steps=40", "batch_windows=8"]
    said = polyglot(tmp_path, "run", "continued", settings=[*more, "learning_rate=0.003"])
    assert "report" in said
    model = tmp_path / "runs" / "continued" / "model"
    network, tokenizer = load_hf(model), Tokenizer(model)
    assert network.config.vocab_size == tokenizer.vocab_size == 512
    assert tokenizer.token_bytes[:384] == Tokenizer(start).token_bytes
    (folder,) = [found for found in (tmp_path / "runs").glob("training-*") if load_hf(found).config.vocab_size == 512]
    losses = [line["loss"] for line in read_metrics(folder) if "loss" in line]
    english = json.loads((model.parent / "report" / "summary.json").read_text())["languages"]["en"]["bits_per_byte"]
    assert losses[-1] < losses[0]
    assert english < 4  # an untrained model of 512 tokens needs more than four
