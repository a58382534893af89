"""Every format in every precision, proved on a tiny chain; what is wrong with an input is said before anything is written."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from release.tiny_chain import NAMES, run_chain
from safetensors.torch import load_file, save_file

from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import CorruptFileError, UserError, read_json
from polyglot_lm.release import ctranslate2_folder, export, gguf_file, hugging_face
from polyglot_lm.release.export import FORMATS, Unproved
from polyglot_lm.release.gguf_file import split_name
from polyglot_lm.release.proof import CLOSE, EXACT, Agreement
from polyglot_lm.tokenizer import Tokenizer

CASES = [(form, precision) for form, chosen in FORMATS.items() for precision in chosen.bounds]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return run_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def copied(tmp_path: Path, folders: Mapping[str, Path]) -> Path:
    """Return a copy of the exported model below a root of its own, where it finds what it was made from."""
    root = folders["model"].parent
    shutil.copytree(root, tmp_path / "root")
    return tmp_path / "root" / folders["model"].name


@pytest.mark.parametrize(("form", "precision"), CASES)
def test_every_format_is_proved_in_every_precision(folders: Mapping[str, Path], tmp_path: Path, form: str, precision: str) -> None:
    found = export.export(folders["training"], tmp_path / "out", form=form, precision=precision)
    written = read_json(tmp_path / "out" / "proof.json")
    assert written["passed"] and written["precision"] == precision and written["format"] == form
    assert found.languages.keys() == NAMES.keys()
    assert min(row.tokens for row in found.languages.values()) > 50
    exact = precision == "float32"
    assert found.bound == (EXACT if exact else FORMATS[form].bounds[precision])
    if not exact:
        assert max(row.logits_difference for row in found.languages.values()) > 0  # else it was not asked what it stores


def test_an_intermediate_step_is_exported_like_the_model(folders: Mapping[str, Path], tmp_path: Path) -> None:
    (checkpoint,) = (folders["training"] / "checkpoints").glob("step-*4")
    export.export(checkpoint, tmp_path / "step-4", form="hf", precision="float32")
    found, last = load_file(tmp_path / "step-4" / "model.safetensors"), load_file(folders["model"] / "model.safetensors")
    assert found.keys() == last.keys()
    assert all(torch.equal(found[name], last[name]) for name in last)
    assert not any("optimizer" in name for name in found)


def test_a_checkpoint_that_was_cut_is_named(copied: Path, tmp_path: Path) -> None:
    (checkpoint,) = copied.parent.glob("training-*/checkpoints/step-*4")
    (checkpoint / "__0_0.distcp").unlink()
    with pytest.raises(CorruptFileError, match=r"__0_0\.distcp is damaged \(checksum missing"):
        export.export(checkpoint, tmp_path / "out", form="hf", precision="float32")
    assert not (tmp_path / "out").exists()


def test_a_file_of_fewer_bits_is_smaller(folders: Mapping[str, Path], tmp_path: Path) -> None:
    sizes = []
    for precision in ("float32", "float16", "int8", "int4"):
        export.export(folders["training"], tmp_path / precision, form="gguf", precision=precision)
        (file,) = (tmp_path / precision).glob("*.gguf")
        sizes.append(file.stat().st_size)
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4


@pytest.mark.parametrize("form", ["ctranslate2", "gguf"])
def test_a_sequential_model_with_a_tied_head_keeps_its_logits(folders: Mapping[str, Path], tmp_path: Path, form: str) -> None:
    shape = neox(vocab_size=384, context=32, num_layers=2, width=32, num_heads=4, rotary_dims=2)
    fields = {name: getattr(shape, name) for name in shape.__slots__}
    network = GPTNeoX(type(shape)(**fields | {"parallel_residual": False, "tied_head": True, "rotary_base": 500.0, "gelu": "tanh"}))
    initialize(network, torch.Generator().manual_seed(3))
    save_hf(network, tmp_path / "odd", end_id=2)
    sentence = dict.fromkeys(("ko", "en"), "오늘은 the weather อากาศดี")
    (tmp_path / "text.jsonl").write_text(json.dumps(sentence, ensure_ascii=False))
    found = export.export(
        tmp_path / "odd",
        tmp_path / "out",
        form=form,
        precision="float32",
        tokenizer=folders["tokenizer"],
        text=tmp_path / "text.jsonl",
    )
    assert all(row.logits_difference <= 1e-4 and row.tokens > 5 for row in found.languages.values())


def test_a_failed_proof_deletes_nothing(folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = hugging_face.Weights.read
    wrong = lambda weights, name: read(weights, name) * (1.5 if name == "layers.1.mlp.dense_4h_to_h.weight" else 1)  # noqa: E731
    monkeypatch.setattr(hugging_face, "write", None)

    def write_wrong(weights: hugging_face.Weights, tokenizer: Path, out: Path, precision: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(hugging_face.Weights, "read", wrong)
            FORMATS["hf"].write(weights, tokenizer, out, precision)

    broken = export.Format(
        write=write_wrong, num_bytes=FORMATS["hf"].num_bytes, logits=FORMATS["hf"].logits, bounds=FORMATS["hf"].bounds
    )
    monkeypatch.setattr(export, "FORMATS", {"broken": broken})
    with pytest.raises(Unproved, match="logits differ by"):
        export.export(folders["training"], tmp_path / "out", form="broken", precision="float32")
    assert {"model.safetensors", "proof.json", "config.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert read_json(tmp_path / "out" / "proof.json")["passed"] is False


def test_bounds_refuse_what_is_no_number() -> None:
    rows = torch.zeros(2, 4)
    found = Agreement()
    found.add(rows, torch.full((2, 4), float("nan")), torch.tensor([0, 1]))
    assert not EXACT.holds(found) and not CLOSE.holds(found)


@pytest.mark.parametrize(
    ("form", "precision", "says"),
    [("onnx", "float32", "no format 'onnx'"), ("hf", "int3", "hf has no precision 'int3'"), ("ctranslate2", "int4", "it has")],
)
def test_an_unknown_format_is_refused(folders: Mapping[str, Path], tmp_path: Path, form: str, precision: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        export.export(folders["training"], tmp_path / "out", form=form, precision=precision)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(folders: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and nothing is overwritten"):
        export.export(folders["training"], tmp_path, form="hf", precision="float32")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_half_written_checkpoint_is_named(copied: Path, tmp_path: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (copied / "checksums.json").unlink()
    with pytest.raises(CorruptFileError, match=r"model\.safetensors is damaged"):
        export.export(copied, tmp_path / "out", form="hf", precision="float32")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("change", "says"), [("missing", "no gpt_neox.final"), ("shape", "has the shape"), ("more", "account")])
def test_tensors_that_do_not_fit_the_configuration_are_named(copied: Path, tmp_path: Path, change: str, says: str) -> None:
    tensors = load_file(copied / "model.safetensors")
    if change == "missing":
        del tensors["gpt_neox.final_layer_norm.bias"]
    else:
        tensors["gpt_neox.final_layer_norm.bias" if change == "shape" else "gpt_neox.new"] = torch.zeros(7)
    save_file(tensors, copied / "model.safetensors")
    (copied / "checksums.json").unlink()
    with pytest.raises(CorruptFileError, match=says):
        export.export(copied, tmp_path / "out", form="hf", precision="float32")


def test_another_models_tokenizer_is_refused(folders: Mapping[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["tokenizer"], tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    path.write_text(path.read_text().replace('"NFC"', '"NFD"'))
    with pytest.raises(UserError, match="was trained with the tokenizer in"):
        export.export(folders["training"], tmp_path / "out", form="hf", precision="float32", tokenizer=tmp_path / "other")


def test_a_full_disk_is_said_before_writing(folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match=r"has 0\.0 GB, make room"):
        export.export(folders["training"], tmp_path / "out", form="hf", precision="float32")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_records_needs_text(folders: Mapping[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["training"] / "model", tmp_path / "bare")
    with pytest.raises(UserError, match="name its folder with --tokenizer"):
        export.export(tmp_path / "bare", tmp_path / "out", form="hf", precision="float32")
    with pytest.raises(UserError, match="does not record what it was trained on"):
        export.export(tmp_path / "bare", tmp_path / "out", form="hf", precision="float32", tokenizer=folders["tokenizer"])


def test_ctranslate2_continues_as_the_model_does(folders: Mapping[str, Path], tmp_path: Path) -> None:
    import ctranslate2

    export.export(folders["training"], tmp_path / "out", form="ctranslate2", precision="float32")
    tokenizer, network = Tokenizer(tmp_path / "out"), load_hf(folders["training"])
    names = ctranslate2_folder.vocabulary(tokenizer, network.config.vocab_size)
    prompt = [tokenizer.end_id, *tokenizer.encode("오늘은", parse_special=False)]
    generator = ctranslate2.Generator(str(tmp_path / "out"))
    options = {"max_length": 4, "include_prompt_in_result": False, "sampling_topk": 1, "suppress_sequences": [["<|endoftext|>"]]}
    (found,) = generator.generate_batch([[names[token] for token in prompt]], **options)
    with torch.no_grad():
        first = network(torch.tensor([prompt]))[0, -1]
    first[tokenizer.end_id] = -torch.inf
    assert found.sequences_ids[0][0] == int(first.argmax())


def test_gguf_names_the_patterns_it_can_and_stores_the_vocabulary(folders: Mapping[str, Path], tmp_path: Path) -> None:
    import gguf

    export.export(folders["training"], tmp_path / "out", form="gguf", precision="int8")
    fields = gguf.GGUFReader(tmp_path / "out" / gguf_file.file_name("int8")).fields
    tokenizer = Tokenizer(folders["tokenizer"])
    assert len(fields["tokenizer.ggml.tokens"].data) == 384
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tokenizer.end_id
    assert fields["general.architecture"].contents() == "gptneox"
    assert fields["gptneox.use_parallel_residual"].contents() is True
    assert split_name(read_json(folders["tokenizer"] / "tokenizer.json")) == "qwen35"
    assert split_name({"pre_tokenizer": {"type": "ByteLevel", "use_regex": True}}) == "gpt-2"


def test_rows_of_query_key_and_value_go_there_and_back() -> None:
    from polyglot_lm.release.weights import by_head, by_kind

    shape = neox(vocab_size=384, context=8, num_layers=1, width=12, num_heads=3, rotary_dims=2)
    rows = torch.arange(36.0)[:, None] * torch.ones(1, 12)
    turned = by_kind(rows, shape)
    assert turned[:12, 0].tolist() == [*range(4), *range(12, 16), *range(24, 28)]  # the queries of the three heads
    assert torch.equal(by_head(turned, shape), rows)
    assert np.array_equal(by_kind(rows[:, 0], shape), turned[:, 0])
