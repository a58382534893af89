"""A data set of the hub: its address, its revision, and its rows up to a budget (from a local folder: no network here)."""

import json
from pathlib import Path

import pytest

from polyglot_lm.corpus.hub import HubDataset, current_revision, hub_dataset
from polyglot_lm.corpus.sources import RawDocument, Unreadable
from polyglot_lm.languages import language
from polyglot_lm.pipeline import UserError
from polyglot_lm.pipeline.identity import canonical


@pytest.mark.parametrize(
    ("source", "dataset", "config", "revision"),
    [
        ("hub:wikimedia/wikipedia:20231101.{code}@abc", "wikimedia/wikipedia", "20231101.ko", "abc"),
        ("hub:HuggingFaceFW/fineweb-2:{iso639_3}_{script}@v1.0", "HuggingFaceFW/fineweb-2", "kor_Hang", "v1.0"),
        ("hub:owner/text-{code}@main", "owner/text-ko", None, "main"),
    ],
)
def test_an_address_is_filled_for_a_language(source: str, dataset: str, config: str | None, revision: str) -> None:
    found = hub_dataset(source, language("ko"), max_bytes=5)
    assert found == HubDataset(dataset=dataset, config=config, revision=revision, max_bytes=5)
    assert found.name == dataset.partition("/")[2]
    assert canonical(found, "source") == {"dataset": dataset, "config": config, "revision": revision, "max_bytes": 5}


@pytest.mark.parametrize(("code", "config"), [("zh", "cmn_Hani"), ("ko", "kor_Hang"), ("en", None)])
def test_without_a_configuration_the_one_of_the_table_is_taken(code: str, config: str | None) -> None:
    """FineWeb2 calls Chinese cmn_Hani, not by the script of our table, and has no English."""
    assert hub_dataset("hub:HuggingFaceFW/fineweb-2@main", language(code), max_bytes=5).config == config


@pytest.mark.parametrize("source", ["hub:", "hub:a/b@", "hub::config@main"])
def test_what_is_no_address_is_said_in_a_sentence(source: str) -> None:
    with pytest.raises(UserError, match="is no hub address; write hub:OWNER/NAME:CONFIG@REVISION"):
        hub_dataset(source, language("ko"), max_bytes=5)


def test_without_a_network_a_revision_must_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"the revision of a/b cannot be looked up .* pin it with @REVISION"):
        hub_dataset("hub:a/b", language("ko"), max_bytes=5)


@pytest.mark.parametrize("name", ["no//name", "../up"])
def test_a_name_that_no_data_set_can_have_is_said_in_a_sentence(name: str) -> None:
    with pytest.raises(UserError, match=f"the revision of {name} cannot be looked up"):
        current_revision(name)


def test_rows_are_streamed_until_the_budget_is_spent(tmp_path: Path) -> None:
    rows = [{"text": "가나"}, {"text": None}, {"text": "다라"}, {"text": "마바"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({**row, "url": "u"}) + "\n" for row in rows))
    path = f"{tmp_path}@r1"
    (reader,) = HubDataset(dataset=str(tmp_path), config=None, revision="r1", max_bytes=7).tasks()
    assert list(reader.records()) == [
        RawDocument(path=path, position=0, text="가나", url="u"),
        Unreadable(path=path, position=1, reason="no field 'text' with text in it"),
        RawDocument(path=path, position=2, text="다라", url="u"),
    ]


def test_a_data_set_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (reader,) = HubDataset(dataset=str(tmp_path / "nowhere"), config=None, revision="r1", max_bytes=7).tasks()
    with pytest.raises(UserError, match=r"hub data set .*nowhere@r1 cannot be read"):
        list(reader.records())
