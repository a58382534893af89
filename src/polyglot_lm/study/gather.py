"""All that a study reads, in one folder that travels: token shards and encoded held-out text, a set for each tokenizer.

    study.json                    languages, byte premiums, what each tokenizer is, a name for the whole
    <tokenizer>/tokens/<code>/    the shards, as `shards` reads them
    <tokenizer>/heldout.npz       <split>.<code>.ids, .lengths (tokens a document), .bytes (its UTF-8), and the tokens' own lengths

A machine with a GPU seldom has the corpus; it needs no text, only this. The same held-out documents, in the same order, are encoded
by every tokenizer, and a long document counts by its beginning, or a few would be most of the test.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from polyglot_lm.mixture import Supply, Unit
from polyglot_lm.pipeline import Counters, UserError, atomic_path, read_json, stage, write_json
from polyglot_lm.shards import TokenDataset, read_documents
from polyglot_lm.tokenizer import ParallelText, Tokenizer
from polyglot_lm.tokenizer.parity import read_parallel

STUDY_FILE, HELDOUT_FILE = "study.json", "heldout.npz"
FLORES = "flores"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scoring:
    """How much is scored: English-equivalent bytes of each split, of each document its beginning; `key` orders the documents."""

    splits: Mapping[str, int]
    document_english_bytes: int
    window_english_bytes: int
    key: str


@stage(version=1)
def gather_study(
    out: Path,
    *,
    corpora: Mapping[str, Path],
    tokenizers: Mapping[str, Path],
    tokens: Mapping[str, Mapping[str, Path]],
    parallel: ParallelText,
    byte_premiums: Mapping[str, float],
    scoring: Scoring,
) -> Counters:
    """Bring shards and held-out text together; raises UserError for a language that has none of a split."""
    texts = {
        (split, code): list(beginnings(folder, split, byte_premiums[code], scoring))
        for split in scoring.splits
        for code, folder in corpora.items()
    }
    for (split, code), found in texts.items():
        if not found:
            raise UserError(f"language {code!r} has no documents for {split!r}; add text, or hold out more")
    texts |= {(FLORES, code): found for code, found in read_parallel(parallel.path, list(corpora)).items()}
    about: dict[str, Any] = {}
    for name, place in tokenizers.items():
        tokenizer = Tokenizer(place)
        for code, folder in tokens[name].items():
            link(folder, out / name / "tokens" / code)
        write_heldout(out / name / HELDOUT_FILE, texts, tokenizer)
        about[name] = {"vocab_size": tokenizer.vocab_size, "end_id": tokenizer.end_id, "hash": tokenizer.hash}
    shards = {
        f"{name}/{code}": read_json(folder / "dataset.json") for name, each in tokens.items() for code, folder in each.items()
    }
    study = {
        "languages": list(corpora),
        "byte_premiums": dict(byte_premiums),
        "tokenizers": about,
        "window_english_bytes": scoring.window_english_bytes,
        "corpus": xxhash.xxh3_64_hexdigest(json.dumps(shards, sort_keys=True).encode()),
    }
    write_json(out / STUDY_FILE, study)
    return {"documents": {f"{split}.{code}": len(found) for (split, code), found in texts.items()}, "corpus": study["corpus"]}


def beginnings(folder: Path, split: str, byte_premium: float, scoring: Scoring) -> Iterator[str]:
    """Yield the beginnings of documents of a split, in the order of a keyed hash, until there is enough."""
    rows = sorted(
        read_documents(folder, ("id", "text"), split),
        key=lambda row: xxhash.xxh3_64_intdigest(f"{scoring.key}:{row['id']}".encode()),
    )
    left, most = scoring.splits[split] * byte_premium, int(scoring.document_english_bytes * byte_premium)
    for row in rows:
        if left <= 0:
            return
        text = row["text"].encode()[:most].decode(errors="ignore")  # a letter cut in two is left out
        left -= len(text.encode())
        yield text


def link(source: Path, target: Path) -> None:
    """Give files a second name in another folder: shards are large, and nobody changes them."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            os.link(path, target / path.name)


def write_heldout(path: Path, texts: Mapping[tuple[str, str], list[str]], tokenizer: Tokenizer) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {"token_lengths": tokenizer.token_lengths}
    for (split, code), found in texts.items():
        encoded = tokenizer.encode_batch(found, parse_special=True)
        arrays[f"{split}.{code}.ids"] = np.array([token for ids in encoded for token in ids], np.int32)
        arrays[f"{split}.{code}.lengths"] = np.array([len(ids) for ids in encoded], np.int64)
        arrays[f"{split}.{code}.bytes"] = np.array([len(text.encode()) for text in found], np.int64)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # names of arrays, never of options


@dataclass(frozen=True, slots=True)
class Documents:
    """Held-out documents: the ids of each, the bytes each token stands for, the bytes of each."""

    ids: list[npt.NDArray[np.int32]]
    lengths: list[npt.NDArray[np.int64]]
    num_bytes: npt.NDArray[np.int64]


class StudyData:
    """A gathered folder; only the tokenizers whose shards came along are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = read_json(folder / STUDY_FILE)
        self.languages: tuple[str, ...] = tuple(self.study["languages"])
        self.byte_premiums: dict[str, float] = self.study["byte_premiums"]
        self.tokenizers = {name: about for name, about in self.study["tokenizers"].items() if (folder / name).is_dir()}

    @cached_property
    def datasets(self) -> dict[str, dict[str, TokenDataset]]:
        """The shards by tokenizer and language."""
        return {
            name: {code: TokenDataset(self.folder / name / "tokens" / code) for code in self.languages} for name in self.tokenizers
        }

    @cached_property
    def supplies(self) -> dict[str, Supply]:
        """What there is of each language by tokenizer, in every unit."""
        units: tuple[tuple[Unit, str], ...] = (("english_bytes", "english_bytes"), ("bytes", "bytes"), ("tokens", "tokens"))
        return {
            name: {code: {unit: float(each.description[key]) for unit, key in units} for code, each in datasets.items()}
            for name, datasets in self.datasets.items()
        }

    def per_token(self, tokenizer: str) -> dict[str, float]:
        """Return the English-equivalent bytes that a token of each language holds."""
        return {code: held["english_bytes"] / held["tokens"] for code, held in self.supplies[tokenizer].items()}

    def heldout(self, tokenizer: str) -> dict[tuple[str, str], Documents]:
        """Return the held-out documents by split and language."""
        arrays = np.load(self.folder / tokenizer / HELDOUT_FILE)
        known = arrays["token_lengths"]
        found = {}
        for name in arrays.files:
            if name.endswith(".ids"):
                split, code, _ = name.split(".")
                ends = np.cumsum(arrays[f"{split}.{code}.lengths"])
                ids = np.split(arrays[name], ends[:-1])
                found[split, code] = Documents(ids, [known[each] for each in ids], arrays[f"{split}.{code}.bytes"])
        return found
