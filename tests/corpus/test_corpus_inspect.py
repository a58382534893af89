"""Inspecting a corpus: a document is found by id, words or reason, with the rule, bound and value that refused it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import tiny_texts
from stages import anything, write
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.corpus.costs import costs
from polyglot_lm.corpus.inspect import Finding, Wanted, find_corpora, inspect_documents, lines_of, printable, thresholds_from
from polyglot_lm.corpus.quality import lenient
from polyglot_lm.languages import language
from polyglot_lm.pipeline import Runtime, UserError, run_steps
from polyglot_lm.pipeline.identity import canonical
from polyglot_lm.recipes import corpus as recipes
from polyglot_lm.recipes.corpus import corpus, mild
from polyglot_lm.shards import read_documents

COPY = "Hari ini cuacanya cerah sekali, jadi kami semua berjalan pelan di tepi sungai yang tenang itu"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with the corpora of Indonesian and Malay, which share a group and one document, and of Korean."""
    folder = tmp_path_factory.mktemp("inspect")
    write(folder / "raw/id.jsonl", [COPY, *tiny_texts("id", 8)])
    write(folder / "raw/ms.jsonl", [{"text": COPY, "url": "https://a.example/010-1234-5678"}, *tiny_texts("ms", 8)])
    wrong = "My number is 010-1234-5678, " + tiny_texts("en", 1)[0] + "\x9b31m"
    write(folder / "raw/ko.jsonl", [*tiny_texts("ko", 8), "우리 전화는 010-1234-5678 입니다 그리고 오늘은 날씨가 맑아서", wrong])
    with pytest.MonkeyPatch.context() as patch:  # identification takes a text for one language, so a copy in two must be let in
        patch.setattr(recipes, "mild", lambda entry: anything(entry.code) if entry.group == "malay" else mild(entry))
        recipe = corpus(languages=("id", "ms", "ko"), sources=(str(folder / "raw"),), quality="lenient")
    run_steps(recipe.targets, Runtime(root=folder / "runs", workers=1))
    return folder / "runs"


def one(root: Path, wanted: Wanted) -> Finding:
    (found,) = inspect_documents(root, wanted, 1)
    return found


def test_a_refused_document_names_rule_bound_and_value(root: Path) -> None:
    found = one(root, Wanted(reason="wrong_script"))
    assert found.corpus.code == "ko"
    assert found.fate() == "removed: wrong_script; script_share is 0 and must be at least 0.5"
    failed = [(reason, meets) for reason, *_, meets in found.judgement() if not meets]
    assert failed[0] == ("wrong_script", False)
    shown = "\n".join(lines_of(found))
    assert "010-1234-5678" not in shown
    assert "<|tell|>" in shown
    assert "not masked: removed before" in shown
    assert "! wrong_script" in shown


def test_a_copy_shows_the_first_of_its_cluster_in_the_other_language(root: Path) -> None:
    found = one(root, Wanted(reason="exact_duplicate"))
    assert found.corpus.code == "ms"
    assert found.first is not None
    assert (found.first.corpus.code, found.first.row["id"]) == ("id", found.row["cluster_id"])
    shown = "\n".join(lines_of(found))
    assert f"one of 2; the first is {found.row['cluster_id']} (id, kept, in " in shown
    assert "010-1234-5678" not in shown  # in its address


def test_a_kept_document_is_found_by_id_and_by_words(root: Path) -> None:
    by_words = one(root, Wanted(text_contains="우리 전화는"))
    assert by_words.fate().startswith("kept, in ")
    assert by_words.masked_spans() == {"tell": 1}
    same = inspect_documents(root, Wanted(id=by_words.row["id"]), 10)  # parallel documents of other languages have it too
    assert by_words.row in [found.row for found in same]
    assert "masked    1 tell" in "\n".join(lines_of(by_words))
    both = Wanted(id=by_words.row["id"], reason="exact_duplicate")  # no copy of it was removed
    with pytest.raises(UserError, match="no document with id"):
        inspect_documents(root, both, 1)


def test_the_limit_and_the_folder_of_one_corpus(root: Path) -> None:
    every = inspect_documents(root, Wanted(text_contains="sungai"), 100)
    assert {found.corpus.code for found in every} == {"id", "ms"}
    assert len(inspect_documents(root, Wanted(text_contains="sungai"), 3)) == 3
    (malay,) = (corpus.folder for corpus in find_corpora(root) if corpus.code == "ms")
    found = inspect_documents(malay, Wanted(text_contains="sungai"), 100)
    assert len(found) == 9
    copy = next(finding for finding in found if finding.reason)
    assert copy.first is None
    assert "lies in none of the corpora asked about" in "\n".join(lines_of(copy))
    assert sorted(finding.row["id"] for finding in found) == sorted(
        row["id"] for folder in (malay, malay / "removed") for row in read_documents(folder, ("id",))
    )


def test_thresholds_come_back_from_an_identity() -> None:
    for thresholds in (mild(language("ko")), lenient(language("th"), **dict.fromkeys(LENIENT, 1))):
        assert thresholds_from(canonical(thresholds, "thresholds")) == thresholds


LENIENT = ("min_chars", "max_chars", "min_letter_share", "min_script_share", "min_signature_share", "min_language_confidence")


def test_a_terminal_obeys_no_text() -> None:
    assert printable("\x1b[31mred\x9b\u202e 글\n\t") == "\ufffd[31mred\ufffd\ufffd 글\n\t"


def test_costs_are_those_of_every_step(root: Path) -> None:
    found = {cost.name: cost for cost in costs(root)}
    assert found["documents/ko/raw"].text_bytes == found["corpus/ko"].text_bytes > 0
    both = found["documents/id/raw"].text_bytes + found["documents/ms/raw"].text_bytes
    assert found["clusters/id+ms"].text_bytes == both
    assert all(cost.disk_bytes > 0 for cost in found.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect"], "nothing to look for"),
        (["inspect", "--id", "f" * 32], "no document with id"),
        (["inspect", "nowhere", "--reason", "x"], "nowhere holds no finished corpus"),
        (["costs", "nowhere"], "nowhere holds no finished step"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_sentences(root: Path, arguments: Sequence[str], message: str) -> None:
    command, *others = arguments
    place = [] if "nowhere" in others else [str(root)]
    finished = CliRunner().invoke(app, ["corpus", command, *place, *others])
    assert isinstance(finished.exception, UserError)
    assert message in str(finished.exception)


def test_the_command_line_shows_documents(root: Path) -> None:
    finished = CliRunner().invoke(app, ["corpus", "inspect", str(root), "--reason", "wrong_script", "--limit", "1"])
    assert finished.exit_code == 0
    assert finished.stdout.startswith("id        ")
    assert "corpus/ko" in CliRunner().invoke(app, ["corpus", "costs", str(root)]).stdout
