"""Two machines, played by two processes of one: the same command on both makes what one machine makes."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import tiny_texts

from polyglot_lm.shards import read_metrics

TINY = ["vocab_size=384", "width=32", "layers=2", "heads=2", "context=64", "steps=20", "batch_windows=4", "optimizer=adamw"]
SECONDS = 240


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def command(root: Path, text: Path, *options: str) -> list[str]:
    settings = [part for setting in (*TINY, "languages=ko,en", f"source={text}") for part in ("--set", setting)]
    common = ["--root", str(root), "--threads", "1", "--workers", "1", "--device", "cpu"]
    return [sys.executable, "-m", "polyglot_lm.cli", "run", "quickstart", *common, *settings, *options]


@pytest.mark.slow
def test_two_nodes_make_what_one_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    for code in ("ko", "en"):
        (tmp_path / "my_text" / code).mkdir(parents=True)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(code, 300))
        (tmp_path / "my_text" / code / "part.jsonl").write_text(rows)
    alone = subprocess.run(
        command(tmp_path / "one", tmp_path / "my_text"), capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert alone.returncode == 0, alone.stderr
    meeting = ["--nodes", "2", "--rendezvous", f"127.0.0.1:{free_port()}", "--node-rank"]
    nodes = [subprocess.Popen(command(tmp_path / "two", tmp_path / "my_text", *meeting, rank)) for rank in "01"]
    try:
        assert [node.wait(timeout=SECONDS) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
            node.wait()
    single, double = (sorted((tmp_path / name).glob("training-*")) for name in ("one", "two"))
    assert [folder.name for folder in single] == [folder.name for folder in double]
    for one, two in zip(read_metrics(single[0]), read_metrics(double[0]), strict=True):
        assert one.keys() == two.keys()
        if "loss" in one:
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert (tmp_path / "two" / "quickstart" / "model" / "config.json").exists()
