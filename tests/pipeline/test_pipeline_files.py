"""Files are whole or absent."""

from pathlib import Path

import pytest
import xxhash

from polyglot_lm.pipeline import CorruptFileError, atomic_path, atomic_text, read_json, write_json, xxh3_128_file
from polyglot_lm.pipeline.files import remove_temporaries


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".part.bin.77.tmp", "deep/.part.bin.78.tmp", "part.bin", "deep/notes.tmp", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".step-00000020.tmp" / "deep").mkdir(parents=True)
    remove_temporaries(tmp_path)
    assert not (tmp_path / ".step-00000020.tmp").exists()
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"part.bin", "deep/notes.tmp", ".hidden"}


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "whole"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(failure), atomic_text(path) as file:
        file.write("half")
        raise failure
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_json_comes_back_in_every_script(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ko": "한국어", "numbers": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"ko": "한국어", "numbers": [1, 2.5, None]}
    assert "한국어".encode() in (tmp_path / "a.json").read_bytes()


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[1]", b"\xff\xfe"])
def test_json_that_is_not_ours_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"a\.json is damaged .* delete the folder"):
        read_json(tmp_path / "a.json")


def test_a_checksum_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert xxh3_128_file(tmp_path / "a") == xxhash.xxh3_128_hexdigest(content)
