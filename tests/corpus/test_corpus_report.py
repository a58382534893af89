"""The report: every byte is counted again, a hostile text stays a text, and nothing at all is still a page."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import anything, built, decided, index, mild, read_in, write

from polyglot_lm.corpus.flows import Flow, Group, flow_chart
from polyglot_lm.corpus.report import Budget, Facts, corpus_report, excerpt
from polyglot_lm.corpus.report_page import page
from polyglot_lm.corpus.split import Split
from polyglot_lm.pages import share
from polyglot_lm.pipeline import CorruptFileError, Runtime, UserError
from polyglot_lm.shards import part_path, read_documents

SPLIT = Split(key="test", control=0.1, select=0.1, test=0.1, min_bytes=0, max_share=0.2, max_domain_share=1.0)
HOSTILE = (
    "<script>alert(1)</script> \"quoted\" 'and' &amp; </p></div></body> <img src=x onerror=alert(2)> "
    "\u202eright to left\u202c \u0627\u0644\u0639\u0631 z" + "\u0301" * 60
)


class Reader(HTMLParser):
    """Collects the tags and the texts of a page, and asks that every tag is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def made(root: Path, texts: Mapping[str, Sequence[str | Mapping[str, Any]]], extra: str = "", **changes: Any) -> dict[str, Path]:
    """Take texts of several languages through all stages, mildly judged; return the folders of the corpora."""
    folders = {}
    for code, rows in texts.items():
        write(root / "raw" / f"{code}.jsonl", rows, extra)
        read_in(root / "documents" / code, root / "raw", code)
        documents = (root / "documents" / code,)
        decided(root / "clusters" / code, {code: documents}, thresholds={code: mild(code)}, split=SPLIT, **changes)
        built(root / "corpus" / code, documents, root / "clusters" / code, code, mask_countries=("kr",))
        folders[code] = root / "corpus" / code
    return folders


def reported(root: Path, corpora: Mapping[str, Path], out: str = "report", **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "languages": {code: Facts(name=f"<{code}>", english_name=code, byte_premium=2.0, supply_bytes=10**9) for code in corpora},
        "source_names": ("tiny",),
        "documents": {code: (root / "documents" / code,) for code in corpora},
        "corpora": dict(corpora),
        "thresholds": {code: mild(code) for code in corpora},
        "budget": Budget(english_bytes=100_000, shares={code: 1 / len(corpora) for code in corpora}),
        "num_samples": 2,
        "mask_countries": ("kr",),
        "runtime": Runtime(root=root, workers=1),
        **changes,
    }
    corpus_report(root / out, **arguments)
    return dict(json.loads((root / out / "report.json").read_text()))


def test_what_was_read_is_what_ended_somewhere(tmp_path: Path) -> None:
    korean = tiny_texts("ko", 40)
    texts = {
        "ko": [*korean, korean[0], korean[1] + " 그리고", "짧다", "1234567890 " * 5, *tiny_texts("en", 3)],
        "th": tiny_texts("th", 9),
    }
    corpora = made(tmp_path, texts, extra='{"no text": 1}\n{not json\n')
    summary = reported(tmp_path, corpora)
    row = summary["languages"]["ko"]
    assert row["read"] == {"documents": len(texts["ko"]), "bytes": sum(len(text.strip().encode()) for text in texts["ko"])}
    ended = [*row["removed"].values(), *row["kept"].values()]
    assert sum(amount["documents"] for amount in ended) == row["read"]["documents"]
    assert row["kept_as_read"] + sum(amount["bytes"] for amount in row["removed"].values()) == row["read"]["bytes"]
    assert sum(row["quarantined"].values()) == 2
    on_disk = Counter(found["reason"] for found in read_documents(corpora["ko"] / "removed", ("reason",)))
    assert {reason: amount["documents"] for reason, amount in row["removed"].items()} == on_disk
    assert on_disk.keys() >= {"exact_duplicate", "too_short", "few_letters", "wrong_script"}
    assert row["found"]["en"]["documents"] == 3
    assert row["clusters"]["2"] >= 2
    kept = sum(found["num_bytes"] for found in read_documents(corpora["ko"], ("num_bytes",), "train"))
    assert row["train_bytes"] == kept
    assert row["epochs"] == pytest.approx(100_000 / 2 * 2.0 / kept)
    total = summary["total"]["read"]["documents"]
    assert total == sum(len(rows) for rows in texts.values())


def test_evaluation_sets_that_were_met_are_counted_by_document(tmp_path: Path) -> None:
    item, *others = tiny_texts("ko", 8)
    write(tmp_path / "raw/ko.jsonl", [*others, f"앞 {item} 뒤", f"{item} {others[0]} 또 다른 말"])
    documents = (tmp_path / "documents/ko",)
    read_in(documents[0], tmp_path / "raw")
    decided(tmp_path / "clusters", {"ko": documents}, split=SPLIT)
    built(tmp_path / "corpus", documents, tmp_path / "clusters", contamination=index(tmp_path, [item]))
    summary = reported(tmp_path, {"ko": tmp_path / "corpus"})
    assert summary["languages"]["ko"]["hits"] == summary["total"]["hits"] == {"quiz": 2}
    assert summary["languages"]["ko"]["removed"]["contaminated"]["documents"] == 2
    assert "quiz" in (tmp_path / "report/report.html").read_text()


def test_samples_are_the_smallest_ids_masked_and_say_why(tmp_path: Path) -> None:
    wrong = [f"{text} 010-1234-5678" for text in tiny_texts("en", 6)]
    corpora = made(tmp_path, {"ko": [*tiny_texts("ko", 20), *wrong]})
    samples = reported(tmp_path, corpora)["languages"]["ko"]["samples"]
    removed = list(read_documents(corpora["ko"] / "removed", ("id", "reason", "score_script_Hang")))
    smallest = sorted(found["id"] for found in removed if found["reason"] == "wrong_script")[:2]
    assert [sample["id"] for sample in samples["wrong_script"]] == smallest
    assert all("010-1234-5678" not in sample["text"] for sample in samples["wrong_script"])
    assert samples["wrong_script"][0]["because"] == "script share 0, 0.5 at least"
    page = (tmp_path / "report/report.html").read_text()
    assert "010-1234-5678" not in page
    assert smallest[0] in page


def test_a_number_is_masked_before_a_sample_is_cut(tmp_path: Path) -> None:
    text = "가" * 275 + " 010-1234-5678 끝"
    assert "010" not in excerpt(text, ("kr",), 280)
    assert excerpt("짧은 글", ("kr",), 280) == "짧은 글"


def test_a_hostile_text_stays_a_text(tmp_path: Path) -> None:
    rows = [{"text": f"{HOSTILE} {number}", "url": 'https://a<b>.example/"><script>x</script>'} for number in range(3)]
    corpora = made(tmp_path, {"ko": [*tiny_texts("ko", 10), *rows]})
    reported(tmp_path, corpora)
    found = parsed((tmp_path / "report/report.html").read_text())
    assert found.tags["script"] == found.tags["img"] == 0
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src", "href")]
    shown = "".join(found.texts)
    assert "<script>alert(1)</script>" in shown
    assert "<ko>" in shown
    assert "\u202e" not in shown


def test_a_language_with_nothing_left_and_one_that_was_never_there(tmp_path: Path) -> None:
    corpora = made(tmp_path, {"ko": tiny_texts("en", 5), "th": [], "vi": tiny_texts("vi", 5)})
    summary = reported(tmp_path, corpora)
    assert summary["languages"]["ko"]["kept_as_read"] == 0
    assert summary["languages"]["ko"]["epochs"] is None
    assert summary["languages"]["th"]["read"] == {"documents": 0, "bytes": 0}
    assert summary["balanced_english_bytes"] == 0
    shown = "".join(parsed((tmp_path / "report/report.html").read_text()).texts)
    assert "Nothing is left of this language." in shown
    assert "Nothing was read." in shown


def test_no_documents_at_all(tmp_path: Path) -> None:
    summary = reported(tmp_path, made(tmp_path, {"ko": []}))
    assert summary["total"]["read"]["documents"] == 0
    parsed((tmp_path / "report/report.html").read_text())


def test_what_could_not_be_read_is_shown_where_nothing_else_was(tmp_path: Path) -> None:
    summary = reported(tmp_path, made(tmp_path, {"ko": []}, extra="{not json\n"))
    assert summary["languages"]["ko"]["quarantined"] == {"no JSON": 1}
    assert "no JSON (1)" in (tmp_path / "report/report.html").read_text()


def test_workers_change_no_byte(tmp_path: Path) -> None:
    corpora = made(tmp_path, {code: tiny_texts(code, 12) for code in ("ko", "vi")})
    for workers in (1, 2):
        reported(tmp_path, corpora, f"report-{workers}", runtime=Runtime(root=tmp_path, workers=workers))
    for name in ("report.json", "report.html"):
        assert (tmp_path / "report-1" / name).read_bytes() == (tmp_path / "report-2" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "report-1").iterdir()) == ["report.html", "report.json"]


def test_a_corpus_that_lost_documents_is_no_corpus(tmp_path: Path) -> None:
    corpora = made(tmp_path, {"ko": [*tiny_texts("ko", 12), "짧다"]})
    part_path(corpora["ko"] / "removed", 0).unlink()
    with pytest.raises(CorruptFileError, match="12 documents of the 13"):
        reported(tmp_path, corpora)


def test_a_budget_names_each_language_and_adds_up(tmp_path: Path) -> None:
    corpora = made(tmp_path, {"ko": tiny_texts("ko", 3)})
    with pytest.raises(UserError, match="one for each of ko"):
        reported(tmp_path, corpora, budget=Budget(english_bytes=1, shares={"vi": 1.0}))
    with pytest.raises(ValueError, match=r"add up to 0\.9000"):
        Budget(english_bytes=1, shares={"ko": 0.4, "vi": 0.5})


def test_twenty_languages_are_a_page(tmp_path: Path) -> None:
    summary = reported(tmp_path, made(tmp_path, {"ko": [*tiny_texts("ko", 12), "짧다"]}))
    summary["languages"] = {f"l{number}": summary["languages"]["ko"] for number in range(20)}
    assert parsed(page(summary)).tags["h3"] == 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**14), min_size=1, max_size=9), min_size=1, max_size=4))
def test_flows_of_any_size_fit_their_chart(groups: list[list[int]]) -> None:
    whole = sum(map(sum, groups)) or 1
    flows = [
        Group(label="g", flows=[Flow(colour="kept", value=n, label="f", notes=("", "", "")) for n in group]) for group in groups
    ]
    found = parsed(flow_chart(whole, "all", flows))
    height = float(str(dict(found.attributes)["viewbox"]).split()[3])
    tops = [float(value or 0) for name, value in found.attributes if name == "y"]
    assert all(0 <= top <= height for top in tops)
    assert found.tags["path"] == len(groups) + sum(map(len, groups))


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_a_share_never_reads_as_nothing_or_all_when_it_is_not(part: int, more: int) -> None:
    written = share(part, part + more)
    assert (written == "0.0 %") == (part == 0)
    assert written != "100.0 %"
    assert share(more, more) == "100.0 %"


def test_thresholds_that_refuse_nothing_leave_no_reason_without_a_bound(tmp_path: Path) -> None:
    corpora = made(tmp_path, {"ko": [*tiny_texts("ko", 5), "짧다"]})
    samples = reported(tmp_path, corpora, thresholds={"ko": anything("ko")})["languages"]["ko"]["samples"]
    assert samples["too_short"][0]["because"] == ""
