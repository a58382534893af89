"""The quickstart as a person runs it: the command, in a process of its own, on the real catalogue."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyglot_lm.masking.records import KEY_FILE
from polyglot_lm.training.logs import SPEED_FILE

TINY = ["vocab_size=1024", "width=32", "layers=2", "heads=2", "context=64", "steps=40", "batch_windows=4"]
POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli"]


def command(root: Path, *settings: str) -> list[str]:
    pairs = [part for setting in settings for part in ("--set", setting)]
    return [*POLYGLOT, "run", "quickstart", "--root", str(root), "--checkpoint-seconds", "0.3", *pairs]


def run(root: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root, *settings), capture_output=True, text=True, check=False)


def contents(root: Path) -> dict[str, object]:
    """Return every file that is no lock and does not tell of speed, records and manifests without their measurements."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and ".locks" not in path.parts and path.name != SPEED_FILE:
            data = path.read_bytes()
            name = path.relative_to(root).as_posix()
            measured = path.name == "step.json" or path.parent.name == "manifests"
            found[name] = {**json.loads(data), "measurements": None} if measured else data
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("finished")
    done = run(root, *TINY, "languages=ko,th,en")
    assert done.returncode == 0, done.stderr
    assert "next" in done.stdout and "한국어" in done.stdout
    yield root


def test_a_second_run_does_nothing_and_says_so(finished: Path) -> None:
    before = contents(finished)
    again = run(finished, *TINY, "languages=ko,th,en")
    assert again.returncode == 0
    assert "20 of 20 steps are done already" in again.stderr
    assert contents(finished) == before


def test_changing_the_steps_reruns_training_and_what_follows_only(finished: Path) -> None:
    again = run(finished, *TINY, "languages=ko,th,en", "steps=41")
    assert again.returncode == 0
    ran = [line.split()[1] for line in again.stderr.splitlines() if line.startswith("[")]
    assert ran == ["training", "heldout", "report", "model"]


def test_held_out_ids_are_the_same_in_every_language(finished: Path) -> None:
    from polyglot_lm.shards import read_documents

    held_out = {
        code: {row["id"] for row in read_documents(next(finished.glob(f"corpus/{code}-*")), ("id",), "test")}
        for code in ("ko", "th", "en")
    }
    assert len(held_out["en"]) > 20
    assert held_out["ko"] == held_out["th"] == held_out["en"]


def test_generate_streams_whole_characters(finished: Path) -> None:
    model = str(finished / "quickstart" / "model")
    said = subprocess.run(
        [*POLYGLOT, "generate", model, "--prompt", "브라우저에서", "--max-tokens", "20"], capture_output=True, check=True
    )
    text = said.stdout.decode()
    assert text.startswith("브라우저에서")
    assert len(text) > len("브라우저에서\n")


def test_ctrl_c_ends_with_130_and_one_sentence_and_the_next_run_continues(finished: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, *TINY, "languages=ko,th,en", "steps=1500"),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    wait_for(tmp_path, "training-*/checkpoints/step-*/state.json")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("polyglot: interrupted")
    assert not list(tmp_path.glob("training-*/step.json"))
    again = run(tmp_path, *TINY, "languages=ko,th,en", "steps=1500")
    assert again.returncode == 0
    assert "of 20 steps are done already" in again.stderr
    assert list(tmp_path.glob("training-*/step.json"))


def wait_for(root: Path, pattern: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not list(root.glob(pattern)):
        assert time.monotonic() < until, f"{pattern} never came"
        time.sleep(0.05)


@pytest.mark.slow
def test_killed_at_random_points_and_run_again_gives_the_same_bytes(tmp_path: Path) -> None:
    settings = [*TINY, "steps=200"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    started = time.monotonic()
    assert run(whole, *settings).returncode == 0
    duration = time.monotonic() - started
    cut.mkdir()
    shutil.copy(whole / KEY_FILE, cut)  # drawn once a root: with another key other hashes would be noted of what was masked
    rng, kills = random.Random(7), 0
    while kills < 100:
        process = subprocess.Popen(command(cut, *settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(2.0, duration / 2))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert kills >= 3, "the run ended before it could be killed; the test proves nothing"
    assert contents(cut) == contents(whole)


@pytest.mark.slow
def test_the_full_quickstart_beats_both_references_in_every_language(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 0
    summary = json.loads((tmp_path / "quickstart" / "report" / "summary.json").read_text())
    for code, row in summary["languages"].items():
        assert row["bits_per_byte"] < min(row["xz_bits_per_byte"], row["order0_bits_per_byte"]), code
    assert (tmp_path / "quickstart" / "model" / "README.md").read_text().startswith("---\nlanguage:")
