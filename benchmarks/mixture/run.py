"""How fast the sampler reads, starts and finds its place, beside two other readers of the same shards in the same run.

    make bench ROOM=mixture

Seconds are CPU seconds of one process (torch and numpy on one thread), context 2,048, batches of 64 windows, files in the page
cache. Rounds go in turn through all readers and the median counts. Prints a table and as its last line one JSON object, also in
`benchmarks/results/mixture.json`: tokens_s_core, document_us, startup_seconds (a fresh process, imports included, 10,000 shards),
peer_ratio_torch, peer_ratio_datatrove, replay_ms (4,096 windows of a source of 32 M documents), memory_growth_mb (of a process
when a corpus has a hundred times the documents).
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import peers
from start import CONTEXT, open_sampler
from token_datasets import write_index_only, write_many, write_speed

from polyglot_lm.mixture import Prefetcher
from polyglot_lm.pipeline import write_json
from polyglot_lm.pipeline.record import commit

RESULTS = Path(__file__).parents[1] / "results" / "mixture.json"
BATCH, BATCHES, ROUNDS = 64, 60, 5
SHARDS = 10_000
LARGE, SMALL = 32_000_000, 320_000
SEEK = 40_960
KEYS = (
    *("tokens_s_core", "document_us", "startup_seconds", "peer_ratio_torch", "peer_ratio_datatrove"),
    *("replay_ms", "memory_growth_mb"),
)


def our_tokens_a_second(root: Path, *, ahead: bool) -> float:
    sampler = open_sampler(root)
    reader = Prefetcher(sampler, BATCH) if ahead else None
    read = reader.next if reader else lambda: sampler.next_windows(BATCH)
    read()
    begin = time.process_time()
    for _ in range(BATCHES):
        read()
    seconds = time.process_time() - begin
    if reader:
        reader.close()
    return BATCHES * BATCH * CONTEXT / seconds


def document_microseconds(root: Path) -> float:
    """Return what a random document costs, copied and checked, over all shards of a source, each opened before."""
    dataset = open_sampler(root).streams[0].dataset
    numbers = np.random.default_rng(0).permutation(len(dataset)).tolist()
    for number in numbers:
        dataset.document(number)
    begin = time.process_time()
    for number in numbers:
        dataset.document(number).copy()
    return 1e6 * (time.process_time() - begin) / len(numbers)


def started(root: Path, *options: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("start.py")), str(root), *options]
    begin = time.perf_counter()
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {**found, "wall": time.perf_counter() - begin}


def measure(root: Path) -> dict[str, float]:
    write_speed(root / "speed", 16_000_000, 4_000_000)
    rounds: dict[str, list[float]] = {name: [] for name in ("ours", "prefetcher", *peers.LOADERS)}
    for _ in range(ROUNDS):
        rounds["ours"].append(our_tokens_a_second(root / "speed", ahead=False))
        rounds["prefetcher"].append(our_tokens_a_second(root / "speed", ahead=True))
        for name in peers.LOADERS:
            rounds[name].append(peers.tokens_a_second(name, root / "speed", CONTEXT, BATCH, BATCHES))
    speeds = {name: statistics.median(found) for name, found in rounds.items()}
    write_many(root / "many", SHARDS)
    starts = [started(root / "many") for _ in range(ROUNDS)]
    write_index_only(root / "large", LARGE)
    write_index_only(root / "small", SMALL)
    large, small = started(root / "large", "--seek", str(SEEK)), started(root / "small", "--seek", str(SEEK))
    return {
        "tokens_s_core": speeds["ours"],
        "prefetcher_tokens_s_core": speeds["prefetcher"],
        **{f"{name}_tokens_s_core": speeds[name] for name in peers.LOADERS},
        **{f"peer_ratio_{name}": speeds["ours"] / speeds[name] for name in peers.LOADERS},
        "document_us": document_microseconds(root / "many"),
        "startup_seconds": statistics.median(start["cpu"] for start in starts),
        "startup_wall_seconds": statistics.median(start["wall"] for start in starts),
        "replay_ms": 1e3 * large["seek"] / SEEK * 4096,
        "memory_mb": large["megabytes"],
        "memory_growth_mb": large["megabytes"] - small["megabytes"],
    }


def main() -> None:
    peers.install()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "load": os.getloadavg()[1]}
    versions = {package: version(package) for package in ("numba", "numpy", "torch", "xxhash")}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    write_json(
        RESULTS,
        {"figures": rounded, "machine": machine, "versions": versions, "commit": commit(), "command": "make bench ROOM=mixture"},
    )
    for name, value in figures.items():
        print(f"{name:<28} {value:18,.3f}")
    print(json.dumps({name: rounded[name] for name in KEYS}))


if __name__ == "__main__":
    main()
