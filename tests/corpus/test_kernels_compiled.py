"""Compiled kernels: kept on disk, and never taken from the cache of another text."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.minhash import band_keys, hash_bands, sign, signatures
from polyglot_lm.pipeline import compiled

SHARED = """from pathlib import Path
from polyglot_lm.pipeline.compiled import Kernels
kernel = Kernels([Path("one.py"), Path("other.py")])
"""
ONE = "from shared import kernel\n@kernel\ndef number():\n    return {}\n"
OTHER = """from shared import kernel
from one import number
@kernel
def twice():
    return 2 * number()
print(twice())
"""


def printed(folder: Path, cache: Path) -> int:
    """Run `other` and return what it prints."""
    command = [sys.executable, "-c", "import other"]
    paths = os.pathsep.join([str(Path(compiled.__file__).parents[2]), str(folder)])
    environment = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(cache)}
    return int(subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout)


def test_a_change_in_one_file_recompiles_the_kernels_of_another(tmp_path: Path) -> None:
    folder, cache = tmp_path / "code", tmp_path / "cache"
    folder.mkdir()
    (folder / "shared.py").write_text(SHARED)
    (folder / "other.py").write_text(OTHER)
    (folder / "one.py").write_text(ONE.format(1))
    assert printed(folder, cache) == 2
    compiled_files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}
    assert compiled_files
    assert printed(folder, cache) == 2
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")} == compiled_files
    (folder / "one.py").write_text(ONE.format(2))
    assert printed(folder, cache) == 4


def test_a_kernel_is_compiled_once_whatever_may_be_written() -> None:
    for batch in (
        TextBatch.from_texts(["a"]),
        TextBatch.of(pa.array(["a", "b"])),
        TextBatch.of(pa.array(["a", "b"], pa.large_string())[1:]),
        TextBatch(np.zeros(1, np.uint8), np.array([0, 1])),
    ):
        found = signatures(batch, 5)
        signed = found.copy()
        signed.flags.writeable = False
        assert (band_keys(found) == band_keys(signed)).all()
    assert len(sign.signatures) == len(hash_bands.signatures) == 1
