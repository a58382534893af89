"""The index for Megatron, read back field by field by a reader that follows its file format and nothing of ours."""

import struct
from pathlib import Path

import numpy as np
import pytest

from polyglot_lm.cli import app
from polyglot_lm.shards import EncodedDocument, tokens, write_tokens

DOCUMENTS = [[5, 6, 2], [7, 2], [8, 9, 10, 2], [2]]


def read(index: Path) -> list[list[int]]:
    raw = index.read_bytes()
    assert raw[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", raw, 9)
    assert (version, documents) == (1, sequences + 1)
    place = 9 + 8 + 1 + 8 + 8
    sizes = np.frombuffer(raw, "<i4", sequences, place)
    pointers = np.frombuffer(raw, "<i8", sequences, place + 4 * sequences)
    bounds = np.frombuffer(raw, "<i8", documents, place + 12 * sequences)
    assert len(raw) == place + 12 * sequences + 8 * documents
    assert bounds.tolist() == list(range(documents))
    dtype = {8: np.uint16, 4: np.int32}[code]
    data = index.with_suffix(".bin").read_bytes()
    return [np.frombuffer(data, dtype, size, start).tolist() for size, start in zip(sizes, pointers, strict=True)]


@pytest.mark.parametrize("vocab_size", [512, 100_352])
def test_every_document_is_a_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], vocab_size: int
) -> None:
    monkeypatch.setattr(tokens, "SHARD_TOKENS", 5)
    rows = (EncodedDocument(id=str(n), tokens=ids, num_bytes=1, cluster_size=1, quality=None) for n, ids in enumerate(DOCUMENTS))
    write_tokens(tmp_path, rows, vocab_size, {"byte_premium": 1.0})
    app(["tokenizer", "megatron", str(tmp_path)], standalone_mode=False)
    indexes = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in indexes] == ["shard-00000.idx", "shard-00001.idx"]
    assert [sequence for path in indexes for sequence in read(path)] == DOCUMENTS
