"""The benchmarks of scaling, tiny and over gloo: predictions come first, layouts learn alike, lost ranks change nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import make_inputs

from polyglot_lm.training.gpus import gpu_named

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "training"
sys.path.insert(0, str(BENCHMARKS))
import real  # noqa: E402
import scaling  # noqa: E402

SECONDS = 580  # two ranks need about 20 on two quiet cores


@pytest.mark.parametrize(("plan", "gpu"), [("two", "h200"), ("eight", "h100")])
def test_every_run_is_predicted_to_fit_its_card(plan: str, gpu: str) -> None:
    for name in scaling.PLANS[plan]:
        found = scaling.predict(scaling.Run.named(name), gpu_named(gpu))
        assert found["memory_gib"] < 0.95 * gpu_named(gpu).memory_gib, name
        assert 0.3 < found["mfu"] < 0.9, name


def test_messages_of_split_matrices_cost_time() -> None:
    split, shared = (
        scaling.predict(scaling.Run.named(f"12.8b:bf16:8:{layout}:4:8:full"), gpu_named("h100")) for layout in ("tp2", "fsdp")
    )
    assert split["tokens_s_gpu"] < shared["tokens_s_gpu"]


def test_nothing_is_measured_that_was_not_predicted(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="tiny:bf16:2:fsdp:2:2:none was not predicted; do that first"):
        scaling.measure_all(
            tmp_path / "result", {"predicted": {}, "measured": {}}, "", tmp_path, ["tiny:bf16:2:fsdp:2:2:none"], "cpu"
        )


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple)))
def test_covered_counts_every_moment_once(spans: list[Any]) -> None:
    assert real.covered(iter(spans)) == len({moment for start, end in spans for moment in range(start, end)})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    (root / "corpora").mkdir()
    for code, folder in make_inputs(root, tiny_corpora).corpora.items():
        (root / "corpora" / code).symlink_to(folder)
    return root


def run(*words: object) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run([sys.executable, *map(str, words), "--device", "cpu"], env=environment, timeout=SECONDS, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(("gpus", "layouts"), [(2, ("fsdp", "copies")), (4, ("hsdp2", "tp2"))])
def test_layouts_are_measured_and_learn_alike(tmp_path: Path, inputs: Path, gpus: int, layouts: tuple[str, ...]) -> None:
    micro_batches = {"tp2": 8 // (gpus // 2)}  # all read eight windows at once
    names = [f"tiny:bf16:{gpus}:{layout}:{micro_batches.get(layout, 8 // gpus)}:2:none" for layout in layouts]
    result, script = tmp_path / "result.json", BENCHMARKS / "scaling.py"
    run(script, result, "predict", *names)
    run(script, result, "measure", inputs, tmp_path / "scratch")
    first, second = (json.loads(result.read_text())["measured"][name] for name in names)
    assert first["tokens_s_gpu"] > 0 and first["losses"][-1] < first["losses"][0]
    assert first["losses"] == pytest.approx(second["losses"], rel=0.05)  # every layout draws other weights here


@pytest.mark.slow
@pytest.mark.parametrize(("job", "ranks"), [("reshard", "2,1,2"), ("kill", "2")])
def test_ranks_that_are_lost_change_no_loss(tmp_path: Path, inputs: Path, job: str, ranks: str) -> None:
    run(BENCHMARKS / "survive.py", inputs, tmp_path, job, "tiny", ranks, "--micro-batch", "2", "--out", tmp_path)
    found = json.loads((tmp_path / f"training-survive-{job}-tiny.json").read_text())
    assert found["same_steps"]
    assert found["largest_difference"] < 2e-3
    if job == "reshard":
        assert list(found["ranks_that_saved"].values())[:2] == [2, 1]
