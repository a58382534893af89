"""Web archives: main text out of pages, the text of WET as it is, and every damaged, strange or hostile record counted."""

import gzip
import random
import zlib
from pathlib import Path
from typing import Any

import brotli
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.page import PageError, decode_page
from polyglot_lm.corpus.sources import RawDocument, files_of
from polyglot_lm.corpus.web import Broken, Page, extract_web, read_archive, web_files
from polyglot_lm.pipeline import Runtime, UserError

TEXT = "안녕하세요 여러분, 오늘은 강가를 따라 천천히 걸었습니다. "
PAGE = f"<html><head><title>t</title></head><body><nav>menu one two</nav><main><p>{TEXT * 9}</p></main></body></html>"
LIMITS: dict[str, Any] = {"max_page_bytes": 1_000_000, "max_page_seconds": 20.0}


def record(number: int, block: bytes, kind: str = "response", content_type: str = "application/http; msgtype=response") -> bytes:
    headers = {
        "WARC-Type": kind,
        "WARC-Target-URI": f"https://example.org/{number}",
        "WARC-Date": "2024-01-02T03:04:05Z",
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012d}>",
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    }
    head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    return head.encode() + block + b"\r\n\r\n"


def response(number: int, body: bytes = PAGE.encode(), status: str = "200 OK", **headers: str) -> bytes:
    fields = {"content_type": "text/html; charset=utf-8", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return record(number, f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)


def run(folder: Path, name: str, content: bytes, workers: int = 1, **limits: Any) -> tuple[dict[str, int], list[Any], list[Any]]:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_bytes(content)
    out = folder / "out"
    total = extract_web(out, files=web_files(folder / "in"), runtime=Runtime(workers=workers), **(LIMITS | limits))
    tables = [
        [row for path in sorted((out / name).glob("*")) for row in pq.read_table(path).to_pylist()]
        for name in ("mul", "quarantine")
    ]
    return dict(total), *tables


def members(*records: bytes) -> bytes:
    return b"".join(gzip.compress(record, mtime=0) for record in records)


def test_the_main_text_of_pages_is_read_by_ingest_for_every_language(tmp_path: Path) -> None:
    content = members(
        record(0, b"crawler: test", "warcinfo", "application/warc-fields"), *(response(number) for number in range(3))
    )
    total, documents, _ = run(tmp_path, "a.warc.gz", content)
    size = len((TEXT * 9).strip().encode())
    assert total == {"records": 3, "documents": 3, "bytes": 3 * size, "bytes_of_pages": 3 * len(PAGE.encode())}
    assert documents[0] == {"url": "https://example.org/0", "text": (TEXT * 9).strip(), "date": "2024-01-02T03:04:05Z"}
    for code in ("ko", "th"):
        (task,) = files_of(tmp_path / "out", code).tasks()
        assert next(task.records()) == RawDocument("*/part-00000.parquet", 0, (TEXT * 9).strip(), url="https://example.org/0")


def test_the_text_of_wet_is_taken_as_it_is(tmp_path: Path) -> None:
    good, bad = (record(number, text, "conversion", "text/plain") for number, text in enumerate([TEXT.encode(), b"\xff\xfe"]))
    total, documents, broken = run(tmp_path, "a.warc.wet.gz", members(good, bad))
    assert [row["text"] for row in documents] == [TEXT]
    assert (total["records"], total["documents"], total["documents_quarantined"]) == (2, 1, 1)
    assert broken[0]["reason"].startswith("no UTF-8")
    assert (broken[0]["origin"], broken[0]["position"]) == ("a.warc.wet.gz", 1)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_what_is_no_page_of_text_is_skipped_and_counted(tmp_path: Path, name: str, number: int) -> None:
    others = [
        response(1, b"gone", status="404 Not Found"),
        response(2, b"\x89PNG", content_type="image/png"),
        response(3, b"<html></html>"),
        record(4, b"not http", "response", "text/dns"),
    ]
    others = others if number else others[::-1]
    records = [response(0), *others, response(5)]
    total, documents, broken = run(tmp_path, name, members(*records) if name.endswith("gz") else b"".join(records))
    skipped = {f"skipped_{reason}": 1 for reason in ("status", "content_type", "without_text", "not_http")}
    assert skipped.items() <= total.items()
    assert (total["records"], len(documents), broken) == (6, 2, [])


@pytest.mark.parametrize(
    ("page_charset", "said", "own"),
    [
        ("utf-8", "utf-8", None),
        ("utf-8", "iso-8859-1", None),
        ("cp949", "euc-kr", None),
        ("cp949", "", "euc-kr"),
        ("cp949", "utf-8", "euc-kr"),
        ("cp949", "", None),
        ("utf-16", "", None),
        ("utf-8-sig", "", "euc-kr"),
        ("cp949", "no-such-charset", "ks_c_5601-1987"),
    ],
)
def test_a_page_is_decoded_by_what_fits(page_charset: str, said: str, own: str | None) -> None:
    page = PAGE.replace("<head>", f'<head><meta charset="{own}">' if own else "<head>")
    assert decode_page(page.encode(page_charset), said or None) == page


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("走る犬と猫が好きです。" * 20, "iso-2022-jp"),
        ("走る犬と猫が好きです。①" * 20, "cp932"),
        ("我们沿着河边散步。" * 20, "gbk"),
        ("เดินเล่นริมแม่น้ำ " * 20, "cp874"),
    ],
)
def test_charsets_of_other_languages(text: str, charset: str) -> None:
    named = {"cp932": "shift_jis", "gbk": "gb2312", "cp874": "tis-620"}.get(charset, charset)
    page = (
        f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={named}"></head><main><p>{text}</p></main></html>'
    )
    assert decode_page(page.encode(charset), None) == page


def test_a_page_that_no_charset_fits_is_refused() -> None:
    with pytest.raises(PageError, match=r"no charset fits \(the server says utf-8, the page None\)"):
        decode_page(bytes(random.Random(0).choices(range(128, 256), k=4000)), "utf-8")


def test_encodings_that_the_crawler_left_are_undone(tmp_path: Path) -> None:
    page = PAGE.encode()
    records = [
        response(0, gzip.compress(page), Content_Encoding="gzip"),
        response(1, zlib.compress(page), Content_Encoding="deflate"),
        response(2, brotli.compress(page), Content_Encoding="br"),
        response(3, b"%x\r\n%s\r\n0\r\n\r\n" % (len(page), page), Transfer_Encoding="chunked"),
        response(4, page, Transfer_Encoding="chunked"),
    ]
    _, documents, _ = run(tmp_path, "a.warc.gz", members(*records))
    assert [row["text"] for row in documents] == [(TEXT * 9).strip()] * 5


BAD_RECORDS = [
    (response(9, b"no gzip", Content_Encoding="gzip"), "damaged body"),
    (response(9, gzip.compress(PAGE.encode())[:-9], Content_Encoding="gzip"), "truncated gzip body"),
    (response(9, b"", Content_Encoding="br"), "truncated br body"),
    (response(9, b"no brotli" * 9, Content_Encoding="br"), "damaged body"),
    (response(9, b"what", Content_Encoding="exi"), "unknown content encoding 'exi'"),
    (response(9, gzip.compress(b"a" * 2_000_000), Content_Encoding="gzip"), "longer than 1,000,000 bytes"),
    (response(9, b"a" * 1_000_001), "longer than 1,000,000 bytes"),
    (response(9, bytes(range(128, 256)) * 9, content_type="text/plain"), "no UTF-8"),
    (response(9).replace(b"WARC/1.0", b"XARC/1.0"), "damaged archive"),
]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_bad_record_costs_itself_alone(tmp_path: Path, name: str) -> None:
    records = [part for number, (bad, _) in enumerate(BAD_RECORDS) for part in (response(number), bad)]
    content = [*records, response(99)]
    total, documents, broken = run(tmp_path, name, members(*content) if name.endswith("gz") else b"".join(content))
    assert [row["url"].rsplit("/", 1)[1] for row in documents] == [*map(str, range(len(BAD_RECORDS))), "99"]
    assert [row["position"] for row in broken] == [2 * number + 1 for number in range(len(BAD_RECORDS))]
    for row, (_, reason) in zip(broken, BAD_RECORDS, strict=True):
        assert row["reason"].startswith(reason)
    assert (total["records"], total["documents_quarantined"]) == (len(content), len(BAD_RECORDS))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), damage=st.sampled_from(["flip", "cut", "insert", "drop", "zeros"]), compressed=st.booleans())
def test_damage_anywhere_costs_few_records_and_never_the_end(tmp_path: Path, seed: int, damage: str, compressed: bool) -> None:
    rng = random.Random(seed)
    records = [response(number, rng.randbytes(rng.randint(10, 3000)).hex().encode()) for number in range(8)]
    parts = [gzip.compress(part) for part in records] if compressed else records
    content = bytearray(b"".join(parts))
    at = rng.randrange(len(content))
    if damage == "flip":
        content[at] ^= 1 + rng.randrange(255)
    elif damage == "cut":
        del content[at:]
    elif damage == "insert":
        content[at:at] = rng.randbytes(500)
    elif damage == "drop":
        del content[at : at + 500]
    else:
        content[at : at + 500] = bytes(len(content[at : at + 500]))
    (tmp_path / "in").mkdir(exist_ok=True)
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    (tmp_path / "in" / ("a.warc.gz" if compressed else "a.warc")).write_bytes(content)
    found = list(read_archive(web_files(tmp_path / "in").files[0], 10**6))
    urls = [int(page.url.rsplit("/", 1)[1]) for page in found if isinstance(page, Page) and page.url.rsplit("/", 1)[1].isdigit()]
    ends = [sum(map(len, parts[: number + 1])) for number in range(8)]
    before = [number for number in range(8) if ends[number] <= at]
    assert urls[: len(before)] == before
    if damage != "cut":
        after = [number for number in range(8) if ends[number] - len(parts[number]) >= at + 500]
        assert urls[len(urls) - len(after[1:]) :] == after[1:]  # the first behind the damage may have been taken for its rest
    if compressed:
        assert len(urls) == 8 or any(isinstance(page, Broken) for page in found) or at in ends


@pytest.mark.parametrize("content", [b"", b"no archive at all\n" * 99])
def test_a_file_that_is_no_archive_stops_nothing(tmp_path: Path, content: bytes) -> None:
    total, documents, broken = run(tmp_path, "a.warc", content)
    assert (documents, len(broken)) == ([], 1 if content else 0)
    assert total.get("records", 0) == len(broken)


def test_a_page_that_takes_too_long_or_too_much_is_killed_alone(tmp_path: Path) -> None:
    deep = b"<div><table><tr><td>" * 20_000  # the parser's time grows with the square of the depth
    total, documents, broken = run(
        tmp_path, "a.warc.gz", members(response(0), response(1, deep), response(2)), max_page_seconds=0.2
    )
    assert [row["url"][-1] for row in documents] == ["0", "2"]
    assert broken[0]["reason"] == "extraction took over 0.2 s"
    assert total["documents_quarantined"] == 1


def test_workers_change_no_byte(tmp_path: Path) -> None:
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        (folder / "in").mkdir(parents=True)
        for part in range(2):
            (folder / "in" / f"{part}.warc.gz").write_bytes(members(response(part), response(9, b"x" * 99, Content_Encoding="br")))
        extract_web(folder / "out", files=web_files(folder / "in"), runtime=Runtime(workers=workers), **LIMITS)
    files = [{path.relative_to(tmp_path / w): path.read_bytes() for path in (tmp_path / w).rglob("*.parquet")} for w in "12"]
    assert files[0] == files[1]
    assert len(files[0]) == 4


def test_a_folder_without_archives_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"no web archive in {tmp_path}; expected \*.warc, "):
        web_files(tmp_path)
