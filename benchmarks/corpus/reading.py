"""How fast records are read out of files: MB of UTF-8 text per CPU second, each format beside a peer in the same run.

    python benchmarks/corpus/reading.py

Text: up to 4 MB a language of the shared texts (POLYGLOT_SHARED_DATA, or `shared/data` beside the checkout), copied until each
file is large enough to time. Peers: pyarrow's JSON and Parquet readers to Python text, the standard library's json. Web pages
are that text in a page's clothes, extracted by the child processes of `extract_part`, whose CPU time counts.
"""

import gzip
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
from backports.zstd import compress, decompress

from polyglot_lm.corpus.sources import Files, RawDocument, cut_lines, files_of
from polyglot_lm.corpus.web import WebTask, extract_part, web_files

CODES = ("en", "ko", "zh", "ja", "id", "ms", "vi", "th")
BYTES_A_LANGUAGE = 4_000_000
COPIES = 3


def shared_texts() -> Path:
    given = os.environ.get("POLYGLOT_SHARED_DATA")
    return (Path(given) if given else Path(__file__).parents[2].parent / "shared" / "data") / "text"


def documents(folder: Path) -> Iterator[str]:
    for code in CODES:
        read = 0
        for path in sorted((folder / code).glob("*.jsonl.zst")):
            for line in decompress(path.read_bytes()).splitlines():
                text = json.loads(line)["text"]
                read += len(text.encode())
                yield text
            if read >= BYTES_A_LANGUAGE:
                break


def write_files(folder: Path, texts: list[str]) -> None:
    rows = [{"text": text, "url": f"https://example.org/{number}"} for number, text in enumerate(texts)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode() * COPIES
    contents = {"jsonl/ko.jsonl": lines, "gz/ko.jsonl.gz": gzip.compress(lines, 6), "zst/ko.jsonl.zst": compress(lines)}
    contents["txt/ko.txt"] = "\n\n".join(texts * COPIES).encode()
    for name, content in contents.items():
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(content)
    (folder / "parquet").mkdir()
    table = pa.Table.from_pylist(rows * COPIES)
    pq.write_table(table, folder / "parquet/ko.parquet", compression="zstd", row_group_size=4096)


def cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of three runs."""
    found = []
    for _ in range(3):
        start = cpu_seconds()
        work()
        found.append(cpu_seconds() - start)
    return min(found)


def read_all(source: Files) -> None:
    read = sum(1 for task in source.tasks() for record in task.records() if isinstance(record, RawDocument))
    assert read, source.name


def archive(texts: list[str]) -> tuple[bytes, int]:
    """Return a WARC of pages around the texts, and the bytes of the pages."""
    menu = "".join(f'<li><a href="/{number}">Menu {number}</a></li>' for number in range(60))
    members, size = [], 0
    for number, text in enumerate(texts):
        paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n"))
        page = (
            f"<html><head><title>t</title></head><body><nav><ul>{menu}</ul></nav><main>{paragraphs}</main></body></html>".encode()
        )
        size += len(page)
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.org/{number}\r\n"
            f"WARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
        )
        members.append(gzip.compress(head.encode() + block + b"\r\n\r\n"))
    return b"".join(members), size


def measure(folder: Path) -> dict[str, float]:
    """Return MB/CPU-s by format and peer, from files written into an empty folder."""
    texts = list(documents(shared_texts()))
    megabytes = sum(len(text.encode()) for text in texts) * COPIES / 1e6
    write_files(folder, texts)
    figures = {f"read_{name}_mb_s": megabytes / timed(lambda: read_all(files_of(folder / name, "ko"))) for name in FORMATS}  # noqa: B023
    path = folder / "jsonl/ko.jsonl"
    lines = path.read_bytes().splitlines()
    figures["peer_json_mb_s"] = megabytes / timed(lambda: [json.loads(line)["text"] for line in lines])
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=64 << 20)
    figures["peer_pyarrow_jsonl_mb_s"] = megabytes / timed(
        lambda: pyarrow.json.read_json(path, read_options=options)["text"].to_pylist()
    )
    parquet = folder / "parquet/ko.parquet"
    figures["peer_pyarrow_parquet_mb_s"] = megabytes / timed(
        lambda: pq.read_table(parquet, columns=["text", "url"], use_threads=False)["text"].to_pylist()
    )
    file = files_of(folder / "jsonl", "ko").files[0]
    figures["plan_jsonl_mb_s"] = file.size / 1e6 / timed(lambda: cut_lines(file, 16_000_000))
    content, size = archive(texts[:2000])
    (folder / "web").mkdir()
    (folder / "web/a.warc.gz").write_bytes(content)
    task = WebTask(
        number=0, file=web_files(folder / "web").files[0], out=folder / "out", max_page_bytes=8_000_000, max_page_seconds=20.0
    )
    figures["extract_html_mb_s"] = size / 1e6 / timed(lambda: extract_part(task))
    return figures


FORMATS = ("jsonl", "gz", "zst", "txt", "parquet")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="polyglot-bench-") as folder:
        figures = measure(Path(folder))
    for name, figure in figures.items():
        print(f"{name:28}{figure:10.0f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
