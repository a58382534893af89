"""The corpus stages as users run them: speed of the whole, memory of a worker, Ray, and the bundle of eight languages.

    python benchmarks/corpus/pipeline.py                 speed, Ray and bundle
    python benchmarks/corpus/pipeline.py --gigabytes 20  one language of so much text, resampled: memory whatever the size

Speed is MB of UTF-8 text per CPU second of ingest, deduplication, decontamination, masking and their reading and writing, in one
process whose kernels are compiled and loaded; the mean is over equal bytes a language. Real text: `../shared/data/text`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from polyglot_lm.corpus.ingest import ingest
from polyglot_lm.corpus.quality import thresholds_of
from polyglot_lm.corpus.sources import files_of
from polyglot_lm.languages import language, languages
from polyglot_lm.pipeline import Runtime, Step, in_order, read_json, read_manifests, run_steps
from polyglot_lm.recipes.corpus import corpus, found, ingest_step

SHARED = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli"]
MEGABYTES = 12  # a language: enough that opening files is not what is measured
BIG_LANGUAGE = "en"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BIG_FILE_BYTES = 2_000_000_000


def texts(code: str) -> Iterator[str]:
    """Yield the documents of a language, source by source in turn, so that any beginning holds all kinds."""
    readers = [reader.records() for reader in files_of(SHARED / "text", code).tasks()]
    while readers:
        for reader in list(readers):
            record = next(reader, None)
            if record is None:
                readers.remove(reader)
            else:
                yield record.text


def write_sample(folder: Path, code: str, num_bytes: int) -> int:
    """Write about so many bytes of a language as JSON lines; return the bytes of text."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with (folder / f"{code}.jsonl").open("w", encoding="utf-8") as file:
        for text in texts(code):
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            written += len(text.encode())
            if written >= num_bytes:
                break
    return written


def steps_of(folder: Path, codes: tuple[str, ...]) -> list[Step]:
    recipe = corpus(languages=codes, sources=(str(folder),), benchmarks=(str(SHARED / "eval"), str(SHARED / "parallel")))
    return in_order(recipe.targets)


def speed(folder: Path) -> dict[str, float]:
    """Take each language through all stages twice, the second time measured; the index of evaluation sets is built before."""
    seconds, sizes = {}, {}
    for code in languages():
        sizes[code] = write_sample(folder / "text", code, MEGABYTES * 1_000_000)
        for attempt in ("warm", "measured"):
            steps = [step for step in steps_of(folder / "text", (code,)) if step.name.split("/")[0] != "report"]
            runtime = Runtime(root=folder / attempt / code, workers=1)
            run_steps([step for step in steps if step.name == "contamination"], runtime)
            start = time.process_time()
            run_steps(steps, runtime)
            seconds[code] = time.process_time() - start
    rates = {code: sizes[code] / 1e6 / seconds[code] for code in seconds}
    mean = len(rates) / sum(1 / rate for rate in rates.values())
    return {
        "mb_s_core_mean": mean,
        "mb_s_core_min": min(rates.values()),
        **{f"mb_s_core_{code}": rate for code, rate in rates.items()},
    }


def ray_speedup(folder: Path) -> dict[str, float]:
    """Ingest the same slices on a local Ray of two, by one task at a time and by two; the files must be equal."""
    for part in range(6):
        write_sample(
            folder / "ray" / "ko" / str(part), "ko", 24_000_000
        )  # seconds a task, so that placing them is not what is measured
    step = ingest_step(language("ko"), str(folder / "ray"), thresholds_of("ko"), found(str(folder / "ray"), language("ko"), 0))
    walls, content = {}, {}
    for workers in (2, 1, 2):  # the first starts Ray and loads the kernels in its workers
        out = folder / f"ray-{workers}-{len(walls)}"
        start = time.perf_counter()
        ingest(out, **step.arguments, runtime=Runtime(workers=workers, cluster="local"))
        walls[workers] = time.perf_counter() - start
        content[workers] = {
            path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.suffix in (".parquet", ".bin")
        }
    if content[1] != content[2]:
        raise AssertionError("one and two workers wrote different bytes")
    return {"ray_speedup": walls[1] / walls[2]}


def bundle(folder: Path) -> dict[str, float]:
    """Run the recipe on all shared text with two workers, as a user would; kernels are compiled."""
    command = ["run", "corpus", "--set", f"sources={SHARED / 'text'}", "--set", f"benchmarks={SHARED / 'eval'}"]
    start = time.perf_counter()
    subprocess.run([*POLYGLOT, *command, "--root", str(folder / "bundle"), "--workers", "2"], check=True, stdout=subprocess.DEVNULL)
    minutes = (time.perf_counter() - start) / 60
    return {"bundle_minutes": minutes, "worker_gb_max": worker_gigabytes(folder / "bundle")}


def worker_gigabytes(root: Path) -> float:
    """Return the largest memory of any task of any step."""
    folders = [path.parent for path in root.rglob("step.json") if (path.parent / "manifests").is_dir()]
    return max(manifest.peak_bytes for folder in folders for manifest in read_manifests(folder)) / 1e9


def big(gigabytes: float, folder: Path) -> dict[str, float]:
    """Run the recipe on so much text of one language: real documents with every eighth word replaced, so that few are equal."""
    originals = [text for text in texts(BIG_LANGUAGE) if len(text) < 200_000]
    rng, written, file_number = random.Random(0), 0, 0
    invented = ["".join(rng.choices(LETTERS, k=6)) for _ in range(1_000_000)]
    source = folder / "big" / BIG_LANGUAGE
    source.mkdir(parents=True)
    while written < gigabytes * 1e9:
        with (source / f"{file_number:03d}.jsonl").open("w", encoding="utf-8") as file:
            while file.tell() < BIG_FILE_BYTES and written < gigabytes * 1e9:
                words = rng.choice(originals).split(" ")
                count = -(-len(words) // 8)
                start = rng.randrange(len(invented) - count)
                words[::8] = invented[start : start + count]
                text = " ".join(words)
                file.write(json.dumps({"text": text}) + "\n")
                written += len(text)
        file_number += 1
    return run_big(folder, written)


def run_big(folder: Path, num_bytes: int) -> dict[str, float]:
    start = time.perf_counter()
    settings = (f"sources={folder / 'big'}", f"languages={BIG_LANGUAGE}", "quality=lenient", f"benchmarks={SHARED / 'eval'}")
    command = [*POLYGLOT, "run", "corpus", *(argument for setting in settings for argument in ("--set", setting))]
    subprocess.run([*command, "--root", str(folder / "runs"), "--workers", "2"], check=True)
    wall = time.perf_counter() - start
    records = [read_json(path) for path in (folder / "runs").rglob("step.json")]
    cpu = sum(record["measurements"]["cpu_seconds"] for record in records)
    peak = max(record["measurements"]["peak_bytes"] for record in records) / 1e9
    worker = worker_gigabytes(folder / "runs")
    return {
        "gigabytes": num_bytes / 1e9,
        "minutes": wall / 60,
        "mb_s_core": num_bytes / 1e6 / cpu,
        "worker_gb_max": worker,
        "step_gb_max": peak,
    }


def measure(folder: Path) -> dict[str, float]:
    return {**speed(folder), **bundle(folder), **ray_speedup(folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = big(options.gigabytes, Path(folder)) if options.gigabytes else measure(Path(folder))
    for name, value in figures.items():
        print(f"{name:<22} {value:8.3f}")


if __name__ == "__main__":
    main()
