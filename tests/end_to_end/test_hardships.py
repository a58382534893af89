"""What happens when the machine or the input is bad, with the real command."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import tiny_texts

POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli", "run", "quickstart"]
TINY = "vocab_size=384 width=32 layers=2 heads=2 context=64 steps=20 batch_windows=4 languages=ko,en".split()


def run(root: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    pairs = [part for setting in (*TINY, *settings) for part in ("--set", setting)]
    return subprocess.run([*POLYGLOT, "--root", str(root), *pairs], capture_output=True, text=True, check=False)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of complaint; there must be no more."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    complaints = [line for line in done.stderr.splitlines() if line.startswith("polyglot: ")]
    assert len(complaints) == 1
    return complaints[0]


def write_source(folder: Path, count: int = 200) -> Path:
    for code in ("ko", "en"):
        (folder / code).mkdir(parents=True)
        rows = "".join(f'{{"text": "{text}"}}\n' for text in tiny_texts(code, count))
        (folder / code / "part.jsonl").write_text(rows)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of two megabytes; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk is not permitted here")
    return place


def test_a_full_disk_is_named_and_more_space_lets_the_next_run_finish(small_disk: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "text")
    try:
        done = run(small_disk, f"source={source}", "width=128", "heads=4")
        assert "is full" in sentence(done)
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
        assert run(small_disk, f"source={source}", "width=128", "heads=4").returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(small_disk)], check=True)


def test_a_language_that_is_empty_after_filtering_is_named(tmp_path: Path) -> None:
    source = write_source(tmp_path / "text")
    (source / "ko" / "part.jsonl").write_text('{"text": "only English words stand in this Korean file, sadly"}\n')
    complaint = sentence(run(tmp_path / "runs", f"source={source}"))
    assert "'ko'" in complaint and "removed/" in complaint
    assert list((tmp_path / "runs").glob("corpus/en-*/step.json")), "the other languages are built all the same"
    assert not list((tmp_path / "runs").glob("tokenizer-*/step.json"))


def test_what_cannot_be_read_is_left_out_and_the_exit_code_says_so(tmp_path: Path) -> None:
    source = write_source(tmp_path / "text")
    (source / "ko" / "broken.jsonl.gz").write_bytes(b"this is no gzip")
    (source / "ko" / "part.jsonl").open("a").write('{"text": 1}\n')
    for _ in range(2):  # a second run does nothing, and says it again
        done = run(tmp_path / "runs", f"source={source}")
        assert done.returncode == 3
        complaint = done.stderr.splitlines()[-1]
        assert complaint.startswith("polyglot: 2 documents and 0 slices could not be read")
        quarantine = Path(complaint.split()[-1])
    reasons = [row["reason"] for part in quarantine.iterdir() for row in pq.read_table(part).to_pylist()]
    assert len(reasons) == 2
    assert "gz" in " ".join(reasons)


def test_a_file_that_changes_between_runs_is_read_again(tmp_path: Path) -> None:
    source = write_source(tmp_path / "text")
    assert run(tmp_path / "runs", f"source={source}").returncode == 0
    with (source / "ko" / "part.jsonl").open("a") as file:
        file.write(f'{{"text": "{tiny_texts("ko", 1, seed=9)[0]}"}}\n')
    again = run(tmp_path / "runs", f"source={source}")
    assert again.returncode == 0
    assert "documents/ko/text" in again.stderr
    assert "documents/en/text" not in again.stderr


def test_a_damaged_token_shard_is_named(tmp_path: Path) -> None:
    source, root = write_source(tmp_path / "text"), tmp_path / "runs"
    assert run(root, f"source={source}").returncode == 0
    shard = next(root.glob("tokens/ko/text-*/shard-00000.bin"))
    data = bytearray(shard.read_bytes())
    data[::50] = bytes(byte ^ 1 for byte in data[::50])  # in all documents: only those that are read are looked at
    shard.write_bytes(data)
    assert str(shard) in sentence(run(root, f"source={source}", "steps=21"))


def test_without_network_the_wheel_is_named(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_TIMEOUT": "1", "PIP_CONFIG_FILE": os.devnull}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | nowhere
    environment["POLYGLOT_CACHE"] = str(tmp_path / "cache")
    done = subprocess.run(
        [*POLYGLOT, "--root", str(tmp_path / "runs")], env=environment, capture_output=True, text=True, check=False
    )
    assert "PyQt6-WebEngine-Qt6==6.7.3" in sentence(done)


def test_a_ninth_language_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """French, which the catalogue has and the table has not: one entry, and its corpus is built."""
    from polyglot_lm.languages import table
    from polyglot_lm.pipeline import Runtime, run_steps
    from polyglot_lm.recipes.quickstart import quickstart

    entry = table.TABLE.read_text(encoding="utf-8").partition("[vi]")[2].partition("\n[")[0]
    french = entry.replace("vie", "fra").replace('"Tiếng Việt"', '"Français"').replace('countries = ["vn"]', "countries = []")
    extended = tmp_path / "table.toml"
    extended.write_text(table.TABLE.read_text(encoding="utf-8") + "\n[fr]" + french, encoding="utf-8")
    monkeypatch.setattr(table, "TABLE", extended)
    table.languages.cache_clear()
    try:
        recipe = quickstart(languages=("fr", "ko"))
        corpus = next(step for step in recipe.results["model"].parents if step.name == "corpus/fr")
        folder = run_steps([corpus], Runtime(root=tmp_path / "runs"))["corpus/fr"]
        assert (folder / "step.json").exists()
    finally:
        table.languages.cache_clear()
