"""The bench on task files of our own: the harness's numbers, resumption, contamination, and failures that stop nothing."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from evaluation.tiny_models import write_model

from polyglot_lm.corpus.decontaminate import HIT_SCHEMA
from polyglot_lm.evaluation.bench import read_scores, run_bench
from polyglot_lm.evaluation.catalogue import PROMPTS, catalogue, chosen_tasks
from polyglot_lm.evaluation.evaluate import contamination, measure_tasks
from polyglot_lm.evaluation.local import read_rows, read_splits
from polyglot_lm.evaluation.models import BenchedModel, load_model
from polyglot_lm.languages import languages
from polyglot_lm.pipeline import CorruptFileError, Progress, Runtime, UserError, write_json

WIC = [
    {
        "word": "배",
        "context_1": f"[배]가 {n}척 떠난다",
        "context_2": "[배]가 아프다" if n % 3 else "[배]를 탔다",
        "label": int(n % 3 == 0),
    }
    for n in range(12)
]
COPA = [
    {
        "premise": f"Hujan turun {n} hari.",
        "choice1": "Jalan basah.",
        "choice2": "Ia tidur.",
        "question": "effect",
        "label": n % 2,
        "idx": n,
    }
    for n in range(8)
]


def write_split(folder: Path, split: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with pa.output_stream(str(folder / f"{split}.jsonl.zst"), compression="zstd") as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        write_split(root / "kobest_wic", split, WIC)
    for split in ("validation", "test"):
        write_split(root / "xcopa_id", split, COPA)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BenchedModel:
    torch.set_num_threads(1)
    return load_model(str(write_model(tmp_path_factory.mktemp("model"), "gpt_neox")), device="cpu")


def bench(out: Path, model: BenchedModel, data: Path, *names: str, shots: int = 0, limit: int | None = None) -> dict[str, str]:
    return run_bench(out, model, chosen_tasks(names, data), data=data, shots=shots, limit=limit, progress=Progress())


@pytest.mark.parametrize("shots", [0, 2])
def test_scores_and_answers_are_the_harness_own(tmp_path: Path, model: BenchedModel, data: Path, shots: int) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    assert bench(tmp_path, model, data, shots=shots, limit=10) == {}
    theirs = simple_evaluate(
        model=HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=3),
        tasks=["kobest_wic", "xcopa_id"],
        num_fewshot=shots,
        limit=10,
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(tmp_path / "prompts"), include_defaults=False),
    )
    for score in read_scores(tmp_path):
        name = score["name"]
        assert {f"{metric},none": found["value"] for metric, found in score["metrics"].items()} == {
            key: pytest.approx(value, abs=1e-12) for key, value in theirs["results"][name].items() if key in ("acc,none", "f1,none")
        }
        answers = pq.read_table(tmp_path / "items" / f"{name}-{shots}.parquet")["choices"].to_pylist()
        for mine, sample in zip(answers, theirs["samples"][name], strict=True):
            assert mine == pytest.approx([float(answer[0]) for answer in sample["filtered_resps"]], abs=1e-3)


def test_what_is_done_is_not_run_again(tmp_path: Path, model: BenchedModel, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    from polyglot_lm.evaluation import harness

    real = harness.evaluate_task

    def counted(benched: Any, name: str, *places: Any, **how: Any) -> Any:
        ran.append(name)
        return real(benched, name, *places, **how)

    monkeypatch.setattr(harness, "evaluate_task", counted)
    bench(tmp_path, model, data, "kobest_wic", limit=4)
    bench(tmp_path, model, data, limit=4)
    assert ran == ["kobest_wic", "xcopa_id"]
    bench(tmp_path, model, data, limit=5)  # another question
    assert ran[2:] == ["kobest_wic", "xcopa_id"]


def test_a_task_that_fails_stops_no_other(tmp_path: Path, model: BenchedModel, data: Path) -> None:
    root = tmp_path / "data"
    write_split(root / "kobest_wic", "test", [{"nothing": "useful"}])
    write_split(root / "nsmc", "test", [])
    write_split(root / "indonli", "validation", [{"premise": "a", "hypothesis": "b", "label": 0}])
    write_split(root / "xcopa_id", "test", COPA)
    failed = bench(tmp_path / "out", model, root)
    assert failed.keys() == {"kobest_wic", "nsmc", "indonli"}
    assert failed["nsmc"] == "nsmc has no items in test; look into its file, or leave it out"
    assert "has no test_lay.jsonl.zst; leave indonli out" in failed["indonli"]
    assert all(reason and "\n" not in reason for reason in failed.values())
    assert [score["name"] for score in read_scores(tmp_path / "out")] == ["xcopa_id"]


def test_a_masked_model_is_marked_as_such(tmp_path: Path, data: Path) -> None:
    masked = load_model(str(write_model(tmp_path / "bert", "bert")), device="cpu")
    assert bench(tmp_path / "out", masked, data, "xcopa_id") == {}
    found = read_scores(tmp_path / "out")[0]
    assert found["scored_by"] == "pseudo-log-likelihood"
    assert math.isfinite(found["metrics"]["acc"]["value"])


def test_examples_are_refused_where_there_are_none(tmp_path: Path, model: BenchedModel) -> None:
    write_split(tmp_path / "data" / "copal_id_standard", "test", COPA)
    failed = bench(tmp_path, model, tmp_path / "data", shots=5)
    assert failed == {"copal_id_standard": "copal_id_standard has no examples to show; run it with --shots 0"}


def test_contamination_stands_beside_each_score(tmp_path: Path, model: BenchedModel, data: Path) -> None:
    hits = [("a", "kobest_wic", 3, True), ("b", "kobest_wic", 3, False), ("c", "kobest_wic", 5, False), ("d", "other", 1, True)]
    columns = {"document": 0, "task": 1, "item": 2, "contaminates": 3}
    rows = [{**dict.fromkeys(HIT_SCHEMA.names), "split": "test", **{n: hit[p] for n, p in columns.items()}} for hit in hits]
    (tmp_path / "ko" / "hits").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=HIT_SCHEMA), tmp_path / "ko" / "hits" / "part-00000.parquet")
    write_json(tmp_path / "ko" / "step.json", {"specification": {"arguments": {"contamination": "index-1"}}, "counters": {}})
    where = {"data": data, "shots": [0], "limit": 3, "languages": ["ko", "id"], "runtime": Runtime(threads=1, device="cpu")}
    measure_tasks(tmp_path, model, chosen_tasks([], data), corpora={"ko": tmp_path / "ko"}, **where)
    found = {score["name"]: score["contamination"] for score in json.loads((tmp_path / "scores.json").read_text())["scores"]}
    assert found == {"kobest_wic": {"items_removed": 1, "items_left": 1}, "xcopa_id": {"items_removed": 0, "items_left": 0}}
    assert contamination({}) is None


def test_rows_are_shaped_as_the_prompt_wants_them(tmp_path: Path) -> None:
    write_split(tmp_path, "test", [{"premise": "a", "label": 1}, {"premise": "b", "label": 2}])
    found = read_splits({"test": str(tmp_path / "test.jsonl.zst")}, {"premise": "sentence1"}, [0, 2, 1], ["answer"], version=1)
    assert found["test"].to_list() == [
        {"sentence1": "a", "label": 2, "answer": None},
        {"sentence1": "b", "label": 1, "answer": None},
    ]
    (tmp_path / "bad.jsonl.zst").write_bytes(b"not zstd")
    with pytest.raises(CorruptFileError, match="damaged"):
        read_rows(tmp_path / "bad.jsonl.zst")


def test_every_task_has_a_prompt_and_a_language_of_the_table() -> None:
    import lm_eval.tasks

    theirs = Path(lm_eval.tasks.__file__).parent
    for task in catalogue().values():
        assert (theirs / task.harness if task.harness else PROMPTS / f"{task.name}.yaml").is_file()
        assert task.language in languages()
    for family in ("Belebele", "Global-PIQA"):  # the two that can be averaged
        assert {task.language for task in catalogue().values() if task.family == family} == set("ko ja zh id ms vi th en".split())


def test_tasks_are_chosen_by_name_family_and_language(data: Path) -> None:
    assert [task.name for task in chosen_tasks([], data)] == ["kobest_wic", "xcopa_id"]
    assert {task.language for task in chosen_tasks(["Belebele"], None)} >= {"ko", "ms"}
    assert {task.name for task in chosen_tasks(["th"], None)} >= {"xcopa_th", "xnli_th", "belebele_tha_Thai"}
    assert all(task.hub for task in chosen_tasks([], None))
    with pytest.raises(UserError, match="no task 'kobest_wik'; did you mean 'kobest_wic'"):
        chosen_tasks(["kobest_wik"], data)
    with pytest.raises(UserError, match="no folder 'nowhere' of tasks"):
        chosen_tasks([], Path("nowhere"))
