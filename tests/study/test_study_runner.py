"""A whole study in seconds: order, records, and going on where it was cut."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import ARMS, LANGUAGES, StudyData, make_data, protocol

from polyglot_lm.cli.study import run_command
from polyglot_lm.mixture import Explicit
from polyglot_lm.pipeline import UserError, read_json
from polyglot_lm.recipes.balance_study import protocol_of
from polyglot_lm.study import runner
from polyglot_lm.study.plan import Choice, Plan, extensions
from polyglot_lm.study.protocol import UNIFORM, Arm, Protocol, Training
from polyglot_lm.study.runner import STAGES, Study, read_records

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def study_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("study")
    make_data(root)
    return root


@pytest.fixture(scope="module")
def data(study_root: Path) -> StudyData:
    return StudyData(study_root / "data")


def study(data: StudyData, out: Path, decisions: Protocol | None = None, **own: object) -> tuple[Study, list[str]]:
    lines: list[str] = []
    return Study(protocol=decisions or protocol(), data=data, out=out, devices=[CPU], say=lines.append, **own), lines  # type: ignore[arg-type]


def test_a_study_goes_on_with_what_is_not_done(data: StudyData, tmp_path: Path) -> None:
    first, lines = study(data, tmp_path)
    trained = first.train

    def cut(training: object, capacity: int) -> bool:  # killed in the middle of the arms
        if len(first.done) == 9:
            raise KeyboardInterrupt
        return trained(training, capacity)  # type: ignore[arg-type]

    first.train = cut  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        first.carry_out()
    kept = {path: path.read_bytes() for path in tmp_path.glob("runs/*/*/run.json")}
    assert len(kept) == 9
    second, lines = study(data, tmp_path)
    assert second.carry_out()
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert len(read_records(tmp_path)) == len(second.done) == len(kept) + sum(" select " in line for line in lines)
    again, lines = study(data, tmp_path)
    assert again.carry_out() and not lines
    check_records(second)
    check_exclusion(second)
    check_absent_tokenizer(data, tmp_path)


def check_records(done: Study) -> None:
    by_stage = {stage: [record for (of, _), record in done.done.items() if of == stage] for stage in STAGES}
    proposed = read_json(done.out / "proposals.json")
    assert {record["arm"] for record in by_stage["search"] if record["confirmation"]} <= {"uniform", *proposed}
    assert {record["seed"] for record in by_stage["search"]} == {1, 101, 102}
    assert len(by_stage["arms"]) == 8
    assert {(*record["languages"], record["batch_windows"], record["seed"]) for record in by_stage["finer"]} == {
        (*languages, batch, seed) for languages, batch in ((LANGUAGES, 2), (("ko",), 1), (("en",), 1)) for seed in (1, 2)
    }
    frozen = read_json(done.out / "references-tiny.json")["languages"]
    assert frozen.keys() == set(LANGUAGES)
    for record in by_stage["arms"]:
        assert all(abs(record["share_planned"][code] - record["share_realised"][code]) < 0.03 for code in LANGUAGES)  # 72 windows
        assert record["resumed"] == 0 and record["spikes"] == 0
        assert sum(record["tokens_seen"].values()) == record["steps"] * 4 * 32
        (folder,) = done.out.glob(f"runs/arms/{record['arm']}-*-s{record['seed']}")
        documents = np.load(folder / record["document_bits"])
        for code in LANGUAGES:
            whole = documents[f"{code}_bits"].sum() / documents[f"{code}_bytes"].sum()
            assert whole == pytest.approx(record["bits_per_byte"]["test"][code], rel=1e-5)
        assert (record["controller_log"] is not None) == (record["arm"] == "controller-from-raw")
    chosen = [
        record["bits_per_byte"]["test"]["ko"]
        for record in by_stage["references"]
        if record["languages"] == ["ko"]
        and record["english_bytes_seen"]["ko"] < 1.5 * done.protocol.content
        and all(record[key] == frozen["ko"][key] for key in ("batch_windows", "learning_rate"))
    ]
    assert len(chosen) == frozen["ko"]["seeds"] == 2
    assert frozen["ko"]["test"] == pytest.approx(np.mean(chosen))


def check_exclusion(done: Study) -> None:
    """A training that left out too many steps is done again with the next seed, and so is its pair."""
    key, record = next((key, record) for key, record in done.done.items() if record["arm"] == "bloom" and key[0] == "arms")
    for spikes, again in ((record["steps"] // 100, set()), (record["steps"] // 100 + 1, {("bloom", 3), ("uniform", 3)})):
        plan = Plan(done.protocol, done.data, {**done.done, key: {**record, "spikes": spikes}}, done.plan().frozen)
        assert {(training.arm, training.seed) for training in plan.arms("tiny")} == again


def check_absent_tokenizer(data: StudyData, complete: Path) -> None:
    arms = {**ARMS, "skewed-tokenizer": Arm(policy=UNIFORM, tokenizer="skewed")}
    made, lines = study(data, complete, protocol(arms=arms))
    assert lines == ["tokenizer 'skewed' did not come along: arms that need it are left out"]
    assert made.missing("arms") == []


def test_a_reference_reads_what_uniform_reads_of_its_language(data: StudyData) -> None:
    plan = Plan(protocol(content=9_000.0), data, {})
    window = {code: 32 * held for code, held in data.per_token("parity").items()}
    arm = plan.arm("arms", "uniform", 1, Choice(4, 0.004), size="tiny")
    assert arm.num_windows == pytest.approx(sum(9_000 / window[code] for code in LANGUAGES), abs=1)
    for code in LANGUAGES:
        reference = plan.reference(code, 1, Choice(2, 0.004), size="tiny")
        assert reference.num_windows * window[code] == pytest.approx(9_000, abs=window[code])


def test_an_arm_of_some_languages_reads_as_much_and_is_scored_in_all(data: StudyData, tmp_path: Path) -> None:
    absent = Arm(policy=Explicit(unit="english_bytes", weights={"en": 1.0}), languages=("en",))
    made, _ = study(data, tmp_path, protocol(arms={**ARMS, "bloom-floor-0": absent}, max_epochs=3.0, seeds=1))
    assert made.carry_out(("arms",))
    records = {record["arm"]: record for (stage, _), record in made.done.items() if stage == "arms"}
    lacking, uniform = records["bloom-floor-0"], records["uniform"]
    assert lacking["tokens_seen"] == {"en": sum(uniform["tokens_seen"].values())}
    assert lacking["bits_per_byte"]["test"].keys() == set(LANGUAGES)
    assert lacking["bits_per_byte"]["test"]["ko"] > uniform["bits_per_byte"]["test"]["ko"]


def test_floors_are_arms_only_where_bloom_lacks_a_language() -> None:
    some, all_known = (
        protocol_of(codes, size="27m", content_megabytes=1.0, seeds=1, placebo=()) for codes in (("en", "ko"), ("en", "zh"))
    )
    assert not [name for name in all_known.arms if "floor" in name]
    assert some.arms["bloom-floor-0"].languages == ("en",) and some.arms["bloom-floor-2"].languages == ()
    assert some.arms["bloom-floor-2"].policy.weights["ko"] == 0.02


def test_references_of_four_times_the_content_are_where_there_is_text(data: StudyData) -> None:
    done = {}
    held = [each["english_bytes"] for each in data.supplies["parity"].values()]
    for fourfold, expected in ((1.6 * max(held), set()), (1.4 * min(held), set(LANGUAGES))):
        plan = Plan(protocol(content=fourfold / 4, whole_budget=()), data, done)
        while missing := plan.sweep("tiny"):
            done |= {(each.stage, each.name): record_of(each) for each in missing}
        assert {each.languages[0] for each in plan.whole_budget("tiny")} == expected


def record_of(training: Training) -> dict[str, object]:
    bits = dict.fromkeys(training.scored, 1 + training.learning_rate)
    return {"bits_per_byte": {"select": bits}, "train_loss": 1.0, "spikes": 0, "steps": training.steps}


def test_a_deadline_leaves_the_rest_for_another_time(data: StudyData, tmp_path: Path) -> None:
    cut, lines = study(data, tmp_path, deadline=0.0)
    assert not cut.carry_out()
    assert not cut.done and "time is up in sweep" in lines[-1]


def test_an_unknown_stage_is_refused(data: StudyData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no stage 'arm' of a study; there are sweep"):
        study(data, tmp_path)[0].carry_out(["arm"])


def test_too_little_text_stops_a_study_before_it_starts(data: StudyData, tmp_path: Path) -> None:
    held = data.supplies["parity"]["en"]["english_bytes"]
    thirsty = Arm(policy=Explicit(unit="english_bytes", weights={"en": 0.999, "ko": 0.001}))
    with pytest.raises(UserError, match=r"arm 'thirsty' lacks 0\.\d+ MB-eq\. of 'en' to read none of it more than 1\.5 times"):
        study(data, tmp_path, protocol(arms={**ARMS, "thirsty": thirsty}, content=0.9 * held))
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_too_little_text_at_once(data: StudyData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"arm '[\w-]+' lacks \d+\.\d MB-eq\. of '(ko|en)' .* add text, lower content_megabytes"):
        run_command(data.folder, tmp_path, device="cpu", placebo="")
    assert not list(tmp_path.iterdir())


def test_a_missing_language_stops_a_study_before_it_starts(data: StudyData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="arm 'uniform' reads 'th', of which there is no text"):
        study(data, tmp_path, protocol(languages=("ko", "th")))


def test_a_sweep_grows_where_its_best_lies_at_an_edge() -> None:
    tried = {4: [1.0, 2.0, 4.0], 8: [1.0, 2.0, 4.0]}

    def losses(*values: float) -> dict[Choice, float]:
        return dict(zip([Choice(batch, rate) for batch, rates in tried.items() for rate in rates], values, strict=True))

    assert extensions(losses(3, 2, 3, 3, 2.01, 3), 2, tried, most=6) == []
    assert extensions(losses(3, 2, 1, 3, 1.01, 3), 1, tried, most=6) == [(4, 8.0)]
    assert extensions(losses(3, 2, 1, 1.005, 2, 3), 1, tried, most=6) == [(4, 8.0), (8, 0.5)]
    assert extensions(losses(3, 2, 1, 1.5, 2, 3), 1, tried, most=6) == [(4, 8.0)]  # far from the best of all
    assert extensions(losses(3, 2, 1, 3, 2, 3), 1, tried, most=3) == []


def test_lanes_are_of_the_sizes_there_are() -> None:
    from polyglot_lm.study.protocol import SHAPES

    assert runner.LANES.keys() == SHAPES.keys()


def test_two_processes_share_a_folder_and_train_nothing_twice(data: StudyData, tmp_path: Path) -> None:
    stages = ("sweep", "references", "arms")
    alone, _ = study(data, tmp_path / "alone")
    assert alone.carry_out(stages)
    with ThreadPoolExecutor(2) as pool:  # a lock is of an open file: two threads hold it as little as two processes do
        both = [study(data, tmp_path / "shared") for _ in range(2)]
        assert all(pool.map(lambda each: each[0].carry_out(stages), both))
    records = read_records(tmp_path / "shared")
    trained = [{line.rsplit(" select ")[0] for line in lines} for _, lines in both]
    assert not trained[0] & trained[1] and len(trained[0] | trained[1]) == len(records)
    assert all(trained) and all(record["resumed"] == 0 for record in records.values())
    assert {name: record["bits_per_byte"] for name, record in records.items()} == {
        name: record["bits_per_byte"] for name, record in alone.done.items()
    }


def test_a_carried_size_takes_over_what_was_swept_at_another(data: StudyData, tmp_path: Path) -> None:
    made, _ = study(data, tmp_path, protocol(ladder=("tiny", "10m"), carried={"10m": "tiny"}, rates=(0.004, 0.008)))
    assert made.carry_out(("ladder",)) and not [record for record in made.done.values() if record["size"] == "10m"]
    assert made.carry_out(("carried",))
    plan = made.plan()
    ran = {stage: [record for (of, _), record in made.done.items() if of == stage] for stage in ("sweep", "references", "ladder")}
    assert not [record for record in ran["sweep"] if record["size"] == "10m"]
    assert [(each["arm"], each["seed"]) for each in ran["ladder"] if each["size"] == "10m"] == [("uniform", 1), ("bloom", 1)]
    at_it = {record["languages"][0]: record for record in ran["references"] if record["size"] == "10m"}
    assert at_it.keys() == set(LANGUAGES) == plan.frozen["10m"]["languages"].keys()
    for code, record in at_it.items():
        small = plan.frozen["tiny"]["languages"][code]
        assert (record["batch_windows"], plan.frozen["10m"]["languages"][code]["rate"]) == (small["batch_windows"], small["rate"])
        assert record["learning_rate"] == pytest.approx(small["learning_rate"] / 3, rel=0.01)  # 192 wide instead of 64
    spiky = {key: {**record, "spikes": record["steps"]} if record["size"] == "10m" else record for key, record in made.done.items()}
    again = Plan(made.protocol, data, spiky)
    assert not again.ladder("10m") and again.freeze("10m") == plan.frozen["10m"]  # its one seed counts whatever it left out
