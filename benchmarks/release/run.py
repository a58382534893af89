"""Measure exports: how exactly they compute what was trained, and what exporting a 1.3B takes.

    make bench ROOM=release                        trains the quickstart first
    python benchmarks/release/run.py ROOT          with the quickstart that has run in ROOT

Prints a table, and as its last line one JSON object:
  max_logits_difference                   fp32, transformers
  greedy_equal                            share of 200 prompts, 25 a language, continued alike; ties within 1e-4 excepted
  int8_top1_min, int8_bits_increase_max   CTranslate2, worst language
  export_minutes_1_3b                     CPU time, proof included; wall time stands beside it
  export_memory_ratio                     largest resident memory over the checkpoint's bytes
The 1.3B has random weights: time and memory do not depend on what they are.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from polyglot_lm.model.config import POLYGLOT_KO
from polyglot_lm.model.generate import Sampling, generate
from polyglot_lm.model.hf import load_hf
from polyglot_lm.pipeline import read_json, write_json
from polyglot_lm.release import hugging_face
from polyglot_lm.release.export import export
from polyglot_lm.release.trained import Trained, find_trained
from polyglot_lm.release.weights import expected_shapes
from polyglot_lm.tokenizer import Tokenizer

POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli"]
RESULTS = Path(__file__).parents[1] / "results"
PROMPT_TOKENS, NEW_TOKENS, TIE = 24, 32, 1e-4
VARIANTS = (("hf", "float32"), ("ctranslate2", "float32"), ("ctranslate2", "int8"), ("gguf", "int8"), ("gguf", "int4"))


def main() -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("POLYGLOT_SCRATCH")) as name:
        scratch = Path(name)
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else quickstart(scratch / "runs")
        model = root / "quickstart" / "model"
        variants = {f"{form} {precision}": variant(model, scratch, form, precision) for form, precision in VARIANTS}
        trained = find_trained(model)
        figures = {
            "max_logits_difference": variants["hf float32"]["logits_difference"],
            "greedy_equal": greedy_equal(trained, scratch / "hf-float32"),
            "int8_top1_min": variants["ctranslate2 int8"]["top1"],
            "int8_bits_increase_max": variants["ctranslate2 int8"]["bits_increase"],
            **large(trained, scratch),
        }
    for name, row in variants.items():
        print(f"{name:<22} logits {row['logits_difference']:8.2g}  top 1 {row['top1']:7.2%}  bits {row['bits_increase']:+8.3%}")
    for name, value in figures.items():
        print(f"{name:<26} {value:12.6g}")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "torch": torch.__version__}
    write_json(
        RESULTS / "release.json",
        {"command": "make bench ROOM=release", "figures": figures, "variants": variants, "machine": machine},
    )
    print(json.dumps(figures))


def quickstart(root: Path) -> Path:
    subprocess.run([*POLYGLOT, "run", "quickstart", "--root", str(root)], check=True, stdout=subprocess.DEVNULL)
    return root


def variant(model: Path, scratch: Path, form: str, precision: str) -> dict[str, Any]:
    """Export and return the worst language of each figure of the proof."""
    proof = export(model, scratch / f"{form}-{precision}", form=form, precision=precision)
    rows = proof.languages.values()
    return {
        "logits_difference": max(row.logits_difference for row in rows),
        "top1": min(row.top1 for row in rows),
        "bits_increase": max(row.bits_increase for row in rows),
        "tokens": sum(row.tokens for row in rows),
        "program": proof.program,
    }


def greedy_equal(trained: Trained, exported: Path) -> float:
    """Return the share of real prompts that our model and transformers continue alike."""
    from transformers import AutoModelForCausalLM

    ours, theirs = load_hf(trained.weights.folder), AutoModelForCausalLM.from_pretrained(exported).eval()
    tokenizer = Tokenizer(trained.tokenizer)
    prompts = [ids[:PROMPT_TOKENS] for texts in trained.texts.values() for ids in tokenizer.encode_batch(texts, parse_special=True)]
    equal = [alike(ours, theirs, tokenizer, prompt) for prompt in prompts]
    print(f"{len(equal)} prompts of {len(trained.texts)} languages, {NEW_TOKENS} tokens each")
    return sum(equal) / len(equal)


def alike(ours: Any, theirs: Any, tokenizer: Tokenizer, prompt: list[int]) -> bool:
    options = {"max_tokens": NEW_TOKENS, "end_id": tokenizer.end_id, "allowed": tokenizer.vocab_size}
    found = list(generate(ours, prompt, **options, sampling=Sampling(temperature=0)))
    given = torch.tensor([[tokenizer.end_id, *prompt]])
    with torch.no_grad():
        whole = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=NEW_TOKENS, do_sample=False)[0]
    continued = [token for token in whole[given.shape[1] :].tolist() if token != tokenizer.end_id]
    if found == continued:
        return True
    place = next(
        (n for n, pair in enumerate(zip(found, continued, strict=False)) if pair[0] != pair[1]), min(len(found), len(continued))
    )
    with torch.no_grad():
        best = ours(torch.tensor([[tokenizer.end_id, *prompt, *found[:place]]]))[0, -1].topk(2).values
    return bool(best[0] - best[1] <= TIE)


def large(trained: Trained, scratch: Path) -> dict[str, float]:
    """Export Polyglot-Ko's 1.3B shape with random weights, by the command line."""
    config = POLYGLOT_KO["1.3b"]
    checkpoint, text = scratch / "1.3b", scratch / "text.jsonl"
    checkpoint.mkdir()
    generator = torch.Generator().manual_seed(0)
    shapes = expected_shapes(config)
    weights: Any = SimpleNamespace(config=config, shapes=shapes, read=lambda name: random_tensor(name, shapes[name], generator))
    hugging_face.write(weights, trained.tokenizer, checkpoint, "float32")
    write_sentences(text, trained.texts)
    size = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
    started = time.monotonic()
    process = subprocess.Popen([*POLYGLOT, "export", str(checkpoint), str(scratch / "large"), "--text", str(text)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the export of the 1.3B failed with status {status}")
    found = read_json(scratch / "large" / "proof.json")
    print(
        f"1.3B: {sum(row['tokens'] for row in found['languages'].values())} tokens proved, wall {time.monotonic() - started:.0f} s"
    )
    return {
        "export_minutes_1_3b": (usage.ru_utime + usage.ru_stime) / 60,
        "export_wall_minutes_1_3b": (time.monotonic() - started) / 60,
        "export_memory_ratio": usage.ru_maxrss * 1024 / size,
    }


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if len(shape) == 2:
        return torch.randn(shape, generator=generator) * 0.02
    return torch.ones(shape) if "norm" in name and name.endswith("weight") else torch.zeros(shape)


def write_sentences(path: Path, texts: Mapping[str, list[str]]) -> None:
    count = min(map(len, texts.values()))
    rows = [{code: documents[n] for code, documents in texts.items()} for n in range(count)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
