"""What all tests share: golden files, sample sentences, and a tiny corpus in eight languages."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from polyglot_lm.shards import DocumentWriter, part_path

# a busy machine is no failure: speed lives in benchmarks/
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

GOLDEN = Path(__file__).parent / "golden"

SENTENCES = {
    "ko": "오늘은 날씨가 맑아서 강가를 따라 천천히 걸었습니다",
    "zh": "今天天气很好，我们沿着河边慢慢地散步",
    "ja": "今日は天気がよかったので、川沿いをゆっくり歩きました",
    "id": "Hari ini cuacanya cerah, jadi kami berjalan pelan di tepi sungai",
    "ms": "Hari ini cuaca baik, maka kami berjalan perlahan-lahan di tebing sungai",
    "vi": "Hôm nay trời đẹp nên chúng tôi đi dạo chậm rãi dọc bờ sông",
    "th": "วันนี้อากาศดี พวกเราจึงเดินเล่นช้า ๆ ริมแม่น้ำ",
    "en": "The weather was fine today, so we walked slowly along the river",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Return a function that compares a value (text, or anything JSON holds) with tests/golden/NAME."""

    def compare(name: str, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        path = GOLDEN / name
        if request.config.getoption("--regenerate"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; run pytest --regenerate and read the diff"
        assert text == path.read_text(encoding="utf-8"), f"{path} differs; if that is meant, run pytest --regenerate"

    return compare


def tiny_texts(code: str, count: int, seed: int = 0) -> list[str]:
    """Return `count` documents made of shuffled pieces of the language's sentence: real script, no real prose."""
    rng = random.Random(f"{code}{seed}")
    pieces = SENTENCES[code].split() if " " in SENTENCES[code] else list(SENTENCES[code])
    glue = " " if " " in SENTENCES[code] else ""
    return [glue.join(rng.choices(pieces, k=rng.randint(12, 40))) for _ in range(count)]


def write_corpus(folder: Path, code: str, count: int = 60) -> Path:
    """Write a corpus folder as `build_corpus` does: every tenth document is test, every tenth from the second control."""
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, text in enumerate(tiny_texts(code, count)):
            writer.write(
                {
                    "id": f"{number:032x}",
                    "text": text,
                    "lang": code,
                    "source": "tiny",
                    "num_bytes": len(text.encode()),
                    "exact_key": f"{number:032x}",
                    "cluster_id": f"{number:032x}",
                    "cluster_size": 1,
                    "split": {0: "test", 1: "control"}.get(number % 10, "train"),
                }
            )
    return folder


@pytest.fixture(scope="session")
def tiny_corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return corpus folders of all eight languages, written once."""
    root = tmp_path_factory.mktemp("corpora")
    return {code: write_corpus(root / code, code) for code in SENTENCES}
