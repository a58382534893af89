"""Publishing, against a hub on this machine: what would happen is said, what should not happen does not, and a cut push goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from release.stand_in_hub import Hub, running_hub

from polyglot_lm.pipeline import UserError, read_json
from polyglot_lm.release.card import MARK, front_matter
from polyglot_lm.release.hub import Plan, plan_push, push, require_pushable

NAME = "someone/polyglot-tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import _commit_api, hf_api

    for module in (_commit_api, hf_api):  # xet has a protocol of its own; the hub takes plain uploads as well
        monkeypatch.setattr(module, "is_xet_available", lambda: False, raising=False)
    with running_hub() as found:
        yield found


@pytest.fixture
def api(hub: Hub) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.address, token="hf_right")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an export as far as publishing looks at it: large files, a card, a proof that passed."""
    out = tmp_path / "model"
    (out / "plots").mkdir(parents=True)
    for number in (1, 2):
        (out / f"model-0000{number}-of-00002.safetensors").write_bytes(bytes([number]) * 50_000)
    (out / "config.json").write_text("{}")
    (out / "plots" / "loss.svg").write_text("<svg/>")
    (out / "README.md").write_text("\n".join([*front_matter({"ko": "한국어"}), MARK, "# Tiny", ""]))
    (out / "proof.json").write_text(json.dumps({"passed": True, "failures": []}))
    (out / "step.json").write_text("{}")
    (out / ".hidden").write_text("mine")
    return out


def states(plan: Plan) -> dict[str, str]:
    return {change.path: change.what for change in plan.changes}


def test_a_plan_lists_all_files_and_sends_nothing(api: Any, hub: Hub, folder: Path) -> None:
    plan = plan_push(api, folder, NAME)
    assert set(states(plan).values()) == {"new"} and not plan.exists and plan.refusals == []
    assert set(states(plan)) == {
        "README.md",
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "plots/loss.svg",
        "proof.json",
    }
    assert plan.num_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) - 6
    assert hub.repositories == {} and hub.commits == []


def test_a_push_makes_the_repository_and_a_branch_for_a_step(api: Any, hub: Hub, folder: Path) -> None:
    plans = [plan_push(api, folder, NAME), plan_push(api, folder, NAME, "step-1000")]
    require_pushable(plans, anyway=False, overwrite=False)
    addresses = push(api, plans, private=True)
    assert addresses == [f"{hub.address}/{NAME}/tree/main", f"{hub.address}/{NAME}/tree/step-1000"]
    for branch in ("main", "step-1000"):
        held = hub.repositories[NAME][branch]
        assert {name for name in held if name != ".gitattributes"} == set(states(plans[0]))
        assert held["model-00002-of-00002.safetensors"] == bytes([2]) * 50_000
    assert read_json(folder / "pushed.json") == {"address": f"{hub.address}/{NAME}", "branches": ["main", "step-1000"]}
    assert set(states(plan_push(api, folder, NAME)).values()) == {"same"}


def test_a_push_that_was_cut_goes_on_and_sends_nothing_twice(api: Any, hub: Hub, folder: Path) -> None:
    hub.refuse_commits = 1
    with pytest.raises(UserError, match="run the same command again"):
        push(api, [plan_push(api, folder, NAME)], private=True)
    assert len(hub.uploads) == 2 and hub.commits == []  # the large files have arrived, but no half of a model is to be seen
    plan = plan_push(api, folder, NAME)
    require_pushable([plan], anyway=False, overwrite=False)
    push(api, [plan], private=True)
    assert len(hub.uploads) == len(set(hub.uploads)) == 2
    assert [branch for _, branch, _ in hub.commits] == ["main"]


def test_nothing_is_committed_when_nothing_changed(api: Any, hub: Hub, folder: Path) -> None:
    push(api, [plan_push(api, folder, NAME)], private=True)
    push(api, [plan_push(api, folder, NAME)], private=True)
    assert len(hub.commits) == 1


def test_a_repository_with_other_content_is_left_alone(api: Any, hub: Hub, folder: Path) -> None:
    held = {"config.json": b'{"theirs": 1}', "notes.md": b"theirs"}
    hub.repositories[NAME] = {"main": dict(held)}
    plan = plan_push(api, folder, NAME)
    assert states(plan)["config.json"] == "changed" and states(plan)["notes.md"] == "theirs"
    with pytest.raises(UserError, match=r"holds other content \(config\.json, notes\.md\)"):
        require_pushable([plan], anyway=True, overwrite=False)
    assert hub.repositories[NAME]["main"] == held
    require_pushable([plan], anyway=False, overwrite=True)
    push(api, [plan], private=True)
    assert hub.repositories[NAME]["main"]["config.json"] == b"{}"
    assert hub.repositories[NAME]["main"]["notes.md"] == b"theirs"  # what only they have is kept


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("proof.json", None, r"proof\.json is missing"),
        ("proof.json", {"passed": False, "failures": ["ko: logits differ by 3"]}, "the proof failed: ko: logits differ by 3"),
        ("balance.json", {"models": [{"gates": [{"name": "most epochs", "value": 9.5, "passed": False}]}]}, "'most epochs' failed"),
        ("README.md", None, r"README\.md is missing"),
        ("README.md", "---\nlicense: mine\n---\n", "license 'mine' is not one of the hub's"),
    ],
)
def test_what_was_not_proved_is_refused_unless_told_otherwise(api: Any, folder: Path, file: str, content: Any, says: str) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
    plan = plan_push(api, folder, NAME)
    with pytest.raises(UserError, match=says):
        require_pushable([plan], anyway=False, overwrite=False)
    require_pushable([plan], anyway=True, overwrite=False)


def test_without_a_token_nothing_is_sent(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    api = huggingface_hub.HfApi(endpoint=hub.address)
    with pytest.raises(UserError, match="there is no token of the hub"):
        push(api, [plan_push(api, folder, NAME)], private=True)
    assert hub.repositories == {}


def test_a_wrong_token_ends_in_a_sentence(hub: Hub, folder: Path) -> None:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.address, token="hf_wrong")
    with pytest.raises(UserError, match="the hub did not take 'someone/polyglot-tiny'"):
        push(api, [plan_push(api, folder, NAME)], private=True)


def test_no_network_ends_in_a_sentence(folder: Path) -> None:
    def no_route(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the host")

    with pytest.raises(UserError, match="no route to the host"):
        plan_push(SimpleNamespace(list_repo_tree=no_route), folder, NAME)


def test_a_model_of_the_hub_comes_down(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what importing needs travels: with safetensors there, the old format stays where it is."""
    from huggingface_hub import HfApi

    from polyglot_lm.release import importing

    files = {"config.json": b"{}", "model.safetensors": b"1" * 100, "pytorch_model.bin": b"2" * 100, "tokenizer.json": b"{}"}
    hub.repositories[NAME] = {"main": files}
    found = importing.download(NAME, "main", HfApi(endpoint=hub.address, token=False), tmp_path / "cache")
    assert {path.name for path in found.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    with pytest.raises(UserError, match="neither a folder nor a model"):
        importing.download(NAME, "no-such-branch", HfApi(endpoint=hub.address, token=False), tmp_path / "cache")
