"""`polyglot mask`: what goes in comes out but for its identifiers, whatever the bytes."""

import os
import subprocess
import sys

import pytest


def masked(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "polyglot_lm.cli", "mask", *arguments]
    return subprocess.run(command, input=data, capture_output=True, env=environment, check=False)


def test_numbers_of_all_countries_are_masked_and_every_other_byte_is_kept() -> None:
    text = "연락처 010-1234-5678\r\n手机13800138000\t\x00 call (212) 736-5000\n\n".encode()
    assert masked(text).stdout == "연락처 <|tell|>\r\n手机<|tell|>\t\x00 call <|tell|>\n\n".encode()
    assert masked(b"").stdout == b""


def test_bytes_that_are_no_utf_8_come_out_as_they_went_in() -> None:
    noise = b"\xff\xfe\xc3( \xed\xa0\x80 \xf4\x90\x80\x80 \xe3\x81"
    found = masked(noise + b" 010-1234-5678 " + noise)
    assert found.stdout == noise + b" <|tell|> " + noise
    assert found.returncode == 0


def test_explain_shows_place_kind_rule_and_evidence() -> None:
    text = "연락처 010-1234-5678"
    (line,) = masked(text.encode(), "--explain").stdout.decode().splitlines()
    place, kind, rule, evidence, number = line.split("\t")
    assert (place, kind, number) == ("4-17", "tell", "010-1234-5678")
    assert rule == "kr: mobile"
    assert "plan: phone:KR" in evidence and "beside: 연락처" in evidence


def test_countries_and_kinds_can_be_chosen() -> None:
    text = "手机 13800138000 a@naver.com".encode()
    assert masked(text, "--countries", "kr").stdout == "手机 13800138000 <|email|>".encode()
    assert masked(text, "--kinds", "tell,rrn").stdout == "手机 <|tell|> a@naver.com".encode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--countries", "kr,atlantis"), "no masking rules for 'atlantis'; there are rules for"),
        (("--kinds", "name"), "unknown kind of identifier 'name'; known are acc"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(arguments: tuple[str, ...], message: str) -> None:
    found = masked(b"text", *arguments)
    assert found.returncode == 2
    assert message in found.stderr.decode() and "Traceback" not in found.stderr.decode()
