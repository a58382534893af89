"""What the guard is trained and measured on: labelled sentences, word lists and neutral text, each in its fixed part.

In: the folder that `sources.toml` describes, and a folder of real text, <language>/*.jsonl(.zst) with `text` and `license`. Out:
sentences, entries and paragraphs. A text's part follows from its hash alone: fold 0 of FOLDS is held out and never trained on.
A folder may also hold rows of one's own, *.jsonl with `text`, `language` and `offensive`, such as curators' labels.
"""

import csv
import io
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.lexicon import Entry

SOURCES = Path(__file__).with_name("sources.toml")
FOLDS = 5
PARAGRAPH_CHARS = (40, 600)
WORD_CATEGORY = "listed word"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A labelled sentence; `fold` follows from its text."""

    text: str
    language: str
    offensive: bool

    @property
    def fold(self) -> int:
        return fold_of(self.text)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Neutral text with its licence; all paragraphs of a document are of one fold."""

    text: str
    language: str
    license: str
    fold: int


def fold_of(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.strip().encode("utf-8", "surrogatepass")) % FOLDS


def described() -> Mapping[str, Any]:
    return tomllib.loads(SOURCES.read_text(encoding="utf-8"))


def read_sentences(folder: Path) -> Iterator[Sentence]:
    """Yield the labelled sentences of a folder, each text once; raises UserError when there are none."""
    seen = set[tuple[str, str]]()
    for sentence in (*described_sentences(folder), *own_sentences(folder)):
        key = sentence.language, sentence.text
        if sentence.text and key not in seen:
            seen.add(key)
            yield sentence
    if not seen:
        raise UserError(f"{folder} has no labelled sentences; give a folder laid out as docs/guard.md says")


def described_sentences(folder: Path) -> Iterator[Sentence]:
    for source in described()["sentences"]:
        for name in source["files"]:
            for text, offensive in rows_of(read_text(folder / name), source):
                if offensive is not None:
                    yield Sentence(text.strip(), source["language"], offensive)


def rows_of(text: str, source: Mapping[str, Any]) -> Iterator[tuple[str, bool | None]]:
    """Yield text and label; None where annotators are divided."""
    if source["format"] == "bar":
        for line in text.splitlines():
            sentence, _, label = line.rpartition("|")
            yield sentence, label.strip() in source["offensive"]
        return
    for row in csv.DictReader(io.StringIO(text)):
        if "label" in source:
            yield row[source["text"]], row[source["label"]] in source["offensive"]
        else:
            votes = sum(int(row[name]) for name in source["for"]) - sum(int(row[name]) for name in source["against"])
            yield row[source["text"]], votes > 0 if votes else None


def own_sentences(folder: Path) -> Iterator[Sentence]:
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            row = json.loads(line)
            if not row.keys() >= {"text", "language", "offensive"} or row["language"] not in languages():
                raise UserError(f"{path}, line {number}: give text, language (a known code) and offensive (true or false)")
            yield Sentence(row["text"].strip(), row["language"], bool(row["offensive"]))


def read_words(folder: Path) -> Iterator[Entry]:
    """Yield the entries of all word lists, unreviewed."""
    for source in described()["words"]:
        for code in source["languages"]:
            for line in read_text(folder / source["file"].format(language=code)).splitlines():
                if line.strip() and not line.startswith("#"):
                    yield Entry(line.strip(), WORD_CATEGORY, code)


def read_text(path: Path) -> str:
    """Read a file or, where there is none, the same compressed; "" where there is neither."""
    for place in (path, path.with_name(f"{path.name}.zst")):
        if place.exists():
            with pa.input_stream(str(place), compression="detect") as stream:
                return str(stream.read().decode("utf-8-sig"))
    return ""


def read_paragraphs(folder: Path, *, per_source: int) -> Iterator[Paragraph]:
    """Yield paragraphs of neutral text, at most so many of each source, spread over its documents.

    Raises UserError where no language's folder is.
    """
    if not any((folder / code).is_dir() for code in languages()):
        raise UserError(f"{folder} has no folder of a language, such as {folder}/ko; give one of real text, <language>/*.jsonl.zst")
    for code in languages():
        for path in sorted((folder / code).glob("*.jsonl*")):
            found = [
                paragraph for line in read_text(path).split("\n") if line for paragraph in cut_document(json.loads(line), code)
            ]
            found.sort(key=lambda paragraph: xxhash.xxh3_64_intdigest(paragraph.text.encode("utf-8", "surrogatepass")))
            yield from found[:per_source]


def cut_document(row: Mapping[str, str], code: str) -> Iterator[Paragraph]:
    least, most = PARAGRAPH_CHARS
    fold = fold_of(row["text"])
    for block in row["text"].split("\n"):
        text = block.strip()[:most]
        if len(text) >= least:
            yield Paragraph(text, code, row.get("license", ""), fold)
