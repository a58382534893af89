"""Decontamination from files to hits: planted items are found, unrelated text is not, labels and boilerplate say nothing."""

import gzip
import json
import os
import stat
from pathlib import Path

import pyarrow as pa
import pytest
from decontaminate_twin import SHAPE, index_of

from polyglot_lm.corpus.benchmarks import benchmarks_of
from polyglot_lm.corpus.decontaminate import HIT_SCHEMA, Contamination, index_benchmarks
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.pipeline.identity import canonical, fingerprint

PASSAGES = {
    "en": "A lighthouse keeper on a far island counted passing ships every evening and wrote their colours into a blue book.",
    "ko": "북쪽 섬의 등대지기는 저녁마다 지나가는 배를 세어 그 색깔을 작고 푸른 공책에 꼼꼼하게 적어 두었습니다.",
    "zh": "北方小岛上的守灯人每天傍晚都会数一数路过的船只，并把它们的颜色记在一本蓝色的小本子里。",
    "ja": "北の島の灯台守は、毎晩通り過ぎる船を数えて、その色を小さな青い手帳に書き留めていました。翌朝に静かに読み返しました。",
    "id": "Penjaga mercusuar di pulau utara menghitung kapal yang lewat tiap petang lalu mencatat warnanya di buku biru miliknya.",
    "vi": "Người gác hải đăng trên hòn đảo phía bắc đếm những con tàu đi qua mỗi chiều và ghi màu của chúng vào sổ.",
    "th": "ผู้ดูแลประภาคารบนเกาะทางเหนือนับเรือที่แล่นผ่านทุกเย็นแล้วจดสีของเรือเหล่านั้นลงในสมุดเล่มเล็กสีน้ำเงินของเขาเสมอ",
}
SHORT = "Her umbrella turned inside out near the old harbour gate."  # ten words


def hit_texts(folder: Path, documents: list[str], min_hits: int = 2) -> list[list[str]]:
    """Return for each document the tasks of texts that contaminate it."""
    contamination = Contamination(folder, min_hits=min_hits)
    hits = contamination.hits(TextBatch.from_texts(documents))
    rows = contamination.table(hits, [str(number) for number in range(len(documents))]).to_pylist()
    return [[row["task"] for row in rows if row["contaminates"] and row["document"] == str(k)] for k in range(len(documents))]


def test_planted_items_are_found_in_every_script_whatever_stands_around_and_between(tmp_path: Path) -> None:
    folder = index_of(tmp_path, {f"{code}/test": [{"passage": text, "label": 1}] for code, text in PASSAGES.items()})
    for code, text in PASSAGES.items():
        around = f"Before it.\n\n«{text}» – after it."
        spaced = text.upper().replace(" ", " \n ").replace(".", " !!").replace(",", " ; ")
        assert hit_texts(folder, [text, around, spaced]) == [[code]] * 3, code
    assert hit_texts(folder, ["", " ", "Nothing of the kind stands in this document, which speaks of rivers."]) == [[], [], []]


def test_part_of_an_item_is_listed_with_its_counts_and_no_text(tmp_path: Path) -> None:
    folder = index_of(tmp_path, {"en/train": [{"q": "other words entirely"}, {"passage": PASSAGES["en"]}]})
    contamination = Contamination(folder, min_hits=5)
    words = PASSAGES["en"].split()
    hits = contamination.hits(TextBatch.from_texts(["so", " ".join(words[:15]), " ".join(words[:17])]))
    assert hits.contaminated.tolist() == [2]
    table = contamination.table(hits, ["a", "b", "c"])
    assert table.schema == HIT_SCHEMA
    common = {"task": "en", "split": "train", "item": 1, "field": "passage", "num_ngrams": 8}
    assert table.to_pylist() == [
        {"document": "b", **common, "num_found": 3, "contaminates": False},
        {"document": "c", **common, "num_found": 5, "contaminates": True},
    ]


def test_a_short_item_is_found_whole_only(tmp_path: Path) -> None:
    folder = index_of(tmp_path, {"short/test": [{"sentence": SHORT, "label": "neg"}]})
    assert hit_texts(folder, [f"And then: {SHORT} So it was.", SHORT.replace("old ", ""), SHORT[4:]]) == [["short"], [], []]


def test_short_texts_of_an_item_are_one_text_and_too_few_words_are_none(tmp_path: Path) -> None:
    pieces = {"premise": "The jar rolled off the shelf.", "choice1": "Someone slammed a door.", "choice2": "It was full of honey."}
    folder = index_of(tmp_path, {"copa/test": [pieces], "tiny/test": [{"premise": "It rolled."}]})
    together = "\t".join(pieces.values())
    assert hit_texts(folder, [together, *pieces.values(), "It rolled."]) == [["copa"], [], [], [], []]
    splits = json.loads((folder / "benchmarks.json").read_text())["splits"]
    assert [(split["task"], split["items"], split["items_indexed"]) for split in splits] == [("copa", 1, 1), ("tiny", 1, 0)]


def test_a_short_answer_beside_a_long_question_does_not_condemn(tmp_path: Path) -> None:
    item = {"question": " ".join(PASSAGES[code] for code in ("en", "id", "vi")), "choices": [SHORT, "no"]}
    folder = index_of(tmp_path, {"quiz/test": [item]})
    assert hit_texts(folder, [SHORT, PASSAGES["id"]]) == [[], ["quiz"]]


def test_labels_instructions_and_boilerplate_say_nothing(tmp_path: Path) -> None:
    instruction = "Read the following passage with care and then choose the one answer that fits the question best of all four."
    opening = "In the year of our lord eighteen hundred and eleven there lived in a small village of"
    items = [{"instruction": instruction, "text": f"{opening} kind number{k} {PASSAGES['en']} {k}"} for k in range(40)]
    folder = index_of(tmp_path, {"task/test": items[:9] + [{"instruction": instruction, "text": "x"}] * 30})
    assert hit_texts(folder, [instruction, opening], min_hits=1) == [[], []]
    seldom = index_of(tmp_path / "seldom", {"task/test": items[:8]})
    assert hit_texts(seldom, [instruction, opening], min_hits=1) == [["task"], ["task"] * 8]


def test_a_few_units_over_and_over_are_no_ngram(tmp_path: Path) -> None:
    folder = index_of(tmp_path, {"chat/test": [{"text": "ha " * 30}, {"text": "哈" * 40}, {"text": "one two three " * 9}]})
    assert hit_texts(folder, ["ha " * 50, "哈" * 99, "one two three " * 20], min_hits=1) == [[], [], []]


def test_a_word_marked_by_brackets_is_found_without_them(tmp_path: Path) -> None:
    marked = PASSAGES["ko"].replace("등대지기는", "[등대지기]는")
    folder = index_of(tmp_path, {"wic/test": [{"context_1": marked, "id": "28-0001", "link": PASSAGES["en"]}]})
    assert [bool(tasks) for tasks in hit_texts(folder, [PASSAGES["ko"], marked, PASSAGES["en"]])] == [True, True, False]


def test_nested_fields_parallel_text_and_compressed_files_are_read(tmp_path: Path) -> None:
    source = tmp_path / "given"
    (source / "deep").mkdir(parents=True)
    (source / "deep/test.jsonl.gz").write_bytes(gzip.compress(json.dumps({"a": {"b": [1, [PASSAGES["en"]]]}}).encode()))
    with pa.output_stream(str(source / "flores_dev.jsonl.zst"), compression="zstd") as file:
        file.write((json.dumps({"i": 1, "id": PASSAGES["id"], "th": PASSAGES["th"]}) + "\n\n").encode())
    out = tmp_path / "out"
    out.mkdir()
    counters = index_benchmarks(out, benchmarks=benchmarks_of(source), shape=SHAPE, excluded_fields=(), max_items=32, max_texts=8)
    assert counters["items"] == counters["items_indexed"] == 2
    assert hit_texts(out, [PASSAGES["en"], PASSAGES["id"], PASSAGES["th"]]) == [["deep"], ["flores"], ["flores"]]
    texts = Contamination(out, min_hits=1).texts.to_pylist()
    assert [(text["split"], text["field"]) for text in texts] == [("test", "a"), ("dev", "id"), ("dev", "th")]


def test_identity_is_of_contents_and_not_of_places(tmp_path: Path) -> None:
    index_of(tmp_path / "a", {"task/test": [{"text": SHORT}]})
    index_of(tmp_path / "b", {"task/test": [{"text": SHORT}]})
    index_of(tmp_path / "c", {"task/test": [{"text": SHORT.upper()}]})
    prints = [fingerprint(canonical(benchmarks_of(tmp_path / name / "eval"), "x")) for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
    for path in sorted((tmp_path / "a/index").iterdir()):
        assert path.read_bytes() == (tmp_path / "b/index" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("task/test.jsonl", b'{"a": "b"}\n{"a"\n', "line 2"),
        ("task/test.jsonl", b'{"a": "\xff"}\n', "line 1"),
        ("task/test.jsonl", b'{"a": ' + b"[" * 100_000, "line 1"),
        ("task/test.jsonl.gz", gzip.compress(b'{"a": "b"}\n' * 9999)[:-20], "test.jsonl.gz"),
        ("task/test.jsonl.zst", b"no zstd", "test.jsonl.zst"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(content)
    given = {"shape": SHAPE, "excluded_fields": (), "max_items": 32, "max_texts": 8}
    with pytest.raises(UserError, match=said) as raised:
        index_benchmarks(tmp_path / "out", benchmarks=benchmarks_of(tmp_path), **given)
    assert "\n" not in str(raised.value)


def test_folders_without_sets_and_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a/task").mkdir(parents=True)
    with pytest.raises(UserError, match="no evaluation set"):
        benchmarks_of(tmp_path / "a")
    with pytest.raises(UserError, match="no folder"):
        benchmarks_of(tmp_path / "b")
    for ending in ("jsonl", "jsonl.gz"):
        (tmp_path / "a/task" / f"test.{ending}").write_bytes(b"")
    with pytest.raises(UserError, match="both task test"):
        benchmarks_of(tmp_path / "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "task_test.jsonl"
    path.write_bytes(b"")
    path.chmod(stat.S_IWUSR)
    with pytest.raises(UserError, match="permission"):
        benchmarks_of(tmp_path)


def test_a_lone_surrogate_in_an_item_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "eval/task_test.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps({"text": f"\ud800 {PASSAGES['en']}"}))
    given = {"shape": SHAPE, "excluded_fields": (), "max_items": 32, "max_texts": 8}
    index_benchmarks(tmp_path, benchmarks=benchmarks_of(tmp_path / "eval"), **given)
    assert hit_texts(tmp_path, [PASSAGES["en"]]) == [["task"]]


def test_an_index_of_nothing_finds_nothing_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    folder = index_of(tmp_path, {"task/test": [{"text": "short"}, 7, "bare"]})
    assert hit_texts(folder, [PASSAGES["en"], "short"]) == [[], []]
    assert hit_texts(folder, []) == []
    with (folder / "filter.uint64").open("ab") as file:
        file.write(b"more")
    with pytest.raises(CorruptFileError, match=r"filter\.uint64"):
        Contamination(folder, min_hits=1)
    with pytest.raises(UserError, match="min_hits"):
        Contamination(folder, min_hits=0)
    (folder / "texts.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptFileError, match=r"texts\.parquet"):
        Contamination(folder, min_hits=1)
