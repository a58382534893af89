"""A data set of the hub: its address, its revision, and its rows up to a budget (from a local folder: no network here)."""

import gzip
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyglot_lm.corpus import hub
from polyglot_lm.corpus.hub import HubDataset, current_revision, hub_dataset
from polyglot_lm.corpus.sources import RawDocument, Reader, Unreadable
from polyglot_lm.languages import language, languages
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
    with pytest.raises(UserError, match=r"hub data set .*nowhere@r1 cannot be read"):
        HubDataset(dataset=str(tmp_path / "nowhere"), config=None, revision="r1", max_bytes=7).tasks()


def texts_of(readers: Sequence[Reader]) -> list[list[str]]:
    return [[record.text for record in reader.records() if isinstance(record, RawDocument)] for reader in readers]


def test_parquet_of_any_data_set_is_read_in_slices_that_share_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SLICE_BYTES", 2500)
    texts = [f"{number:04d}" * 250 for number in range(20)]
    for part in range(2):
        table = pa.table({"text": texts[10 * part : 10 * part + 10]})
        pq.write_table(
            table, tmp_path / f"train-{part:05d}-of-00002.parquet", row_group_size=1, use_dictionary=False, write_statistics=False
        )

    def tasks(max_bytes: int) -> Sequence[Reader]:
        return HubDataset(dataset=str(tmp_path), config=None, revision="r1", max_bytes=max_bytes).tasks()

    assert texts_of(tasks(10**9)) == [texts[start : start + 2] for start in range(0, 20, 2)]
    assert [text for share in texts_of(tasks(12_500)) for text in share] == texts[:13]
    assert texts_of(tasks(1)) == [texts[:1]]
    ids = [(record.path, record.position) for task in tasks(10**9) for record in task.records()]
    assert ids == [(f"{tmp_path}@r1/train-{part:05d}-of-00002.parquet", row) for part in range(2) for row in range(10)]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """Stand in for the hub's file system: the same paths, in memory."""
    monkeypatch.setattr(hub, "ROOT", "memory://datasets")
    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/datasets"):
        system.rm("/datasets", recursive=True)


def test_the_layouts_of_known_data_sets_lead_to_their_files(store: fsspec.AbstractFileSystem) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["가", "나"], "url": ["u", "v"]}), sink)
    names = {
        "HuggingFaceFW/fineweb-2": ("data/kor_Hang/train/000_00000.parquet", "data/kor_Hang/test/000_00000.parquet"),
        "wikimedia/wikipedia": ("20231101.ko/train-00000-of-00003.parquet", "20231101.en/train-00000-of-00003.parquet"),
        "uonlp/CulturaX": ("ko/ko_part_00000.parquet", "kok/kok_part_00000.parquet"),
        "HPLT/HPLT2.0_cleaned": ("kor_Hang/train-00000-of-00009.parquet", "jpn_Jpan/train-00000-of-00009.parquet"),
    }
    for dataset, (right, wrong) in names.items():
        for path in (right, wrong):
            store.pipe(f"/datasets/{dataset}@v1/{path}", bytes(sink.getvalue()))
        (task,) = hub_dataset(f"hub:{dataset}@v1", language("ko"), max_bytes=100).tasks()
        path = f"{dataset}@v1/{right}"
        assert list(pickle.loads(pickle.dumps(task)).records()) == [
            RawDocument(path, 0, "가", "u"),
            RawDocument(path, 1, "나", "v"),
        ]
    assert set(names) | {"allenai/MADLAD-400"} == set(hub.layouts())


def test_compressed_json_lines_are_one_stream_up_to_the_budget(store: fsspec.AbstractFileSystem) -> None:
    """MADLAD-400 has a loading script, and writes a line's end as two characters."""
    root = "/datasets/allenai/MADLAD-400@v1/data/ko/ko"
    rows = [{"text": f"하나\\n{number}"} for number in range(6)]
    for part in range(2):
        content = "".join(json.dumps(row) + "\n" for row in rows[3 * part : 3 * part + 3])
        store.pipe(f"{root}_clean_000{part}.jsonl.gz", gzip.compress(content.encode()))
    store.pipe(f"{root}_noisy_0000.jsonl.gz", b"")
    (task,) = hub_dataset("hub:allenai/MADLAD-400@v1", language("ko"), max_bytes=40).tasks()
    found = list(task.records())
    assert [record.text for record in found if isinstance(record, RawDocument)] == [f"하나\n{number}" for number in range(5)]
    assert found[-1][:2] == ("allenai/MADLAD-400@v1/data/ko/ko_clean_0001.jsonl.gz", 1)


def test_a_configuration_that_is_missing_or_wrong_is_said_in_a_sentence(store: fsspec.AbstractFileSystem) -> None:
    with pytest.raises(UserError, match=r"fineweb-2@v1 needs a configuration; write hub:HuggingFaceFW/fineweb-2:CONFIG"):
        hub_dataset("hub:HuggingFaceFW/fineweb-2@v1", language("en"), max_bytes=5).tasks()
    with pytest.raises(UserError, match=r"fineweb-2@v1 has no files data/kor/train/\*.parquet; check its configuration"):
        hub_dataset("hub:HuggingFaceFW/fineweb-2:kor@v1", language("ko"), max_bytes=5).tasks()


def test_every_language_names_its_configurations() -> None:
    for entry in languages().values():
        named = dict(source.split(":", 1) for source in entry.sources)
        web = "HuggingFaceFW/fineweb" if entry.code == "en" else "HuggingFaceFW/fineweb-2"
        assert set(named) == {web, "wikimedia/wikipedia", "uonlp/CulturaX", "allenai/MADLAD-400", "HPLT/HPLT2.0_cleaned"}
