"""What `mixture show` shows: rows by hand, the first windows as the sampler gives them, and both pages."""

import re
from pathlib import Path

import numpy as np
import pytest
from synthetic_learners import CURVES, RAW_BYTES, learn, references

from polyglot_lm.mixture import UNITS, Budget, Sampler, Uniform, UniMax, plan_mixture, read_shares
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.mixture.page import write_controller_page, write_mixture_page
from polyglot_lm.mixture.show import Window, cut, dry_run, planned_rows, stated_rows
from polyglot_lm.shards import EncodedDocument, TokenDataset, write_tokens

CONTEXT = 10


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Korean: 20 documents of 4 tokens of 2 bytes. Thai, premium 3: 10 of 6 tokens of 9. Ids tell language and document."""
    made = {}
    for number, (code, premium, count, length, held) in enumerate([("ko", 1.0, 20, 4, 2), ("th", 3.0, 10, 6, 9)]):
        rows = (
            EncodedDocument(
                id=str(document),
                tokens=[100 + 1000 * number + 10 * document + place for place in range(length - 1)] + [2],
                num_bytes=held * length,
                cluster_size=1,
                quality=None,
            )
            for document in range(count)
        )
        description = {"lang": code, "source": "web", "byte_premium": premium, "tokenizer": "t", "upstream": []}
        write_tokens(tmp_path / code, rows, 70_000, description)
        made[code] = tmp_path / code
    return made


def test_rows_are_those_of_a_computation_by_hand(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Equal content: a token of Korean holds 2 English bytes, one of Thai 3, so of 50 tokens Korean has 30."""
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=0)
    korean, thai = planned_rows(tmp_path, 50)
    assert (korean.name, korean.language, thai.language) == ("ko", "ko", "th")
    assert korean.content == pytest.approx({"tokens": 30, "bytes": 60, "english_bytes": 60})
    assert thai.content == pytest.approx({"tokens": 20, "bytes": 180, "english_bytes": 60})
    assert (korean.epochs, thai.epochs) == (pytest.approx(30 / 80), pytest.approx(20 / 60))
    assert thai.shares == pytest.approx({"tokens": 0.4, "bytes": 0.75, "english_bytes": 0.5})


def test_without_a_number_the_budget_holds_or_else_one_reading_of_the_scarcest(tmp_path: Path, folders: dict[str, Path]) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=0)
    rows = planned_rows(tmp_path, None)
    assert max(row.epochs for row in rows) == pytest.approx(1)
    for unit, amount in (("tokens", 50.0), ("english_bytes", 120.0), ("bytes", 240.0)):
        budget = Budget(amount=amount, unit=unit)  # type: ignore[arg-type]
        plan_mixture(tmp_path, tokens=folders, policy=UniMax(unit="english_bytes", budget=budget), seed=0, budget=budget)
        assert sum(row.content["tokens"] for row in planned_rows(tmp_path, None)) == pytest.approx(50)


def test_stated_rows_are_by_language() -> None:
    supply = {code: dict.fromkeys(UNITS, size) for code, size in (("ko", 100.0), ("ms", 10.0))}
    budget = Budget(amount=100.0, unit="tokens")
    rows = {row.name: row for row in stated_rows(UniMax(unit="english_bytes", budget=budget), supply, 100.0)}
    assert rows["ms"].epochs == pytest.approx(4) and rows["ko"].content["bytes"] == pytest.approx(60)


def test_the_dry_run_is_what_a_training_reads(tmp_path: Path, folders: dict[str, Path]) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="english_bytes"), seed=3)

    def sampler() -> Sampler:
        shares, held, seed = read_shares(tmp_path)
        return Sampler({name: TokenDataset(folder) for name, folder in folders.items()}, shares, held, CONTEXT, seed)

    windows = dry_run(sampler(), {"ko": "ko", "th": "th"}, 6, lambda ids: " ".join(map(str, ids)))
    training = sampler()
    for number, window in enumerate(windows):
        source, tokens = training.next_window()
        assert (window.number, window.source, window.language) == (number, source, source)
        assert " ".join(window.heads).startswith(" ".join(map(str, tokens[:CONTEXT].tolist()[:8])))
        ends = int((tokens[: CONTEXT - 1] == 2).sum())  # an end behind which the window goes on begins a document
        assert window.num_documents == ends + 1
    assert {window.source for window in windows} == {"ko", "th"}


def test_a_window_is_cut_where_documents_start() -> None:
    tokens, starts = np.arange(7), np.array([False, False, True, False, True, False, True])
    assert [piece.tolist() for piece in cut(tokens, starts)] == [[0, 1], [2, 3], [4, 5]]
    assert [piece.tolist() for piece in cut(tokens, np.array([True, *[False] * 6]))] == [[0, 1, 2, 3, 4, 5]]


def test_the_page_of_a_mixture_has_every_source_and_escapes_text(tmp_path: Path, folders: dict[str, Path]) -> None:
    plan_mixture(tmp_path, tokens=folders, policy=Uniform(unit="bytes"), seed=0)
    window = Window(number=0, source="ko", language="ko", num_documents=3, heads=("<b>가", "나"))
    write_mixture_page(tmp_path / "page.html", planned_rows(tmp_path, 50), [window])
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2 and "&lt;b&gt;가 ⏎ 나" in page and "<b>가" not in page
    assert re.search(r"<td>th</td><td>th</td><td>[\d.]+ English-equivalent bytes</td>", page)
    write_mixture_page(tmp_path / "page.html", planned_rows(tmp_path, 50), [])
    assert "The first windows" not in (tmp_path / "page.html").read_text()


def test_the_page_of_a_controller_tells_shares_alarms_and_fits(tmp_path: Path) -> None:
    _, decisions = learn(CURVES, RAW_BYTES, Equaliser(references=references(CURVES)))
    write_controller_page(tmp_path / "page.html", [decision.line for decision in decisions])
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3 and f"{len(decisions)} decisions. Held at a bound too often: th." in page
    assert page.count("·n^-") == 8


def test_the_page_of_a_controller_that_never_predicted_has_no_level(tmp_path: Path) -> None:
    _, decisions = learn(CURVES, RAW_BYTES, Equaliser(references=references(CURVES)))
    lines = [{**decision.line, "target": None, "curves": {}, "method": "gradient"} for decision in decisions[:2]]
    write_controller_page(tmp_path / "page.html", lines)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2 and page.count("no fit") == 8
