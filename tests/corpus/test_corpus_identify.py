"""Identification: every language of the table, the hard neighbours, and sensible answers to what is hardly a text."""

import dataclasses
import json
import multiprocessing
import os
import random
import subprocess
import sys
import unicodedata
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.identify import (
    LOOK_CHARS,
    SCRIPTS,
    UNDETERMINED,
    Identified,
    Identifier,
    count_scripts,
    identifier,
    identify,
    identify_batch,
    look,
    profiles,
    prose_of,
)
from polyglot_lm.corpus.kernels.scripts import SCRIPT_RANGES
from polyglot_lm.languages import languages

DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
INDONESIAN = "Pemerintah kota mengatakan bahwa harga mobil bisa naik karena pajak baru. "
MALAY = "Kerajaan menyatakan bahawa harga kereta boleh naik kerana cukai baharu. "
ENGLISH = "The council said that the price of a car may rise because of the new tax. "
KOREAN = "시는 새로운 세금 때문에 자동차 가격이 오를 수 있다고 밝혔다. "
CODE = "for (int i = 0; i < count_of(items); ++i) { items[i].update(&state->inner, 0x7f); }\n"


def found(text: str) -> Identified:
    return identify(text, dict(zip(SCRIPTS, count_scripts([text])[0].tolist(), strict=True)))


# A single sentence may be good Malay and good Indonesian at once, as the one in SENTENCES; documents are not.
@pytest.mark.parametrize("code", [code for code in SENTENCES if code != "ms"])
def test_a_sentence_of_every_language_is_found(code: str) -> None:
    identified = found(f"{SENTENCES[code]}. " * 3)
    assert identified.language == code
    assert identified.confidence > 0.75
    assert identified.confidence == identified.confidence_of(code)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (INDONESIAN, "id"),
        (MALAY, "ms"),
        ("Nak pergi mana? Aku tak tahu lah korang ni, awak boleh tanya dia je.", "ms"),
        ("Gue nggak tau deh, udah capek banget hari ini.", "id"),
        (INDONESIAN + ENGLISH, "id"),  # half English is Indonesian with quotations
        (INDONESIAN + ENGLISH * 4, "en"),
        (INDONESIAN + CODE * 3, "id"),
        (KOREAN + CODE, "ko"),
        (KOREAN + ENGLISH * 8, "en"),
        (ENGLISH * 4 + "東京", "en"),
        ("北京是中華人民共和國的首都，也是全國的政治中心。", "zh"),
        ("子曰：學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？", "zh"),
        ("我们在这里讨论日本动画《の》的问题，没有时间说别的话。", "zh"),  # one kana in a Chinese text
        ("東京駅 渋谷駅 気仙沼市 広島県 図書館 桜沢", "ja"),  # Japanese without a single kana
        ("日本放送協会は視覚障害者文化振興会が運営。", "ja"),
        ("Погода сегодня хорошая, и мы идём в парк.", "ru"),
        ("El gobierno anunció ayer que los precios subirán el próximo año.", "es"),
        ("Καλημέρα σας, τι κάνετε σήμερα;", "el"),
    ],
)
def test_hard_neighbours_and_mixtures(text: str, code: str) -> None:
    assert found(text).language == code


@pytest.mark.parametrize("text", ["", " \n", "12345 67,89 %", "😀😀🎉", "....", "a" * 100_000, "\ud800\ufffe"])
def test_what_is_no_text_is_undetermined(text: str) -> None:
    identified = found(text)
    assert identified.language == UNDETERMINED
    assert all(identified.confidence_of(code) < 0.5 for code in languages())


@pytest.mark.parametrize(
    "text",
    [
        "Annyeonghaseyo, jeoneun hangug saram-imnida. Mannaseo bangapseumnida.",
        "watashi wa nihonjin desu. kyou wa tenki ga ii desu ne. ashita wa gakkou ni ikimasu",
    ],
)
def test_romanised_text_passes_for_no_language_of_the_table(text: str) -> None:
    assert all(found(text).confidence_of(code) < 0.75 for code in languages())


def test_longer_texts_are_surer() -> None:
    assert found(ENGLISH * 5).confidence > found("The new tax").confidence
    assert found("Selamat pagi").confidence < 0.6


@given(st.lists(st.text(max_size=60), max_size=8))
@settings(deadline=None)
def test_a_batch_says_what_each_of_its_documents_says(texts: list[str]) -> None:
    counts = count_scripts(texts)
    codes, confidences = identify_batch(texts, counts)
    alone = [found(text) for text in texts]
    assert codes == [each.language for each in alone]
    assert confidences.tolist() == pytest.approx([each.confidence for each in alone])
    assert all(0 <= confidence <= 1 for confidence in confidences)
    assert all(sum(each.scores.values()) <= 1 + 1e-9 for each in alone)


@given(st.text(st.characters(exclude_categories=()), max_size=80))
@settings(deadline=None)
def test_scripts_are_counted_as_one_by_one(text: str) -> None:
    def script(letter: str) -> str | None:
        if unicodedata.category(letter)[0] not in "LM":
            return None
        return next((name for name, ranges in SCRIPT_RANGES.items() if any(a <= ord(letter) <= b for a, b in ranges)), "other")

    one_by_one = [script(letter) for letter in text if ord(letter) < 0x32400 and letter != "〇"]
    assert count_scripts([text.replace("〇", "")])[0].tolist() == [one_by_one.count(name) for name in SCRIPTS]


def test_columns_may_come_in_any_order() -> None:
    order = list(range(len(SCRIPTS)))
    random.Random(1).shuffle(order)
    texts = [*SENTENCES.values(), MALAY, KOREAN + CODE]
    counts = count_scripts(texts)
    shuffled = Identifier(profiles(), [SCRIPTS[place] for place in order]).identify_batch(texts, counts[:, order])
    assert shuffled[0] == identify_batch(texts, counts)[0]
    with pytest.raises(ValueError, match=r"counts are \(10, 3\) for 10 texts; give \[10, 10\]"):
        identify_batch(texts, counts[:, :3])


def test_only_the_beginning_and_the_middle_are_read() -> None:
    text = MALAY * 100
    assert look(text[:LOOK_CHARS]) == text[:LOOK_CHARS]
    assert len(look(text)) == LOOK_CHARS + 1
    half, middle = LOOK_CHARS // 2, len(text) // 2
    unread = text[:half] + "x" * (middle - half) + text[middle : middle + half] + "x" * (len(text) - middle - half)
    assert look(unread) == look(text)
    assert look("x" + text[1:]) != look(text)
    assert look(text[:middle] + "0" + text[middle + 1 :]) != look(text)


def test_prose_leaves_code_addresses_and_numbers_out() -> None:
    assert prose_of('See "docs", https://a.example/b?c=1 or foo_bar() – v1.2, nhé! Übung') == "see docs or nhé übung"
    assert prose_of("a\x85b \ufffec\u200bd") == "a b cd"


def test_a_language_is_known_by_its_entry_alone() -> None:
    known = {profile.code: profile for profile in profiles()}
    russian = dataclasses.replace(known["th"], code="ru", scripts=("Cyrl",))
    identified = Identifier([*known.values(), russian]).identify("Привет", {"Cyrl": 6})
    assert (identified.language, identified.confidence) == ("ru", 1.0)


def test_two_languages_that_letters_cannot_tell_apart_are_refused() -> None:
    known = {profile.code: profile for profile in profiles()}
    with pytest.raises(ValueError, match="th, xx share a script and only letters could tell them apart; name them as rivals"):
        Identifier([known["th"], dataclasses.replace(known["th"], code="xx")])
    with pytest.raises(ValueError, match="xx: no ranges for script Xxxx"):
        dataclasses.replace(known["th"], code="xx", scripts=("Xxxx",))


def test_relatives_are_each_others_first_rivals() -> None:
    assert sorted(identifier().relatives) == [("en",), ("id", "ms"), ("vi",)]


def test_workers_started_afresh_agree() -> None:
    texts = [INDONESIAN, MALAY, KOREAN, *SENTENCES.values()]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        codes, confidences = pool.submit(identify_batch, texts, count_scripts(texts)).result()
    here = identify_batch(texts, count_scripts(texts))
    assert (codes, confidences.tolist()) == (here[0], here[1].tolist())


def test_importing_loads_no_model() -> None:
    code = "import sys, polyglot_lm.corpus.identify; print([name for name in ('pycld2', 'numba') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
def test_single_sentences_of_flores() -> None:
    with pa.input_stream(str(DATA / "parallel" / "flores200_devtest.jsonl.zst"), compression="zstd") as lines:
        rows = [json.loads(line) for line in lines.read().splitlines()][:300]
    relatives = {code for codes in identifier().relatives if len(codes) == 2 for code in codes}
    for code in languages():
        texts = [row[code] for row in rows]
        right = np.mean([each == code for each in identify_batch(texts, count_scripts(texts))[0]])
        assert right >= (0.88 if code in relatives else 0.99), code
