"""Half an hour of everything: sixteen clients, a kill -9 amid it, and what is left afterwards.

    python benchmarks/serving/load.py [--minutes 30] [--model FOLDER] [--engine NAME] [--log FILE]

The server runs as people run it (`polyglot serve`, with keys, guard and queue), is killed after a sixth of the time and started
again, and is asked to end at the close. Prints a table and as its last line one JSON object:
  rss_growth     resident memory at the end over that after two minutes of warming up, less one (the run after the kill)
  lost_reviews   items of the queue that a client was told of and that are not there afterwards
  load_wrong     answers that were not as they should be: any 5xx but 503, a stream without its end, a connection cut while up
Without --model it serves the 125M shape with random weights: memory and manners do not depend on what is written.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
from load_clients import HELD_WORD, Client, Notes
from random_model import write_random_model

from polyglot_lm.serving.access import add_key
from polyglot_lm.serving.review import Reviews

CLIENTS, SAMPLE_SECONDS, WARM_SECONDS = 16, 5.0, 120.0
POLICY = """
countries = ["kr", "us"]
[prompt.personal]
mask = 1.0
[prompt.words]
hold = 1.0
[completion.words]
hold = 1.0
[completion.offence]
hold = 0.5
[completion.personal]
mask = 1.0
[[lists]]
file = "words.txt"
language = "en"
"""


class Served:
    """A `polyglot serve` of its own, with a folder for keys, policy and queue; it may be killed and started again."""

    def __init__(self, folder: Path, model: Path, log: Path, engine: str) -> None:
        self.folder, self.model, self.log, self.engine = folder, model, log, engine
        self.reviews = f"sqlite:///{folder / 'reviews.db'}"
        (folder / "policy.toml").write_text(POLICY)
        (folder / "words.txt").write_text(f"{HELD_WORD}\n")
        self.keys = [add_key(folder / "keys.json", f"client{number}") for number in range(CLIENTS)]
        self.port = 0
        self.resident: list[tuple[float, int]] = []

    def start(self) -> None:
        words = [sys.executable, "-m", "polyglot_lm.cli", "serve", f"bench={self.model}", "--port", str(self.port)]
        words += ["--engine", self.engine]
        words += ["--keys", str(self.folder / "keys.json"), "--policy", str(self.folder / "policy.toml"), "--reviews", self.reviews]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder)
        assert self.process.stdout
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise SystemExit(f"the server did not start:\n{self.log.read_text()[-3000:]}")
        self.port = int(self.address.rsplit(":", 1)[1])
        while httpx.get(f"{self.address}/ready").status_code != 200:
            time.sleep(0.2)
        self.resident = []

    def sample(self) -> None:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        if found:
            self.resident.append((time.monotonic(), int(found[1])))

    def growth(self) -> float:
        """Return how much larger the last fifth of the samples is than the first fifth after the warm-up, by their medians."""
        begun, end = self.resident[0][0], self.resident[-1][0]
        warm = min(WARM_SECONDS, (end - begun) / 5)
        kilobytes = [found for moment, found in self.resident if moment - begun >= warm]
        part = max(1, len(kilobytes) // 5)
        return statistics.median(kilobytes[-part:]) / statistics.median(kilobytes[:part]) - 1


async def load(served: Served, notes: Notes, seconds: float) -> None:
    """Let the clients behave for so long; kill the server after a sixth of it."""
    end, kill = time.monotonic() + seconds, time.monotonic() + seconds / 6
    clients = [Client(served.address, key, notes, seed) for seed, key in enumerate(served.keys)]
    running = [asyncio.create_task(client.run(lambda: time.monotonic() > end)) for client in clients]
    killed = False
    while time.monotonic() < end:
        await asyncio.sleep(min(SAMPLE_SECONDS, max(0.1, end - time.monotonic())))
        for task in running:
            if task.done():
                task.result()
        if not killed and time.monotonic() > kill:
            killed, notes.up = True, False
            served.process.send_signal(signal.SIGKILL)
            served.process.wait()
            await asyncio.to_thread(served.start)
            notes.up = True
        served.sample()
    await asyncio.gather(*running)


def lost(served: Served, notes: Notes) -> int:
    """Count the items that a client was told of and that the queue does not have."""
    stored = {item.id for item in Reviews(served.reviews).items(limit=10**9)}
    return len(set(notes.reviews) - stored)


def show(served: Served, notes: Notes, code: int) -> None:
    by_behaviour: dict[str, list[str]] = defaultdict(list)
    for (behaviour, status), count in sorted(notes.statuses.items(), key=str):
        by_behaviour[behaviour].append(f"{status}: {count:,}")
    for behaviour, found in by_behaviour.items():
        print(f"{behaviour:<22}{'   '.join(found)}")
    first = sorted(notes.first_seconds)
    if first:
        print(f"first text            p50 {first[len(first) // 2]:.2f} s   p99 {first[len(first) * 99 // 100]:.2f} s")
    print(f"resident              {served.resident[0][1] / 1024:.0f} MB at first, {served.resident[-1][1] / 1024:.0f} MB at last")
    print(f"reviews told          {len(notes.reviews):,}\nended with            {code}")
    for wrong in notes.wrong[:20]:
        print(f"WRONG                 {wrong}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--engine", default="ctranslate2")
    parser.add_argument("--log", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("POLYGLOT_SCRATCH")) as name:
        folder = Path(name)
        model = chosen.model or write_random_model(folder / "model")
        served = Served(folder, model, chosen.log or folder / "server.log", chosen.engine)
        served.start()
        notes = Notes()
        asyncio.run(load(served, notes, chosen.minutes * 60))
        served.process.terminate()
        code = served.process.wait(120)
        show(served, notes, code)
        figures = {"rss_growth": round(served.growth(), 4), "lost_reviews": lost(served, notes), "load_wrong": len(notes.wrong)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
