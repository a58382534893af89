"""Further scores of documents, off until asked for: lexicons, URL lists, linear and fastText models, each a column `score_<name>`.

In: a batch of texts in normal form with their URLs. Out: a float32 for each, NaN where there is nothing to judge (no text, no URL),
which no bound refuses. What a score means, and from where on a document goes, is the user's to say (bounds `score:<name>`, see
`quality`): we ship no list and no model.

A score is a frozen value that knows its file, not its content, so tasks that carry it stay small; each process opens the file once.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import xxhash

from polyglot_lm.corpus.fasttext_file import labels_in
from polyglot_lm.corpus.lists import entries, given, identity_of
from polyglot_lm.corpus.places import File
from polyglot_lm.corpus.quality import REASONS
from polyglot_lm.pipeline import UserError

__all__ = ["Extra", "FastText", "UrlList", "check_scores", "given"]

Floats = np.ndarray[Any, np.dtype[np.float32]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
DOMAIN = re.compile(r"[\w.:-]+")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
STAGE_REASONS = ("exact_duplicate", "near_duplicate", "contaminated")
MAX_PATH_PARTS = 16
MAX_FASTTEXT_CHARS = 20_000  # about 4,000 words: fastText takes their mean, which moves little after that
LABEL = "__label__"


class Extra(Protocol):
    """A score that ingest adds."""

    @property
    def name(self) -> str: ...

    def identity(self) -> Any: ...

    def scores(self, texts: Sequence[str], urls: Sequence[str | None]) -> Floats: ...


def check_scores(extras: Sequence[Extra]) -> None:
    """Raise UserError for a name that is none, given twice or taken, and for a file that cannot be used."""
    from polyglot_lm.corpus.kernels.statistics import COUNTS, SHARES

    taken = {*COUNTS, *SHARES, "language", "language_confidence", *filter(None, REASONS), *STAGE_REASONS}
    for extra in extras:
        if not NAME.fullmatch(extra.name):
            raise UserError(f"score name {extra.name!r} is not lower-case letters, digits and _ (at most 64); rename it")
        if extra.name in taken:
            raise UserError(f"score name {extra.name!r} is taken by another score or reason; choose another")
        taken.add(extra.name)
        extra.scores([], [])


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlList:
    """Domains, and domain/path prefixes, one a line; the score is 1 for a URL below one of them, 0 for others, NaN for none.

    A domain holds its subdomains, a path what begins with it up to a `/`; scheme, port, `www.`, query and case of the domain do not
    count. Kept as 8 bytes an entry, since public lists have millions.
    """

    name: str
    file: File

    def identity(self) -> Any:
        return identity_of("UrlList", self.name, self.file)

    def scores(self, texts: Sequence[str], urls: Sequence[str | None]) -> Floats:
        """Say for each URL whether it is listed; raises UserError when the list cannot be read."""
        listed, depth = places_of(self.file)
        candidates = [[hash_of(place) for place in above(url, depth)] for url in urls]
        flat = np.array([place for places in candidates for place in places], np.uint64)
        owner = np.repeat(np.arange(len(urls)), [len(places) for places in candidates])
        found = np.bincount(owner, np.isin(flat, listed), len(urls)) > 0
        known = np.array([bool(places) for places in candidates], bool)
        return np.where(known, found, np.nan).astype(np.float32)


@functools.lru_cache(maxsize=32)
def places_of(file: File) -> tuple[Hashes, int]:
    """Return the sorted hashes of a list's entries, and how many parts the longest path has."""
    listed, depth = list[int](), 0
    for entry in entries(file):
        place = place_of(entry)
        if place is None:
            raise UserError(f"{file.address} has the entry {entry!r}, which is no domain; give example.com or example.com/path")
        depth = max(depth, place.count("/"))
        listed.append(hash_of(place))
    if not listed:
        raise UserError(f"{file.address} has no entries; give one domain a line")
    return np.unique(np.array(listed, np.uint64)), min(depth, MAX_PATH_PARTS)


def hash_of(place: str) -> int:
    return xxhash.xxh3_64_intdigest(place.encode(errors="surrogatepass"))


def place_of(url: str) -> str | None:
    """Return domain and path of a URL, with or without its scheme; None where there is no domain."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url.removeprefix('//').removeprefix('*.')}")
        host = (parts.hostname or "").strip(".").removeprefix("www.")
    except ValueError:  # such as http://[half an address
        return None
    if not DOMAIN.fullmatch(host):
        return None
    path = "/".join(part for part in parts.path.split("/") if part)
    return f"{ascii_domain(host)}/{path}".rstrip("/")


def ascii_domain(host: str) -> str:
    """Return a domain in the letters of DNS, so that 한국.kr and its xn-- form are one."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def above(url: str | None, depth: int) -> Iterator[str]:
    """Yield the place of a URL and all that it lies below."""
    place = place_of(url) if url else None
    if place is None:
        return
    host, *path = place.split("/")
    labels = host.split(".")
    paths = ["", *("/" + "/".join(path[:length]) for length in range(1, min(depth, len(path)) + 1))]
    for first in range(len(labels)):
        yield from (".".join(labels[first:]) + below for below in paths)


@dataclass(frozen=True, kw_only=True, slots=True)
class FastText:
    """A supervised fastText model, `.bin` or `.ftz`; the score is the probability of `label` (written without `__label__`).

    White space becomes one space, as fastText reads one line; of a text the first 20,000 characters are looked at. Needs
    polyglot-lm[fasttext].
    """

    name: str
    file: File
    label: str

    def identity(self) -> Any:
        return identity_of("FastText", self.name, self.file, label=self.label)

    def scores(self, texts: Sequence[str], urls: Sequence[str | None]) -> Floats:
        """Return a probability for each text, NaN for none; raises UserError for a model or a label that is not there."""
        predict = predictor_of(self.file, LABEL + self.label.removeprefix(LABEL))
        lines = (" ".join(text[:MAX_FASTTEXT_CHARS].replace("\0", " ").split()) for text in texts)
        return np.fromiter((predict(line) if line else np.nan for line in lines), np.float32, len(texts))


@functools.lru_cache(maxsize=4)
def predictor_of(file: File, label: str) -> Callable[[str], float]:
    try:
        import fasttext
    except ImportError as error:
        raise UserError(f"{file.address} needs fastText; install polyglot-lm[fasttext]") from error
    try:
        labels = labels_in(Path(file.address))
        if label not in labels:
            known = ", ".join(name.removeprefix(LABEL) for name in labels[:8])
            raise UserError(f"{file.address} has no label {label.removeprefix(LABEL)!r}; it has {known}")
        model = fasttext.load_model(file.address)
    except (ValueError, OSError) as error:
        raise UserError(f"{file.address} is no fastText model ({error}); give a whole .bin or .ftz") from error

    def predict(line: str) -> float:
        names, probabilities = model.predict(line, k=-1)
        found: float = dict(zip(names, probabilities, strict=True)).get(label, 0.0)
        return min(1.0, found)  # fastText adds 1e-5 to what it tells

    return predict
