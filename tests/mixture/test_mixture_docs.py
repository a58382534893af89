"""The program of docs/order.md runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
from tiny_sources import write_source

PAGE = Path(__file__).parents[2] / "docs" / "order.md"


def test_the_loop_of_the_page_runs_and_says_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, code in enumerate(("ko", "th")):
        write_source(tmp_path / "tokens" / code / "web", number + 2)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)
    batch, state, windows = names["batch"], names["state"], names["windows"]
    assert batch.tokens.shape == batch.starts.shape == (8, 9)  # type: ignore[attr-defined]
    assert state["num_windows"] == 320 and [entry[0] for entry in state["log"]] == [0, 192]  # type: ignore[index]
    assert isinstance(windows, np.ndarray) and windows.shape == (32, 9)
