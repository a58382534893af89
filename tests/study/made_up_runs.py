"""Records of runs that never were, with known truth, for the statistics of a study to find. No figure of them leaves a test.

ln bits of language t = level_t − γ·ln(content_t / D) − Σ gives[s, t]·(content_s / D) − size effect + seed noise, and every document
has its own difficulty and, per run, its own luck.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CODES = ("en", "ko", "ja", "zh", "id", "ms", "vi", "th")
CONTENT = 7e6  # D, English-equivalent bytes of a language in a uniform mixture
UNIFORM = dict.fromkeys(CODES, 1 / 8)
SKEW = {"en": 0.574, "zh": 0.310, "vi": 0.052, "id": 0.024, "ko": 0.01, "ja": 0.01, "ms": 0.01, "th": 0.01}
RAW = {"en": 0.158, "ko": 0.132, "ja": 0.125, "zh": 0.171, "id": 0.146, "ms": 0.142, "vi": 0.114, "th": 0.012}
PARAMETERS = {"10m": 10_000_000, "27m": 27_000_000, "110m": 110_000_000}


@dataclass(kw_only=True)
class World:
    """The truth that made-up runs follow, and the folder they lie in."""

    folder: Path
    own: float = 0.10  # γ: what ln bits fall by for e times the content
    gives: float = 0.01  # of a language with no kin
    kin: Mapping[frozenset[str], float] = field(
        default_factory=lambda: {frozenset(("id", "ms")): 0.08, frozenset(("ko", "ja")): 0.05}
    )
    seed_noise: float = 0.002
    document_noise: float = 0.02
    num_documents: int = 60

    def ln_bits(self, content: Mapping[str, float], target: str, size: str, *, seed: int, run: int) -> float:
        level = math.log(1.0 + 0.1 * CODES.index(target)) - 0.03 * math.log(PARAMETERS[size] / 27e6)
        amount = max(content.get(target, 0), 0.001 * CONTENT)
        received = sum(
            self.kin.get(frozenset((source, target)), self.gives) * other / CONTENT
            for source, other in content.items()
            if source != target
        )
        return level - self.own * math.log(amount / CONTENT) - received + self.seed_noise * noise(seed, run, CODES.index(target))

    def write(
        self,
        stage: str,
        arm: str,
        shares: Mapping[str, float],
        *,
        seed: int = 0,
        size: str = "27m",
        content: float = 8 * CONTENT,
        setting: tuple[int, float] = (64, 1e-3),
        penalty: float = 0.0,
        documents: bool = True,
        **more: Any,
    ) -> Path:
        """Write one run; `penalty` is added to ln bits, as a bad setting does."""
        run = len(list(self.folder.rglob("run.json")))
        amounts = {code: share * content for code, share in shares.items()}
        logs = {code: self.ln_bits(amounts, code, size, seed=seed, run=run) + penalty for code in CODES}
        read = shares if len(shares) == 1 else CODES
        folder = (
            self.folder
            / stage
            / f"{arm}-{'-'.join(shares) if len(shares) < 3 else run}-{size}-{seed}-{setting[0]}-{setting[1]}-{run}"
        )
        folder.mkdir(parents=True)
        bits = {code: math.exp(logs[code]) for code in read}
        if documents:
            bits = self.write_documents(folder / "documents.npz", logs, read, run)
        record = {
            "stage": stage,
            "arm": arm,
            "size": size,
            "parameters": PARAMETERS[size],
            "seed": seed,
            "batch_windows": setting[0],
            "context": 512,
            "learning_rate": setting[1],
            "tokenizer": "parity",
            "corpus": "made-up",
            "english_bytes_seen": amounts,
            "tokens_seen": {code: amount / 4 for code, amount in amounts.items()},
            "share_planned": dict(shares),
            "share_realised": {code: share * (1 + 0.001 * noise(seed, run, 99)) for code, share in shares.items()},
            "epochs_read": {code: amount / 25e6 for code, amount in amounts.items()},
            "bits_per_byte": {
                "test": bits,
                "select": {code: value * 1.01 for code, value in bits.items()},
                "flores": {code: value * 1.05 for code, value in bits.items()},
            },
            "document_bits": "documents.npz" if documents else None,
            "seconds": 10.0,
            "tokens_s": 1.6e6,
            "mfu": 0.4,
            "card": "made up",
            "torch": "2.13",
            "steps": 1000,
        }
        (folder / "run.json").write_text(json.dumps(record | more))
        return folder

    def write_documents(self, path: Path, logs: Mapping[str, float], read: Any, run: int) -> dict[str, float]:
        """Keep the bits of every document; returns bits per byte of the whole, which the documents' luck has moved."""
        arrays, bits = {}, {}
        for code in read:
            fixed = np.random.default_rng([7, CODES.index(code)])
            num_bytes = fixed.integers(500, 5000, self.num_documents).astype(np.float32)
            difficulty = fixed.normal(0, 0.2, self.num_documents)
            luck = np.random.default_rng([11, run, CODES.index(code)]).normal(0, self.document_noise, self.num_documents)
            own = (num_bytes * np.exp(logs[code] + difficulty + luck)).astype(np.float32)
            arrays |= {f"{code}_bits": own, f"{code}_bytes": num_bytes}
            bits[code] = float(own.sum(dtype=float) / num_bytes.sum(dtype=float))
        np.savez(path, **arrays)
        return bits


def noise(*key: int) -> float:
    return float(np.random.default_rng(key).standard_normal())


def write_arms(world: World, *, seeds: int = 5, size: str = "27m") -> None:
    """Write references with a small sweep, and the arms whose contrasts are the endpoints."""
    for code in CODES:
        for setting, penalty in {(4, 1e-3): 0.03, (8, 1e-3): 0.0, (16, 1e-3): 0.04, (8, 2e-3): 0.05}.items():
            for seed in range(3 if not penalty else 1):
                world.write(
                    "references", "reference", {code: 1.0}, seed=seed, size=size, content=CONTENT, setting=setting, penalty=penalty
                )
    for arm, shares in {"bloom": SKEW, "uniform": UNIFORM, "raw-bytes": RAW, "controller-from-raw": UNIFORM}.items():
        for seed in range(seeds):
            world.write("arms", arm, shares, seed=seed, size=size)
