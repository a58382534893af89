"""The bench beside lm-evaluation-harness's own scorer, and bits per byte beside a loop over tokens, on one exported model.

    make bench ROOM=evaluation                                          trains a small quickstart first
    python benchmarks/evaluation/run.py --model runs/quickstart/model   --limit 100

Task files come from `../shared/data/eval` beside the repository, or from the folder in POLYGLOT_SHARED_DATA. The peer is
`lm_eval --model hf` (called as its library does) with the best of several batch sizes, in the same process on the same machine;
times are CPU seconds, since the machine may be shared. The last line is one JSON object: max_score_difference (accuracy,
normalised accuracy and macro-F1), max_loglikelihood_difference (nats, of single answers), throughput_ratio (peer's time ÷
ours), bits_difference (bits a byte, largest of single documents).
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
import numpy as np
import torch

from polyglot_lm.evaluation.bench import PROMPTS_FOLDER, read_scores, run_bench
from polyglot_lm.evaluation.catalogue import chosen_tasks
from polyglot_lm.evaluation.content import HubScorer, text_bits
from polyglot_lm.evaluation.models import BenchedModel, load_model
from polyglot_lm.pipeline import Progress, write_json

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "evaluation.json"
TASKS = (  # short and long prompts, answers of one token and of a sentence, one prompt or several
    "kobest_boolq kobest_hellaswag kobest_wic xcopa_th xcopa_zh belebele_kor_Hang belebele_eng_Latn paws_en "
    "global_mmlu_lite_vi xwinograd_jp jnli"
).split()
BATCH_SIZES = (1, 4, 16, 64)
TEXTS = (  # bytes of one character in several tokens, in scripts that a small vocabulary hardly knows
    "ภาษาไทย 🧪🧬 ก็ได้",
    "한글 ㄱㄴㄷ 값 🇰🇷",
    "漢字仮名交じり文 𠮷野家",
    "Tiếng Việt: nghiêng ngả, khuỷu tay",
    "naïve café — “quotes” … \u200b\ufeff",
    "\u0e01\u0e33\u0e1b\u0e31\u0e4d ཨོཾ",
)


def shared_data() -> Path:
    return Path(os.environ.get("POLYGLOT_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))


def small_quickstart(root: Path) -> str:
    command = [sys.executable, "-m", "polyglot_lm.cli", "run", "quickstart", "--root", str(root), "--set", "steps=100"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return str(root / "quickstart" / "model")


def ours(model: BenchedModel, out: Path, limit: int) -> tuple[dict[str, dict[str, float]], dict[str, list[list[float]]], float]:
    """Return metrics and log-likelihoods by task, and CPU seconds."""
    import pyarrow.parquet as pq

    from polyglot_lm.evaluation import harness  # imported before the clock starts, as the peer's is

    data = shared_data() / "eval"
    started = time.process_time()
    failed = run_bench(out, model, chosen_tasks(TASKS, data), data=data, shots=0, limit=limit, progress=Progress())
    seconds = time.process_time() - started
    assert not failed and harness.VERSION, failed
    scores = {score["name"]: {name: found["value"] for name, found in score["metrics"].items()} for score in read_scores(out)}
    return scores, {name: pq.read_table(out / "items" / f"{name}-0.parquet")["choices"].to_pylist() for name in scores}, seconds


def theirs(folder: str, prompts: Path, limit: int, batch_size: int) -> tuple[dict[str, Any], float]:
    """Return the harness's results, and CPU seconds without loading the model."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=folder, batch_size=batch_size, device="cpu", dtype="float32")
    manager = TaskManager(include_path=str(prompts), include_defaults=False)
    started = time.process_time()
    found = simple_evaluate(model=model, tasks=list(TASKS), num_fewshot=0, limit=limit, bootstrap_iters=0, task_manager=manager)
    return found, time.process_time() - started


def differences(
    scores: dict[str, dict[str, float]], answers: dict[str, list[list[float]]], found: dict[str, Any]
) -> tuple[float, float]:
    """Return the largest difference of a score and of a log-likelihood."""
    of_scores, of_answers = [], []
    for name, metrics in scores.items():
        of_scores += [abs(value - found["results"][name][f"{metric},none"]) for metric, value in metrics.items()]
        for mine, sample in zip(answers[name], found["samples"][name], strict=True):
            of_answers += [abs(a - float(b[0])) for a, b in zip(mine, sample["filtered_resps"], strict=True)]
    return max(of_scores), max(of_answers)


@torch.no_grad()
def slow_bits(model: BenchedModel, text: str) -> float:
    """Predict each token by itself from all that stand before it: no window, no batch, no padding."""
    end = model.tokenizer.eos_token_id
    tokens = [end, *model.tokenizer(text, add_special_tokens=False)["input_ids"], end]
    nats = 0.0
    for place in range(1, len(tokens)):
        logits = model.network(torch.tensor([tokens[:place]])).logits[0, -1].double()
        nats -= float(torch.log_softmax(logits, dim=0)[tokens[place]])
    return nats / math.log(2)


def bits_difference(model: BenchedModel) -> float:
    scorer = HubScorer(model)
    bits, cut = text_bits(scorer, scorer.encode(TEXTS), window_bytes=100_000)
    assert not cut
    return max(
        abs(float(np.sum(mine)) - slow_bits(model, text)) / len(text.encode()) for mine, text in zip(bits, TEXTS, strict=True)
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model")
    arguments.add_argument("--limit", type=int, default=100)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.model or small_quickstart(Path(scratch) / "runs")
        model, out = load_model(folder, device="cpu"), Path(scratch) / "bench"
        scores, answers, seconds = ours(model, out, given.limit)
        peers = {size: theirs(folder, out / PROMPTS_FOLDER, given.limit, size) for size in BATCH_SIZES}
        best = min(peers, key=lambda size: peers[size][1])
        of_scores, of_answers = differences(scores, answers, peers[best][0])
        print(f"{'scorer':<28} {'CPU s':>8}\n{'Polyglot':<28} {seconds:8.1f}")
        for size, (_, spent) in peers.items():
            print(f"{f'lm_eval --model hf, batch {size}':<28} {spent:8.1f}{'  best' if size == best else ''}")
        figures = {
            "max_score_difference": of_scores,
            "max_loglikelihood_difference": of_answers,
            "throughput_ratio": round(peers[best][1] / seconds, 3),
            "bits_difference": bits_difference(model),
        }
    times = {"polyglot": round(seconds, 1)} | {f"lm_eval, batch {size}": round(spent, 1) for size, (_, spent) in peers.items()}
    keep(figures, times, given.limit, given.threads)
    print(json.dumps(figures))


def keep(figures: dict[str, float], cpu_seconds: dict[str, float], limit: int, threads: int) -> None:
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system(), "torch": torch.__version__}
    command = " ".join(["python benchmarks/evaluation/run.py", *sys.argv[1:]])
    about = {"command": command, "items_a_task": limit, "tasks": TASKS, "threads": threads}
    write_json(RESULTS, about | {"figures": figures, "cpu_seconds": cpu_seconds, "machine": machine})


if __name__ == "__main__":
    main()
