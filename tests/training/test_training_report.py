"""The training report: every figure of the lines is drawn, torn and odd lines do no harm, and an empty folder is said."""

import json
import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.pipeline import UserError
from polyglot_lm.training.report import PAGE_FILE, settled_high, smooth, training_page, write_training_report

REASON = "loss <above> all"


def fill(folder: Path, steps: int = 400) -> Path:
    """Write the lines of a training of some steps, one of which was skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    speed = {"tokens_s": 63_000.0, "mfu": 0.56, "mfu_causal": 0.53, "of_ceiling": 0.66, "memory_gib": 75.8, "data_wait": 0.001}
    looked = range(10, steps + 1, 10)
    same = {"gradient_norm": 0.5, "rate_factor": 1.0}
    facts: list[dict[str, object]] = [{"step": s, "tokens": s * 65_536, "loss": 2 + 9 * math.exp(-s / 60), **same} for s in looked]
    speeds = [{"step": step, **speed} for step in looked]
    facts += [{"step": s, "control_bits_per_byte": {"ko": 2 - s / 400, "xx": 1.5}} for s in (200, 400)]
    facts.append({"step": 250, "skipped": REASON, "loss": 99.0, "gradient_norm": 7.0})
    facts.append({"step": 300, "rewound_to": 240, "skipped_windows": [1000, 2000]})
    facts.append({"step": 320, "unit": "tokens", "shares": {"ko": 0.25, "en": 0.75}, "decision": {}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in facts) + '{"step": 4')
    (folder / "speed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in speeds))
    return folder


def test_the_page_draws_what_the_lines_say(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["training", "report", str(fill(tmp_path))])
    assert result.exit_code == 0 and str(tmp_path / PAGE_FILE) in result.output
    page = (tmp_path / PAGE_FILE).read_text()
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "Training loss",
        "Held-out bits per byte (control text)",
        "Gradient norm before clipping",
        "Learning rate, of its peak",
        "Tokens a second, all ranks",
        "Model FLOPs utilization",
        "Peak memory of the first rank",
        "Time spent waiting for data",
        "What happened",
    ]
    assert page.count("<svg") == 8
    assert "한국어" in page and ">xx  1.50<" in page  # a language's name in itself; one that the table lacks keeps its code
    assert "million tokens" in page and "56.0%" in page and "63,000" in page
    assert "left out for its loss &lt;above&gt; all: loss 99.000, gradient norm 7" in page and REASON not in page
    assert "went back to step 240; windows 1,000 to 2,000 are left out" in page
    assert "other shares: ko 25.0%, en 75.0%" in page
    assert page.count("stroke-dasharray") == 3 * 8
    assert ">99<" not in page  # the loss of a step that was left out is in no curve


def test_a_page_can_be_written_elsewhere_and_lines_without_tokens_are_drawn_by_step(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": 2.0}\n')
    page = write_training_report(folder, tmp_path / "pages" / "one.html").read_text()
    assert re.search(r'<polyline points="[^ ]+ [^ ]+"', page)  # two points: that which is not finite has no place
    assert ">step<" in page and "Tokens a second" not in page
    assert [path.name for path in folder.iterdir()] == ["metrics.jsonl"]


def test_a_folder_without_losses_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no losses in .*; give the folder of a training that has begun"):
        write_training_report(tmp_path)


def test_long_curves_are_averaged_and_keep_their_ends() -> None:
    noisy = [(float(x), 1.0 + (-1) ** x) for x in range(100_000)]
    calm = smooth(noisy)
    assert len(calm) <= 201
    assert all(y == pytest.approx(1.0) for _, y in calm)
    assert calm[-1][0] == noisy[-1][0]
    assert smooth(noisy[:300]) == noisy[:300]


def test_the_first_steps_do_not_flatten_the_rest() -> None:
    loss = [(float(x), 11.0 if x < 2 else 3.0 - x / 100) for x in range(100)]
    assert settled_high({"loss": loss}) == pytest.approx(3.0 - 0.03)
    page = training_page("a", [{"step": x, "loss": y} for x, y in loss], [])
    assert ">11<" not in page


def test_a_million_lines_make_a_page_of_some_kilobytes() -> None:
    lines = [{"step": step, "loss": 2.0 + step % 7, "gradient_norm": 1.0, "rate_factor": 1.0} for step in range(1, 100_001)]
    assert len(training_page("long", lines, [])) < 150_000
