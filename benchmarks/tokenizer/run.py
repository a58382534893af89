"""What a sentence costs in every language under our tokenizer, and how fast it is trained and encodes.

    make bench ROOM=tokenizer

Training text is a spread sample of `../shared/data/text`, balanced by English-equivalent bytes; parity is steered by FLORES-200
dev, figures are of devtest. Each tokenizer is trained by a process of its own, whose time and peak memory count.
Encoding is compared with `encode_batch` of Hugging Face tokenizers in this run, on all of the text, ids and all; speeds are MB
(1e6) of UTF-8 in a CPU second. Prints tables and, as its last line, one JSON object, also in `benchmarks/results/tokenizer.json`;
tokenizers of others are beside ours (see `peers`).

    python benchmarks/tokenizer/run.py --study          vocabularies of 16,384 to 131,072 instead, on 24 MB: tokenizer_study.json
    python benchmarks/tokenizer/run.py --quick          a vocabulary of 4,096 on 2 MB, to see that it works; writes no results
    python benchmarks/tokenizer/run.py --keep FOLDER    tokenizers stay there, and those that are there are not trained again
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent))

import peers

from polyglot_lm.languages import languages
from polyglot_lm.model.config import neox
from polyglot_lm.pipeline import Runtime, read_json, write_json
from polyglot_lm.shards import DocumentWriter, part_path
from polyglot_lm.tokenizer import (
    PLAIN_SHARE,
    Balanced,
    Natural,
    ParallelText,
    Parity,
    Policy,
    Tokenizer,
    encode_corpus,
    train_tokenizer,
)
from polyglot_lm.tokenizer.encode import ENCODE_BATCH, Fast, Reference
from polyglot_lm.tokenizer.parity import measure, read_measurable, read_parallel

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"
DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
DEV, DEVTEST = (DATA / "parallel" / f"flores200_{part}.jsonl.zst" for part in ("dev", "devtest"))
CODES = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en")
STUDY = (16_384, 32_768, 65_536, 100_352, 131_072)
STUDY_MEGABYTES = 24.0
POLICIES: Mapping[str, Policy] = {
    "natural": Natural(),
    "balanced": Balanced(),
    "parity": Parity(parallel=ParallelText(path=DEV), plain_share=PLAIN_SHARE),
}
REPORTED = "parity"
MODELS = {"1.3b": (24, 2048, 16), "3.8b": (32, 3072, 24), "5.8b": (28, 4096, 16), "12.8b": (40, 5120, 40)}  # layers, width, heads


def documents(code: str) -> Iterator[str]:
    """Yield all documents of a language, source after source."""
    for path in sorted((DATA / "text" / code).glob("*.jsonl.zst")):
        for line in pa.input_stream(str(path), compression="zstd").read().split(b"\n"):
            if line:
                yield json.loads(line)["text"]


def write_corpora(root: Path) -> dict[str, Path]:
    """Write all text as corpora, a folder a language."""
    for code in CODES:
        with DocumentWriter(part_path(root / code, 0)) as writer:
            for number, text in enumerate(documents(code)):
                row = {"id": f"{code}{number}", "text": text, "lang": code, "source": "all", "num_bytes": len(text.encode())}
                writer.write({**row, "cluster_size": 1, "split": "train"})
    return {code: root / code for code in CODES}


def train_here(out: Path, root: Path, policy: str, vocab_size: int, max_english_bytes: int) -> None:
    """Train one tokenizer and print its measurements as JSON; run in a process of its own."""
    started = time.monotonic()
    counters = train_tokenizer(
        out,
        corpora={code: root / code for code in CODES},
        byte_premiums={code: languages()[code].byte_premium for code in CODES},
        vocab_size=vocab_size,
        max_english_bytes=max_english_bytes,
        policy=POLICIES[policy],
        spread=True,
    )
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "megabytes": sum(counters["bytes"].values()) / 1e6,
        "minutes": (time.monotonic() - started) / 60,
        "cpu_minutes": (usage.ru_utime + usage.ru_stime) / 60,
        "gigabytes": usage.ru_maxrss * 1024 / 1e9,
        "load": os.getloadavg()[1],
    }
    print(json.dumps(found))


def trained(folder: Path, root: Path, policy: str, vocab_size: int, megabytes: float) -> dict[str, Any]:
    """Train in a process of its own and measure on devtest."""
    out = folder / f"{policy}-{vocab_size}-{megabytes:.0f}mb"
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "training.json").exists():
        english_bytes = int(megabytes * 1e6 / sum(languages()[code].byte_premium for code in CODES))
        arguments = [str(out), str(root), policy, str(vocab_size), str(english_bytes)]
        done = subprocess.run([sys.executable, __file__, "--train", *arguments], check=True, stdout=subprocess.PIPE, text=True)
        write_json(out / "training.json", json.loads(done.stdout.splitlines()[-1]))
    figures = measure(read_measurable(str(out)), read_parallel(DEVTEST, CODES), "en")
    measured = {**read_json(out / "training.json"), **figures, "folder": out.name}
    print(
        f"{policy:<9} {vocab_size:>7,} {measured['mean_tokens_per_sentence']:7.2f} tokens/sentence  Gini {measured['gini']:.4f}  "
        f"max/min {measured['max_min']:.3f}  {measured['megabytes']:5.1f} MB  {measured['minutes']:5.1f} min  "
        f"{measured['cpu_minutes']:5.1f} CPU min  {measured['gigabytes']:5.2f} GB",
        flush=True,
    )
    return measured


def encoding(folder: Path, root: Path, limit_bytes: int) -> dict[str, float]:
    """Encode the text of every language by both libraries, one after the other and cold; exits where one id differs."""
    tokenizer = Tokenizer(folder)
    totals = Counter[str]()
    for code in CODES:
        batches = batches_of(code, limit_bytes)
        fast, library = Fast(tokenizer), Reference(tokenizer).library
        since = time.process_time()
        ours = [fast.encode(batch) for batch in batches]
        found = Counter({"fast": time.process_time() - since})
        for batch, ids in zip(batches, ours, strict=True):
            since = time.process_time()
            theirs = library.encode_batch(batch, add_special_tokens=False)
            found["hf"] += time.process_time() - since
            for number, (one, other) in enumerate(zip(ids, theirs, strict=True), found["documents"]):
                if not np.array_equal(one, other.ids):
                    sys.exit(f"{code}: document {number} has other ids by fastokens than by tokenizers")
            found += Counter(documents=len(batch), bytes=sum(len(text.encode()) for text in batch), tokens=sum(map(len, ids)))
        megabytes = found["bytes"] / 1e6
        print(
            f"encode {code}  {found['documents']:>6,} documents  {megabytes:5.1f} MB  {found['tokens']:>10,} tokens, ids equal  "
            f"fastokens {megabytes / found['fast']:6.1f} MB/s  tokenizers {megabytes / found['hf']:5.2f} MB/s",
            flush=True,
        )
        totals += found
    speeds = {name: totals["bytes"] / 1e6 / totals[name] for name in ("fast", "hf")}
    compared = {f"compared_{name}": totals[name] for name in ("documents", "bytes", "tokens")}
    shards = {"shards": totals["bytes"] / 1e6 / time_shards(folder, root)} if limit_bytes > 10**9 else {}
    return {**speeds, **shards, **compared}


def batches_of(code: str, limit_bytes: int) -> list[list[str]]:
    """Return the documents of a language as the encoder gets them, until they have `limit_bytes`."""
    batches, size, texts = [], 0, documents(code)
    while size < limit_bytes and (batch := list(itertools.islice(texts, ENCODE_BATCH))):
        batches.append(batch)
        size += sum(len(text.encode()) for text in batch)
    return batches


def time_shards(folder: Path, root: Path) -> float:
    """Return the CPU seconds of the whole encoding step: reading, encoding, sampling the reference, writing and checksums."""
    since = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        for code in CODES:
            out = Path(scratch) / code
            encode_corpus(
                *(out,),
                corpus=root / code,
                tokenizer=folder,
                language=code,
                source="all",
                byte_premium=languages()[code].byte_premium,
                runtime=Runtime(workers=1),
            )
    return time.process_time() - since


def embedding_shares(vocab_size: int) -> dict[str, float]:
    """Return the share of the parameters that both embeddings are, by the size of the model."""
    shares = {}
    for name, (layers, width, heads) in MODELS.items():
        model = neox(vocab_size=vocab_size, context=2048, num_layers=layers, width=width, num_heads=heads, rotary_dims=64)
        shares[name] = 2 * vocab_size * width / model.num_parameters
    return shares


def study(folder: Path, root: Path) -> None:
    """Compare sizes of the vocabulary: tokens, parity, and what part of each model its embeddings are."""
    rows = []
    for vocab_size in STUDY:
        pair = {policy: trained(folder, root, policy, vocab_size, STUDY_MEGABYTES) for policy in ("balanced", REPORTED)}
        rows.append({"vocab_size": vocab_size, **pair, "embedding_share": embedding_shares(vocab_size)})
        print("          embeddings " + "  ".join(f"{name} {share:.1%}" for name, share in rows[-1]["embedding_share"].items()))
    write_json(RESULTS / "tokenizer_study.json", {"megabytes": STUDY_MEGABYTES, "plain_share": PLAIN_SHARE, "rows": rows})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--study", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--megabytes", type=float, default=100.0)
    arguments = parser.parse_args()
    if arguments.train:
        out, root, policy, vocab_size, english_bytes = arguments.train
        train_here(Path(out), Path(root), policy, int(vocab_size), int(english_bytes))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        root = folder / "corpora"
        if not root.exists():
            write_corpora(root)
        if arguments.study:
            study(folder, root)
        elif arguments.quick:
            report(folder, root, 4096, 2.0, 500_000)
        else:
            write_json(RESULTS / "tokenizer.json", report(folder, root, 65_536, arguments.megabytes, 2**40))


def report(folder: Path, root: Path, vocab_size: int, megabytes: float, limit_bytes: int) -> dict[str, Any]:
    """Measure everything but the study, print it, and return it."""
    measured = {policy: trained(folder, root, policy, vocab_size, megabytes) for policy in POLICIES}
    best, balanced = measured[REPORTED], measured["balanced"]
    sentences = read_parallel(DEVTEST, CODES)
    others = peers.counted(sentences)
    peers.print_costs("side by side, on the same sentences", {"ours": best, **others})
    peers.print_costs("as published, on dev and devtest", peers.published())
    speeds = encoding(folder / best["folder"], root, limit_bytes)
    figures = {
        "gini_64k": best["gini"],
        "max_min_64k": best["max_min"],
        "cost_over_balanced_bpe": best["mean_tokens_per_sentence"] / balanced["mean_tokens_per_sentence"] - 1,
        "encode_mb_s_core": speeds["fast"],
        "ratio_hf": speeds["fast"] / speeds["hf"],
        "train_minutes_64k": best["minutes"],
        "train_gb_64k": best["gigabytes"],
    }
    print(json.dumps({key: round(value, 4) for key, value in figures.items()}))
    return {**figures, "speeds": speeds, "plain_share": PLAIN_SHARE, "tokenizers": measured, "others": others}


if __name__ == "__main__":
    main()
