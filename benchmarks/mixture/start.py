"""One start of a training's reader in a fresh process: open every shard, read the first windows; then go to window N.

    python benchmarks/mixture/start.py FOLDER [--seek N]

Prints one JSON object: CPU seconds from the start of Python to the first batch, CPU seconds of the seek, and the memory of the
process in MB that is not mapped files.
"""

import argparse
import json
import time
from pathlib import Path

from polyglot_lm.mixture import Sampler, Shares
from polyglot_lm.shards import TokenDataset

CONTEXT = 2048


def open_sampler(root: Path) -> Sampler:
    folders = [root] if (root / "dataset.json").exists() else sorted(path for path in root.iterdir() if path.is_dir())
    datasets = {folder.name: TokenDataset(folder) for folder in folders}
    shares = Shares(unit="tokens", values=dict.fromkeys(datasets, 1 / len(datasets)))
    return Sampler(datasets, shares, dict.fromkeys(datasets, 1.0), CONTEXT, seed=1)


def anonymous_megabytes() -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seek", type=int)
    arguments = parser.parse_args()
    sampler = open_sampler(arguments.folder)
    if arguments.seek is None:
        sampler.next_windows(8)
    figures = {"cpu": time.process_time()}
    if arguments.seek:
        sampler.seek(1)
        begin = time.process_time()
        sampler.seek(arguments.seek)
        figures["seek"] = time.process_time() - begin
    print(json.dumps(figures | {"megabytes": anonymous_megabytes()}))


if __name__ == "__main__":
    main()
