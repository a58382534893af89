"""All figures of the corpus, next to datatrove in the same run.

    make bench ROOM=corpus

Prints the tables of its parts and as its last line one JSON object: mb_s_core_mean, mb_s_core_min (whole pipeline),
ratio_datatrove, statistics_mb_s, minhash_mb_s, lsh_mrows_s, worker_gb_max, ray_speedup, dedup_recall_min, dedup_false_max,
datatrove_agreement_min, language_id_min, language_id_ms_id_min, bundle_minutes. datatrove 0.10 gets an environment of its own
under the cache folder; its verdicts on the calibration's documents (a quarter of an hour of one core) are kept there. All figures
of a run go to `benchmarks/results/corpus.json`. Memory on 20 GB: `python benchmarks/corpus/pipeline.py --gigabytes 20`.
"""

import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import calibrate
import datatrove_oracle
import kernels
import language_id
import pipeline

from polyglot_lm.corpus.kernels.ready import compile_kernels
from polyglot_lm.pipeline import Progress, write_json
from polyglot_lm.pipeline.record import commit

RESULTS = Path(__file__).parents[1] / "results" / "corpus.json"
KEYS = (
    *("mb_s_core_mean", "mb_s_core_min", "ratio_datatrove", "statistics_mb_s", "minhash_mb_s", "lsh_mrows_s", "worker_gb_max"),
    *("ray_speedup", "dedup_recall_min", "dedup_false_max", "datatrove_agreement_min", "language_id_min"),
    *("language_id_ms_id_min", "bundle_minutes"),
)
PACKAGES = ("numba", "numpy", "pyarrow", "google-re2", "pycld2", "orjson", "xxhash", "ray")


def main() -> None:
    compile_kernels(Progress())
    with tempfile.TemporaryDirectory() as folder:
        figures = pipeline.measure(Path(folder))
    figures |= datatrove_oracle.measure()
    figures["ratio_datatrove"] = figures["mb_s_core_mean"] / figures["datatrove_mb_s"]
    figures |= kernels.measure()
    figures |= language_id.measure()
    figures |= calibrate.measure()
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg()[1],
    }
    versions = {package: version(package) for package in PACKAGES}
    rounded = {name: round(value, 4) for name, value in sorted(figures.items())}
    write_json(
        RESULTS,
        {"figures": rounded, "machine": machine, "versions": versions, "commit": commit(), "command": "make bench ROOM=corpus"},
    )
    for name in sorted(figures):
        print(f"{name:<32} {figures[name]:10.3f}")
    print(json.dumps({name: rounded[name] for name in KEYS}))


if __name__ == "__main__":
    main()
