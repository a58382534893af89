"""Which documents are held out: whole clusters, and whole domains where they are known, chosen by a keyed hash.

The hash places a cluster on the interval [0, 1). `test` holds the beginning of its first third, `select` of the second,
`control` of the last, each as much as its share; the rest is `train`. So a document's split depends on nothing but its
cluster or domain, parallel documents (equal ids) fall alike in all languages, and where a language is so small that a share
would hold less than `min_bytes`, the share is doubled until it does, which only adds documents to what was held out.
A domain with more than `max_domain_share` of a language's bytes (Wikipedia, a code forge) is split by cluster instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xxhash

Array = np.ndarray[Any, Any]
HELD_OUT = ("test", "select", "control")
THIRD = 1 / 3
PLACES = 3 << 16  # stretches of the interval in which bytes are counted: a share is met within 0.00001
DOMAIN_SLOTS = 1 << 20  # domains that share a slot are counted together: at worst a small one is split by cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Shares of the text held out, and the key of the hash that chooses it.

    `control` is what a mixture controller may see, `select` is for choosing models, `test` for reporting alone.
    """

    key: str
    control: float
    select: float
    test: float
    min_bytes: int  # of each split, where a share of at most `max_share` can hold as much
    max_share: float
    max_domain_share: float

    def __post_init__(self) -> None:
        for name in (*HELD_OUT, "max_share"):
            if not 0 <= getattr(self, name) <= THIRD:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and a third")
        if self.min_bytes < 0 or not 0 <= self.max_domain_share <= 1:
            raise ValueError(f"min_bytes is {self.min_bytes} and max_domain_share {self.max_domain_share}; give >= 0 and 0 to 1")

    def places(self, units: Iterable[str]) -> Array:
        """Return where the hash places clusters or domains, float64 in [0, 1)."""
        hashes = [xxhash.xxh3_64_intdigest(f"{self.key}:{unit}".encode()) >> 11 for unit in units]
        return np.array(hashes, np.float64) / 2**53


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """The shares in force for one language."""

    shares: Mapping[str, float]

    def of(self, places: Array) -> list[str]:
        return [self.of_one(place) for place in places.tolist()]

    def of_one(self, place: float) -> str:
        third = min(int(place / THIRD), 2)
        name = HELD_OUT[third]
        return name if place - third * THIRD < self.shares[name] else "train"


def weights(places: Array, num_bytes: Array) -> Array:
    """Return the bytes at each of `PLACES` stretches of the interval."""
    return np.bincount((places * PLACES).astype(np.int64), weights=num_bytes, minlength=PLACES).astype(np.int64)


def shares_for(split: Split, bytes_at: Array) -> Shares:
    """Raise the shares of a small language by doubling; `bytes_at` are the summed `weights` of all its documents."""
    shares = {}
    for third, name in enumerate(HELD_OUT):
        share = getattr(split, name)
        while 0 < share < split.max_share and held_bytes(bytes_at, third, share) < split.min_bytes:
            share = min(2 * share, split.max_share)
        shares[name] = share
    return Shares(shares=shares)


def held_bytes(bytes_at: Array, third: int, share: float) -> int:
    start, stop = round(third * THIRD * PLACES), round((third * THIRD + share) * PLACES)
    return int(bytes_at[start:stop].sum())


def domain_of(url: str | None) -> str | None:
    """Return the host of a URL without `www.`, None where there is none."""
    if not url:
        return None
    try:
        host = urlsplit(url).hostname
    except ValueError:  # such as http://[half an address
        return None
    return host.removeprefix("www.") if host else None


def slot_of(domain: str | None) -> int:
    """Return the slot in which a domain's bytes are counted, -1 for none."""
    return -1 if domain is None else xxhash.xxh3_64_intdigest(domain.encode()) % DOMAIN_SLOTS


@dataclass(slots=True)
class DomainBytes:
    """Bytes by slot of domains: 8 MB whatever the number of domains."""

    slots: Array = field(default_factory=lambda: np.zeros(DOMAIN_SLOTS, np.int64))
    total: int = 0

    def add(self, slots: Array, num_bytes: Array) -> None:
        known = slots >= 0
        self.slots += np.bincount(slots[known], weights=num_bytes[known], minlength=DOMAIN_SLOTS).astype(np.int64)
        self.total += int(num_bytes.sum())

    def large(self, max_share: float) -> Array:
        """Return the slots whose domains have more than a share of all bytes."""
        return np.flatnonzero(self.slots > max_share * self.total)
