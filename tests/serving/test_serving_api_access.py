"""Who may come in, what browsers are told, and what is written nowhere."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from serving.stand_ins import HTTP, Parrot, running

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.access import add_key, read_keys, remove_key
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.settings import Settings

BODY = {"model": "parrot", "prompt": "ab", "max_tokens": 2}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture(scope="module")
def open_address() -> Iterator[str]:
    with running(Service({"parrot": Parrot()})) as found:
        yield found


def test_a_key_is_stored_as_a_hash_only(keys: Path) -> None:
    key = add_key(keys, "anna")
    assert key.startswith("plg-") and len(key) > 40
    assert key[4:] not in keys.read_text() and keys.stat().st_mode & 0o777 == 0o600
    assert list(read_keys(keys)) == ["anna"]
    with pytest.raises(UserError, match="has a key named 'anna'"):
        add_key(keys, "anna")
    with pytest.raises(UserError, match="name of a key is 'a b'"):
        add_key(keys, "a b")
    remove_key(keys, "anna")
    with pytest.raises(UserError, match="no key named 'anna'"):
        remove_key(keys, "anna")


def test_a_server_needs_its_file_of_keys(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="polyglot keys add"), running(Service({}), keys=tmp_path / "none.json"):
        pass


def test_only_known_keys_come_in_and_removing_one_works_at_once(keys: Path) -> None:
    key, other = add_key(keys, "anna"), add_key(keys, "ben")
    with running(Service({"parrot": Parrot()}), keys=keys) as address:
        for wrong in (None, "Bearer", "Bearer plg-wrong", f"Basic {key}", f"Bearer {key}x"):
            headers = {"authorization": wrong} if wrong else {}
            for path in ("/v1/models", "/metrics", "/v1/nowhere"):
                answer = HTTP.get(address + path, headers=headers)
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["error"]["type"] == "authentication_error"
        malformed = HTTP.post(f"{address}/v1/completions", content=b"{", headers={"content-type": "application/json"})
        assert malformed.status_code == 401  # before anything is read
        assert HTTP.get(f"{address}/health").status_code == HTTP.get(f"{address}/ready").status_code == 200
        with pytest.raises(openai.AuthenticationError, match="not known here"):
            openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0).models.list()
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
        assert client.completions.create(**BODY).choices[0].text == "ab"
        remove_key(keys, "anna")
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        assert HTTP.get(f"{address}/v1/models", headers={"authorization": f"Bearer {other}"}).status_code == 200


def test_browsers_are_told_to_be_careful(open_address: str) -> None:
    for path in ("/v1/models", "/health", "/v1/nowhere", "/elsewhere"):
        headers = HTTP.get(open_address + path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer" and "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    assert "default-src 'none'" in HTTP.get(f"{open_address}/v1/models").headers["content-security-policy"]
    assert HTTP.get(f"{open_address}/v1/models").headers["cache-control"] == "no-store"


def test_pages_of_others_may_not_call_unless_told(open_address: str) -> None:
    question = {"origin": "https://friend.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in HTTP.options(f"{open_address}/v1/completions", headers=question).headers
    with running(Service({"parrot": Parrot()}), origins=("https://friend.example",)) as address:
        allowed = HTTP.options(f"{address}/v1/completions", headers=question)
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        question["origin"] = "https://stranger.example"
        assert "access-control-allow-origin" not in HTTP.options(f"{address}/v1/completions", headers=question).headers


def test_an_open_server_answers_to_local_names_only(open_address: str) -> None:
    rebound = HTTP.get(f"{open_address}/v1/models", headers={"host": "stranger.example"})
    assert rebound.status_code == 403 and "--name stranger.example" in rebound.json()["error"]["message"]
    for name in ("localhost:8000", "127.0.0.1", "[::1]:8000", "[::1]"):
        assert HTTP.get(f"{open_address}/v1/models", headers={"host": name}).status_code == 200


def test_settings_warn_and_refuse(keys: Path) -> None:
    assert Settings().warnings() == () and Settings().loopback and Settings(host="::1").loopback
    wide = Settings(host="0.0.0.0")
    assert not wide.loopback and wide.hosts is None
    assert "without keys" in wide.warnings()[0] and "--keys" in wide.warnings()[0]
    assert "unencrypted" in Settings(host="0.0.0.0", keys=keys).warnings()[0]
    with pytest.raises(UserError, match="port is 70000"):
        Settings(port=70000)
    with pytest.raises(UserError, match="origin is 'friend"):
        Settings(origins=("friend.example",))


def test_the_log_holds_no_text_and_no_key(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Parrot):
        def tokens(self, text: str) -> list[str] | None:
            raise RuntimeError(f"a defect that quotes {text}")

    key = add_key(keys, "anna")
    caplog.set_level(logging.DEBUG)
    with running(Service({"parrot": Parrot(), "broken": Broken("broken")}), keys=keys) as address:
        headers = {"authorization": f"Bearer {key}"}
        post = lambda **change: HTTP.post(f"{address}/v1/completions?secret=1", json=BODY | change, headers=headers)  # noqa: E731
        assert post(prompt="비밀스러운").status_code == 200
        assert post(prompt="비밀스러운", model="비밀").status_code == 404
        assert post(prompt=["비밀스러운"], max_tokens="비밀").status_code == 400
        failed = post(prompt="비밀스러운", model="broken")
        assert failed.status_code == 500 and "비밀" not in failed.text
        assert failed.json()["error"]["type"] == "server_error"
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore")))
    assert "POST /v1/completions 200" in ours and "anna" in ours and "RuntimeError" in ours
    assert "비밀" not in ours and "secret" not in ours and key[4:] not in ours
    assert json.dumps("비밀")[1:7] not in ours
