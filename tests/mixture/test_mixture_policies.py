"""Shares always carry their unit, change it without loss, and refuse what is no share; the mixture plan by hand."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.mixture import MIXTURE_FILE, UNITS, Shares, Uniform, Unit, epochs, plan_mixture, read_shares
from polyglot_lm.pipeline import CorruptFileError, UserError, read_json
from polyglot_lm.shards import EncodedDocument, write_tokens

POSITIVE = st.floats(1e-3, 1e3)
UNIT = st.sampled_from(UNITS)


def write_dataset(folder: Path, *, language: str, byte_premium: float, documents: int, tokens: int, num_bytes: int) -> Path:
    rows = (
        EncodedDocument(id=str(n), tokens=[*range(100, 99 + tokens), 2], num_bytes=num_bytes, cluster_size=1, quality=None)
        for n in range(documents)
    )
    description = {"lang": language, "source": "web", "byte_premium": byte_premium, "tokenizer": "t", "upstream": []}
    write_tokens(folder, rows, 512, description)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """English: 10 documents of 50 tokens and 200 bytes. Thai: 5 documents of 40 tokens and 300 bytes, premium 2.5."""
    return {
        "en": write_dataset(tmp_path / "en", language="en", byte_premium=1.0, documents=10, tokens=50, num_bytes=200),
        "th": write_dataset(tmp_path / "th", language="th", byte_premium=2.5, documents=5, tokens=40, num_bytes=300),
    }


@pytest.mark.parametrize(
    "values",
    [{}, {"a": 0.0, "b": 1.0}, {"a": -0.5, "b": 1.5}, {"a": 0.5}, {"a": math.inf}, {"a": math.nan}, {"a": 0.5, "b": 0.500001}],
)
def test_what_is_no_share_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        Shares(unit="tokens", values=values)


def test_an_unknown_unit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unit is 'words'; it must be one of english_bytes, bytes, tokens"):
        Shares(unit="words", values={"a": 1.0})  # type: ignore[arg-type]


@given(st.lists(st.tuples(POSITIVE, POSITIVE, POSITIVE, POSITIVE), min_size=1, max_size=8), UNIT, UNIT)
def test_shares_survive_a_change_of_unit_and_back(sources: list[tuple[float, ...]], unit: Unit, other: Unit) -> None:
    total = sum(source[0] for source in sources)
    shares = Shares(unit=unit, values={f"s{n}": source[0] / total for n, source in enumerate(sources)})
    per_token = {f"s{n}": dict(zip(UNITS, source[1:], strict=True)) for n, source in enumerate(sources)}
    there = shares.converted(other, per_token)
    back = there.converted(unit, per_token)
    assert there.unit == other
    assert back.values == pytest.approx(shares.values)


@given(st.floats(0.01, 0.99), st.floats(0.1, 10))
def test_a_share_in_another_unit_is_weighed_by_what_a_token_holds(share: float, held: float) -> None:
    per_token = {"a": dict.fromkeys(UNITS, 1.0), "b": {"tokens": 1.0, "bytes": held, "english_bytes": 1.0}}
    shares = Shares(unit="tokens", values={"a": share, "b": 1 - share})
    in_bytes = shares.converted("bytes", per_token).values
    assert in_bytes["b"] == pytest.approx((1 - share) * held / (share + (1 - share) * held))


def test_uniform_gives_every_source_the_same() -> None:
    shares = Uniform(unit="bytes").shares({"a": {"bytes": 1.0}, "b": {"bytes": 5.0}, "c": {"bytes": 9.0}})
    assert shares.unit == "bytes"
    assert shares.values == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})


def test_the_plan_equals_a_computation_by_hand(tmp_path: Path, folders: dict[str, Path]) -> None:
    counters = plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=7)
    plan = read_json(tmp_path / MIXTURE_FILE)
    # a token of English holds 200/50 = 4 bytes and 4 English bytes, one of Thai 300/40 = 7.5 bytes and 3 English bytes
    assert plan["per_token"] == {
        "en": {"english_bytes": 4.0, "bytes": 4.0, "tokens": 1.0},
        "th": {"english_bytes": 3.0, "bytes": 7.5, "tokens": 1.0},
    }
    assert plan["shares"] == {"en": 0.5, "th": 0.5}
    # the same reading: tokens 1/4 to 1/3, that is 3 : 4; bytes 3·4 to 4·7.5, that is 12 : 30
    assert plan["shares_in"]["tokens"] == pytest.approx({"en": 3 / 7, "th": 4 / 7})
    assert plan["shares_in"]["bytes"] == pytest.approx({"en": 12 / 42, "th": 30 / 42})
    assert plan["supply_tokens"] == {"en": 500, "th": 200}
    assert (plan["unit"], plan["seed"], plan["vocab_size"]) == ("english_bytes", 7, 512)
    assert plan["languages"] == {"en": "en", "th": "th"}
    # 1,400 tokens are 600 of English (1.2 times all there is) and 800 of Thai (4 times)
    assert epochs(tmp_path, 1400) == pytest.approx({"en": 1.2, "th": 4.0})
    assert counters == {"unit": "english_bytes", "shares": plan["shares"], "supply_tokens": plan["supply_tokens"]}


@pytest.mark.parametrize("unit", UNITS)
def test_the_sampler_is_told_what_a_token_holds_in_the_unit_of_the_shares(
    tmp_path: Path, folders: dict[str, Path], unit: Unit
) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit=unit), seed=3)
    shares, held, seed = read_shares(tmp_path)
    assert shares == Shares(unit=unit, values={"en": 0.5, "th": 0.5})
    assert held == {"english_bytes": {"en": 4, "th": 3}, "bytes": {"en": 4, "th": 7.5}, "tokens": {"en": 1, "th": 1}}[unit]
    assert seed == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_shard_is_named(tmp_path: Path, folders: dict[str, Path], damage: str) -> None:
    path = folders["th"] / "shard-00000.bin"
    data = bytearray(path.read_bytes())
    data[77] ^= 4
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-2])
    with pytest.raises(CorruptFileError, match=r"th/shard-00000\.bin is damaged"):
        plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="tokens"), seed=0)


def test_a_damaged_index_is_named(tmp_path: Path, folders: dict[str, Path]) -> None:
    (folders["en"] / "shard-00000.parquet").write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match=r"en/shard-00000\.parquet is damaged"):
        plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="tokens"), seed=0)


def test_a_source_without_documents_is_refused_by_name(tmp_path: Path, folders: dict[str, Path]) -> None:
    empty = write_dataset(tmp_path / "ko", language="ko", byte_premium=1.3, documents=0, tokens=1, num_bytes=0)
    with pytest.raises(UserError, match="ko"):
        plan_mixture(tmp_path, tokens={**folders, "ko": empty}, policy=Uniform(unit="english_bytes"), seed=0)
