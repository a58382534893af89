"""datatrove 0.10.1 as the oracle of our quality rules: the same documents, FineWeb2's bounds, every statistic and verdict kept.

    python benchmarks/corpus/datatrove_oracle.py [--megabytes 9] [--speed-megabytes 0.3] [CODE ...]

datatrove lives in an environment of its own, made here by pip on first use (PINS); it is never a dependency of ours. Documents
come from the shared text (see `shared_text`), normalised as the corpus normalises; a keyed hash spreads them over a language's
sources, whole, equal bytes from each source as far as it has them. Verdicts take about 8 CPU seconds a megabyte, so they are
kept in a cache outside the repository (POLYGLOT_BENCH_CACHE), under a name that hashes documents and settings.
Last comes datatrove's own speed over the same steps: the denominator of our ratio, in MB of UTF-8 per CPU second.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
import xxhash

from polyglot_lm.corpus.clean import normalize
from polyglot_lm.pipeline import atomic_path, atomic_text

HERE = Path(__file__).parent
WORKER = HERE / "datatrove_worker.py"
SETTINGS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "fineweb2.toml").read_text(encoding="utf-8"))
CACHE = Path(os.environ.get("POLYGLOT_BENCH_CACHE", Path.home() / ".cache" / "polyglot-lm" / "bench"))
PINS = (  # datatrove and the word tokenizers it has for our languages; Kiwi 0.22 and later refuse datatrove's model type
    *("datatrove==0.10.1", "spacy==3.8.18", "kiwipiepy==0.21.0", "jieba==0.42.1", "sudachipy==0.7.0"),
    *(
        "sudachidict-core==20261015",
        "pythainlp==5.4.0",
        "pyvi==0.1.1",
        "ftfy==6.3.1",
        "xxhash<4",
        "nltk",
        "regex",
        "fasteners",
        "tldextract",
        "tokenizers",
    ),
)
VERDICTS = 2  # raised when the worker's values change, so that the cache is not read
KEY = "calibration"  # of the hash that orders documents: another key, another sample
LARGEST_BYTES = 200_000  # documents above are left out: few, and one would be a language's sample
SAMPLE_BYTES, SPEED_BYTES = 9_000_000, 300_000


def shared_text() -> Path:
    """Return the folder of the shared text: `<POLYGLOT_SHARED_DATA>/text`, or ../shared/data/text beside the repository."""
    return Path(os.environ.get("POLYGLOT_SHARED_DATA", HERE.parents[2] / "shared" / "data")) / "text"


def environment() -> Path:
    """Return datatrove's Python, installing it on first use."""
    root = CACHE / "venv-datatrove"
    python = root / "bin" / "python"
    done = root / "installed"
    if not done.exists():
        print(f"installing datatrove into {root} (some minutes)", file=sys.stderr)
        venv.create(root, with_pip=True)
        subprocess.run([python, "-m", "pip", "--quiet", "install", *PINS], check=True, stdout=sys.stderr)
        done.touch()
    return python


def read_source(path: Path) -> Iterator[dict[str, str]]:
    with pa.input_stream(path, compression="zstd") as stream:
        for row in pa.json.read_json(stream, read_options=pa.json.ReadOptions(block_size=1 << 26)).to_pylist():
            yield {"id": f"{path.stem}:{row['id']}", "text": normalize(row["text"])[0]}


def order(document: dict[str, str]) -> int:
    return xxhash.xxh3_64_intdigest(f"{KEY}:{document['id']}".encode())


def sample(code: str, num_bytes: int) -> list[dict[str, str]]:
    """Choose whole documents of all sources of a language, about `num_bytes` of UTF-8; the same every time.

    Sources are served smallest first, each with an equal part of what is left, so what a small one lacks the others give.
    """
    folder = shared_text() / code
    sources = [sorted(read_source(path), key=order) for path in sorted(folder.glob("*.jsonl.zst"))]
    sources.sort(key=lambda documents: sum(len(document["text"]) for document in documents))
    chosen: list[dict[str, str]] = []
    left = num_bytes
    for served, documents in enumerate(sources):
        budget = left / (len(sources) - served)
        for document in documents:
            size = len(document["text"].encode())
            if size <= min(budget, LARGEST_BYTES):
                chosen.append(document)
                budget -= size
                left -= size
    return sorted(chosen, key=order)


def run_worker(mode: str, code: str, documents: Sequence[dict[str, str]]) -> str:
    """Run datatrove's side over the documents and return what it prints."""
    settings = CACHE / f"settings-{code}.json"
    with atomic_text(settings) as file:
        json.dump(SETTINGS[code], file)
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    command = [environment(), WORKER, mode, settings]
    return subprocess.run(command, input=lines, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout


def verdicts(code: str, documents: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Return datatrove's values and reasons for each document, from the cache where they are known."""
    seed = json.dumps([VERDICTS, PINS[0], SETTINGS[code], list(documents)], ensure_ascii=False)
    kept = CACHE / f"verdicts-{code}-{xxhash.xxh3_64_hexdigest(seed.encode())}.jsonl"
    if not kept.exists():
        with atomic_path(kept) as path:
            path.write_text(run_worker("filters", code, documents), encoding="utf-8")
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def speed(code: str, num_bytes: int = SPEED_BYTES) -> dict[str, float]:
    """Return datatrove's MB of UTF-8 per CPU second: of each step and, as `all`, of the steps together."""
    documents = sample(code, num_bytes)
    megabytes = sum(len(document["text"].encode()) for document in documents) / 1e6
    seconds: dict[str, float] = json.loads(run_worker("pipeline", code, documents))
    return {name: megabytes / spent for name, spent in {**seconds, "all": sum(seconds.values())}.items()}


def measure(codes: Sequence[str] = tuple(SETTINGS), num_bytes: int = SPEED_BYTES) -> dict[str, float]:
    """Time datatrove on every language: `datatrove_mb_s_<code>`, and their mean over equal bytes, `datatrove_mb_s`."""
    rates = {code: speed(code, num_bytes)["all"] for code in codes}
    mean = len(rates) / sum(1 / rate for rate in rates.values())
    return {"datatrove_mb_s": mean, **{f"datatrove_mb_s_{code}": rate for code, rate in rates.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", nargs="*", default=list(SETTINGS))
    parser.add_argument("--megabytes", type=float, default=SAMPLE_BYTES / 1e6)
    parser.add_argument("--speed-megabytes", type=float, default=SPEED_BYTES / 1e6)
    options = parser.parse_args()
    for code in options.codes:
        found = verdicts(code, sample(code, int(options.megabytes * 1e6)))
        removed = sum(any(row["reasons"]) for row in found)
        print(f"{code}  {len(found):6,} documents, datatrove removes {removed / len(found):6.1%}", flush=True)
    for code in options.codes:
        rates = "  ".join(f"{name} {rate:7.3f}" for name, rate in speed(code, int(options.speed_megabytes * 1e6)).items())
        print(f"{code}  MB/CPU-s  {rates}", flush=True)


if __name__ == "__main__":
    main()
