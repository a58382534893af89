"""Logs: facts apart from speed, every log told the same, trackers named or refused, and Weights & Biases really offline."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console as Terminal
from wandb_server import serving

from polyglot_lm.pipeline import Progress, Runtime, UserError
from polyglot_lm.shards import read_metrics
from polyglot_lm.training import logs
from polyglot_lm.training.logs import SPEED_FILE, flat, opened_logs
from polyglot_lm.training.metrics import Throughput

FAST = Throughput(
    tokens_s=63_229.0, english_bytes_s=2.5e5, mfu=0.564, mfu_causal=0.526, of_ceiling=0.658, memory_gib=75.8, data_wait=0.001
)
CONTROL = {"ko": 1.25, "en": 1.0}


def log_some(out: Path, runtime: Runtime = Runtime(), *, until_step: int = 0, writes: bool = True) -> None:
    with opened_logs(out, until_step=until_step, about={"model": {"width": 32}}, runtime=runtime, writes=writes) as opened:
        for step in range(until_step + 10, 31, 10):
            opened.write(step=step, loss=4 - step / 10, tokens=step * 128)
            opened.measured(step, FAST)
        opened.write(step=30, control_bits_per_byte=CONTROL)
        assert (opened.last("loss"), opened.last("control_bits_per_byte"), opened.last("mfu")) == (1.0, CONTROL, None)


def test_facts_and_speed_go_to_files_of_their_own(tmp_path: Path) -> None:
    log_some(tmp_path)
    facts, speed = read_metrics(tmp_path), read_metrics(tmp_path, SPEED_FILE)
    assert [line["step"] for line in facts] == [10, 20, 30, 30]
    assert facts[-1] == {"step": 30, "control_bits_per_byte": CONTROL}
    assert [line["step"] for line in speed] == [10, 20, 30]
    assert speed[0]["mfu"] == FAST.mfu
    assert not {"mfu", "tokens_s"} & set().union(*facts)


def test_both_files_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    log_some(tmp_path)
    whole = [read_metrics(tmp_path, name) for name in ("metrics.jsonl", SPEED_FILE)]
    log_some(tmp_path, until_step=10)
    assert [read_metrics(tmp_path, name) for name in ("metrics.jsonl", SPEED_FILE)] == whole


def test_a_rank_that_does_not_write_tells_nobody(tmp_path: Path) -> None:
    said = io.StringIO()
    log_some(tmp_path, Runtime(progress=Progress(Terminal(file=said)), trackers=("wandb",)), writes=False)
    assert list(tmp_path.iterdir()) == []
    assert said.getvalue() == ""


def test_the_terminal_shows_the_newest_figures_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    quiet = Runtime(progress=Progress(Terminal(file=said, width=300)))
    log_some(tmp_path, quiet)
    assert said.getvalue() == ""
    monkeypatch.setattr(logs, "CONSOLE_SECONDS", 0.0)
    log_some(tmp_path, quiet)
    lines = said.getvalue().splitlines()
    assert lines[0].split() == ["step", "10", "loss", "3.000"]
    assert lines[1].split("  ")[-5:] == ["loss 3.000", "63,229 tok/s", "MFU 56.4%", "75.8 GiB", "waiting 0.1%"]
    assert "held out 1.125 bits/B" in lines[-1]


def test_what_is_no_ordinary_step_is_said_at_once(tmp_path: Path) -> None:
    said = io.StringIO()
    runtime = Runtime(progress=Progress(Terminal(file=said, width=300)))
    with opened_logs(tmp_path, until_step=0, about={}, runtime=runtime, writes=True) as opened:
        opened.write(step=7, skipped="loss", loss=9.0, gradient_norm=3.0)
        opened.write(step=9, rewound_to=5, skipped_windows=[40, 72])
    assert said.getvalue().splitlines() == [
        "  step 7: left out for its loss: loss 9.000, gradient norm 3",
        "  step 9: went back to step 5; windows 40 to 72 are left out",
    ]


def test_an_unknown_tracker_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tracker 'tensorbored'; there are wandb"):
        log_some(tmp_path, Runtime(trackers=("tensorbored",)))


def test_nested_figures_get_names_of_both_levels() -> None:
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b/c": 2, "b/d/e": 3}


def test_without_its_package_wandb_is_asked_for_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install 'polyglot-lm\[wandb\]'"):
        log_some(tmp_path, Runtime(trackers=("wandb",)))


def test_wandb_writes_offline_and_sync_sends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", 40 * "a")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    out = tmp_path / "training-01234567"
    out.mkdir()
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        log_some(out, Runtime(trackers=("wandb",)))
        assert server.configs == server.history == []  # offline: the server is there, and was not called
        (written,) = out.glob("wandb/offline-run-*-training-01234567")
        command = [sys.executable, "-m", "wandb", "sync", "--yes", str(written)]
        subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, timeout=60)
    assert server.configs[0]["model"] == {"value": {"width": 32}}
    assert [row["loss"] for row in server.history if "loss" in row] == [3.0, 2.0, 1.0]
    assert [row["mfu"] for row in server.history if "mfu" in row] == [FAST.mfu] * 3
    assert server.history[-1]["control_bits_per_byte/ko"] == 1.25
    assert [row["step"] for row in server.history] == [10, 10, 20, 20, 30, 30, 30]
