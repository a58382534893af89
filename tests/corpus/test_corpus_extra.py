"""Further scores: lexicons against a slow twin, URL lists, and both through the stages."""

import gzip
import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given as suppose
from hypothesis import settings
from hypothesis import strategies as st
from stages import anything, decided, reading, write
from stages import files_of as files_in

from polyglot_lm.corpus.extra import UrlList, check_scores
from polyglot_lm.corpus.ingest import ingest
from polyglot_lm.corpus.lexicon import Lexicon, folded
from polyglot_lm.corpus.lists import given
from polyglot_lm.corpus.quality import Bound
from polyglot_lm.corpus.sources import files_of
from polyglot_lm.pipeline import Runtime, UserError

LETTERS = [
    "a",
    "b",
    "S",
    "ß",
    "é",
    "ж",
    "\u0301",
    "1",
    "2",
    "가",
    "나",
    "ㅋ",
    "字",
    "性",
    "ア",
    "の",
    "ส",
    "ี",
    "ກ",
    " ",
    "\n",
    "*",
    ".",
    "$",
]


def lexicon(folder: Path, *entries: str, name: str = "bad") -> Lexicon:
    path = folder / f"{abs(hash(entries))}.txt"
    path.write_text("\n".join(entries), encoding="utf-8")
    return Lexicon(name=name, file=given(path))


def share(folder: Path, text: str, *entries: str) -> float:
    return float(lexicon(folder, *entries).scores([text], [None])[0])


def twin_kinds(text: str) -> list[str]:
    found: list[str] = []
    for character in text:
        script, category = unicodedata.name(character, "").split(" ")[0], unicodedata.category(character)[0]
        if script in ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO"):
            found.append("free")
        elif category == "M":
            found.append(found[-1] if found else "free")
        else:
            found.append("hangul" if script == "HANGUL" else {"L": "letter", "N": "digit"}.get(category, "free"))
    return found


def twin_glued(one: str, other: str) -> bool:
    return "free" not in (one, other) and (one == other or "digit" in (one, other))


def twin_share(text: str, entries: list[str]) -> float:
    """Try every entry at every place."""
    text = folded(text)
    kinds, covered = twin_kinds(text), set[int]()
    for entry in map(folded, entries):
        own = twin_kinds(entry)
        particles = own[-1] == "hangul" and len(own) > 1 and own[-2] in ("hangul", "digit")
        for start in range(len(text) - len(entry) + 1):
            end = start + len(entry)
            if text[start:end] != entry or (start and twin_glued(kinds[start - 1], kinds[start])):
                continue
            if end < len(text) and unicodedata.category(text[end])[0] == "M":
                continue
            follows = kinds[end] if end < len(text) else "free"
            if not twin_glued(kinds[end - 1], follows) or particles:
                covered |= set(range(start, end))
    visible = {place for place, character in enumerate(text) if character != " "}
    return len(covered & visible) / len(visible) if visible else math.nan


words = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map("".join)


def is_entry(word: str) -> bool:
    plain = folded(word)
    return bool(plain) and plain[0] != "\u0301" and not word.strip().startswith("#")


@settings(max_examples=400, deadline=None)
@suppose(entries=st.lists(words.filter(is_entry), min_size=1, max_size=6), texts=st.lists(st.lists(words, max_size=12), max_size=4))
def test_a_lexicon_covers_what_its_slow_twin_covers(
    tmp_path_factory: pytest.TempPathFactory, entries: list[str], texts: list[list[str]]
) -> None:
    entries = [" ".join(entry.split()) for entry in entries]
    joined = ["".join(text) for text in texts]
    found = lexicon(tmp_path_factory.mktemp("lexicon"), *entries).scores(joined, [None] * len(joined))
    np.testing.assert_allclose(found, [twin_share(text, entries) for text in joined], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "entry", "expected"),
    [
        ("an ASS here", "ass", 3 / 9),
        ("class passes assess", "ass", 0),
        ("STRASSE straße", "Straße", 1.0),
        ("야동을 본다", "야동", 2 / 5),
        ("우리야동 본다", "야동", 0),
        ("년도 작년 18년 년", "년", 1 / 8),
        ("sex를 보는 av배우", "sex", 3 / 10),
        ("无码av女優", "av", 2 / 6),
        ("这是成人电影吗", "成人电影", 4 / 7),
        ("これはエロ動画です", "エロ動画", 4 / 9),
        ("เว็บพนันออนไลน์", "พนัน", 4 / 15),
        ("หมู", "หม", 0),  # a vowel sign makes it another syllable
        ("đánh bạc\n trực tuyến", "Đánh  bạc", 7 / 16),
        ("judi online judional", "judi online", 10 / 18),
        ("f*ck f*cking fuck", "f*ck", 4 / 15),
        ("a$$ .* [x] (?:y)", ".*", 2 / 13),
        ("a b", "a", 1 / 2),
    ],
)
def test_words_stand_where_a_reader_would_say_so(tmp_path: Path, text: str, entry: str, expected: float) -> None:
    assert share(tmp_path, text, entry) == pytest.approx(expected)


def test_characters_under_several_entries_count_once_and_no_text_has_no_share(tmp_path: Path) -> None:
    listed = lexicon(tmp_path, "# a comment", "", "big bad", "bad wolf", "bad", "  ", "性", "性性")
    found = listed.scores(["big bad wolf", "", " \n ", "性性性"], [None] * 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan, 1.0])
    assert listed.scores([], []).tolist() == []


def test_texts_are_scored_alike_alone_and_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = lexicon(tmp_path, "bad", "나쁜")
    texts = [f"{'good ' * count}bad 나쁜말" for count in range(40)]
    together = listed.scores(texts, [None] * 40)
    monkeypatch.setattr("polyglot_lm.corpus.lexicon.MAX_CHARS", 100)
    np.testing.assert_array_equal(together[:18], listed.scores(texts, [None] * 40)[:18])  # longer ones are cut at 100
    assert listed.scores(["good " * 20 + "bad"], [None]).tolist() == [0.0]


def test_lists_may_be_compressed_and_damaged_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress("\ufeffbad\n".encode()))
    assert Lexicon(name="a", file=given(tmp_path / "a.gz")).scores(["bad"], [None]).tolist() == [1.0]
    for name, content in {
        "b.gz": gzip.compress(b"bad")[:-9],
        "c.txt": b"\xff\xfe",
        "d.txt": b"# none\n",
        "e.txt": b"\xcc\x81a\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            Lexicon(name="a", file=given(tmp_path / name)).scores([], [])
    with pytest.raises(UserError, match="is no file"):
        given(tmp_path / "none")


def test_identity_is_content_and_not_place(tmp_path: Path) -> None:
    for folder, content in {"one": "bad", "two": "bad", "three": "sad"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "list.txt").write_text(content)
    one, two, three = (
        Lexicon(name="a", file=given(tmp_path / folder / "list.txt")).identity() for folder in ("one", "two", "three")
    )
    assert one == two != three
    assert str(tmp_path) not in str(one)


def test_urls_below_a_listed_place(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("# list\nBad.example\nwww.other.test/adult/\nhttps://한국.kr\n*.stars.test\n127.0.0.1\n", encoding="utf-8")
    urls: dict[str | None, float] = {
        "http://bad.example/": 1,
        "https://WWW.BAD.example:8080/x?y#z": 1,
        "https://a.b.bad.example/x": 1,
        "https://notbad.example/": 0,
        "https://bad.example.org/": 0,
        "http://other.test/": 0,
        "http://other.test/adult": 1,
        "http://sub.other.test//adult/x.html?q": 1,
        "http://other.test/adults": 0,
        "http://xn--3e0b707e.kr/x": 1,
        "http://x.stars.test": 1,
        "http://127.0.0.1/x": 1,
        "http://[half": math.nan,
        "": math.nan,
        None: math.nan,
    }
    found = UrlList(name="u", file=given(path)).scores([""] * len(urls), list(urls))
    np.testing.assert_array_equal(found, np.array(list(urls.values()), np.float32))
    assert UrlList(name="u", file=given(path)).scores([], []).tolist() == []
    path.write_text("0.0.0.0 bad.example\n")
    with pytest.raises(UserError, match=r"0\.0\.0\.0 bad\.example"):
        UrlList(name="u", file=given(path)).scores([], [])


@pytest.mark.parametrize(
    ("name", "message"),
    [("num_chars", "taken"), ("empty", "taken"), ("Bad", "lower-case"), ("a-b", "lower-case"), ("", "lower-case")],
)
def test_names_of_scores_clash_with_nothing(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_scores([lexicon(tmp_path, "bad", name=name)])
    with pytest.raises(UserError, match="taken"):
        check_scores([lexicon(tmp_path, "bad", name="x"), lexicon(tmp_path, "sad", name="x")])


ROWS = [
    {"text": "clean words of the first document", "url": "http://fine.test/1"},
    {"text": "bad bad bad words stand in this one", "url": "http://fine.test/2"},
    {"text": "nothing wrong but where it stands", "url": "http://worse.test/3"},
    {"text": "one bad word among so many others here", "url": None},
]


def test_scores_become_columns_reasons_and_ranks(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "en.jsonl", ROWS)
    (tmp_path / "urls.txt").write_text("worse.test")
    scores = (lexicon(tmp_path, "bad", name="lexicon_bad"), UrlList(name="listed", file=given(tmp_path / "urls.txt")))
    for folder, further, workers in (("plain", (), 1), ("scored", scores, 1), ("again", scores, 2)):
        arguments: dict[str, Any] = {"source_name": "tiny", "license": "CC0", "reading": reading("en"), "further": further}
        ingest(tmp_path / folder, source=files_of(str(tmp_path / "raw"), "en"), runtime=Runtime(workers=workers), **arguments)
    plain, scored = (pq.read_table(tmp_path / folder / "part-00000.parquet") for folder in ("plain", "scored"))
    assert scored.drop(["score_lexicon_bad", "score_listed"]).equals(plain)
    assert files_in(tmp_path / "again") == files_in(tmp_path / "scored")
    np.testing.assert_allclose(scored["score_lexicon_bad"].to_pylist(), [0, 9 / 28, 0, 3 / 31], rtol=1e-6)
    np.testing.assert_array_equal(scored["score_listed"].to_pylist(), [0, 0, 1, np.nan])

    thresholds = anything("en")
    bounds = {**thresholds.bounds, "score:lexicon_bad": Bound(most=0.2), "score:listed": Bound(most=0.5)}
    bounded = type(thresholds)(code="en", scripts=(), signature=(), bounds=bounds)
    counters = decided(
        tmp_path / "decided", {"en": (tmp_path / "scored",)}, thresholds={"en": bounded}, quality="score_lexicon_bad"
    )
    (path,) = (tmp_path / "decided" / "decisions").rglob("*.parquet")
    decisions = pq.read_table(path)
    assert decisions["reason"].to_pylist() == [None, "lexicon_bad", "listed", None]
    assert decisions["quality"].to_pylist() == [0.25, None, None, 0.75]
    assert counters["removed_lexicon_bad"] == counters["removed_listed"] == 1
    with pytest.raises(UserError, match="'lexicon_bad' has a bound, but the documents do not have it"):
        decided(tmp_path / "none", {"en": (tmp_path / "plain",)}, thresholds={"en": bounded})
