"""Whoever starts a command that has something to save hands SIGTERM on to it and waits for its end."""

import signal
import subprocess
import sys
from pathlib import Path

CHILD = """
import pathlib, signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    pathlib.Path(sys.argv[1]).write_text("saved")
    sys.exit(7)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import sys
from polyglot_lm.pipeline.runtime import run_and_hand_on_signals
sys.exit(run_and_hand_on_signals([sys.executable, "-c", sys.argv[1], sys.argv[2]]))
"""


def test_a_signal_reaches_the_command_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, CHILD, str(tmp_path / "saved")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=30) == 7
    assert (tmp_path / "saved").read_text() == "saved"
