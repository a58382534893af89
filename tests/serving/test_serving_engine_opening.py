"""A MODEL becomes an engine or a sentence; a folder is converted once; who asks for less goes first."""

import json
import shutil
from pathlib import Path

import pytest
from serving.tiny_model import write_tiny_model

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Sampling
from polyglot_lm.serving.engines.folder import converted
from polyglot_lm.serving.engines.lanes import gain
from polyglot_lm.serving.engines.opening import open_engine
from polyglot_lm.serving.engines.requests import Request, Waiting
from polyglot_lm.serving.engines.writing import Writing


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "tiny")


def test_the_kind_follows_from_folder_and_address(folder: Path) -> None:
    assert type(open_engine(str(folder))).__name__ == "CTranslate2Engine"
    assert type(open_engine(str(folder), "transformers")).__name__ == "TransformersEngine"
    assert type(open_engine("http://127.0.0.1:1/v1/")).__name__ == "UpstreamEngine"
    assert open_engine(str(folder)).name == "tiny" and open_engine(str(folder)).context == 160


def test_what_cannot_be_served_is_said_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    def spoiled(name: str, *, without: str = "", config: dict[str, object] | None = None) -> str:
        copy = Path(shutil.copytree(folder, tmp_path / name))
        if without:
            (copy / without).rename(copy / without.replace("model.safetensors", "pytorch_model.bin"))
            if (copy / without.replace("model.safetensors", "pytorch_model.bin")).name == without:
                (copy / without).unlink()
        if config:
            (copy / "config.json").write_text(json.dumps(json.loads((copy / "config.json").read_text()) | config))
        return str(copy)

    for model, options, sentence in (
        (str(tmp_path / "nothing"), {}, "there is no model"),
        (spoiled("a", without="config.json"), {}, r"no config\.json"),
        (spoiled("b", without="tokenizer.json"), {}, r"no tokenizer\.json"),
        (spoiled("c", without="model.safetensors"), {}, "pickled weights are never read"),
        (spoiled("d", config={"model_type": "llama"}), {}, "model_type is 'llama'"),
        (str(folder), {"kind": "vllm"}, "there is no engine 'vllm'"),
        (str(folder), {"kind": "transformers", "precision": "int3"}, "no precision 'int3'"),
        (str(folder), {"kind": "ctranslate2", "precision": "int3"}, "no precision 'int3'"),
        (str(folder), {"kind": "llama", "precision": "int3"}, "no precision 'int3'"),
        ("http://user:secret@host", {}, "not in the address"),
        ("http://", {}, "http://HOST:PORT"),
    ):
        with pytest.raises(UserError, match=sentence) as raised:
            open_engine(model, **options)
        assert "secret" not in str(raised.value)


def test_a_folder_is_converted_once_and_anew_when_it_changes(folder: Path) -> None:
    first = converted(folder, "int8")
    (first / "mark").touch()
    assert converted(folder, "int8") == first and (first / "mark").exists()
    assert converted(folder, "float32") != first
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(weights)
    assert converted(folder, "int8") not in (first, folder)
    assert converted(first, "int8") == first  # CTranslate2's own folder is used as it is
    assert open_engine(str(first)).context == 160
    with pytest.raises(UserError, match="is a folder for CTranslate2"):
        open_engine(str(first), "transformers")
    config = json.loads((first / "config.json").read_text())
    del config["max_position_embeddings"]
    (first / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has no max_position_embeddings"):
        open_engine(str(first))


def request(client: str, length: int = 3, left: int = 16) -> Request:
    sampling = Sampling(max_tokens=left)
    return Request([2] * length, sampling, Writing([], 2, sampling), context=1000, client=client)


@pytest.mark.anyio
async def test_the_client_with_the_least_under_way_is_next() -> None:
    waiting = Waiting()
    for client in "aaaabab":
        waiting.put(request(client))
    with waiting.changed:
        order = [waiting.take(1)[0] for _ in range(7)]
    assert "".join(one.client for one in order) == "ababaaa"
    assert [one.arrival for one in order if one.client == "a"] == sorted(one.arrival for one in order if one.client == "a")
    for one in order:
        waiting.release(one)
    assert not waiting.under_way


@pytest.mark.anyio
async def test_lanes_are_joined_where_much_is_left_to_draw_and_little_to_read() -> None:
    def lane(length: int, left: int) -> list[Request]:
        return [request("a", length, left)]

    def saved(first: list[Request], second: list[Request], step: int = 1) -> float:
        return gain(first, second, lambda row: step * len(row.ids))

    assert saved(lane(50, 60), lane(52, 60)) > 0 > saved(lane(50, 60), lane(52, 60), step=16)
    assert saved(lane(50, 60), lane(52, 9)) < 0 and saved(lane(500, 60), lane(502, 60)) < 0
    assert saved(lane(50, 60), lane(52, 60)) > saved(lane(50, 60), lane(80, 60)) > saved(lane(50, 60), lane(90, 60))
