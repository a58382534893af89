"""The policy file: what it decides, and which sentence a wrong one gets."""

from pathlib import Path

import pytest
from guard_examples import guard

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.policy import read_policy
from polyglot_lm.serving.guard.verdict import Action

POLICY = """
countries = ["kr"]
hold_back_chars = 40
[completion.offence]
hold = 0.5
refuse = 0.9
[completion.offence.ja]
refuse = 0.7
[completion.words]
mask = 1.0
[completion.personal]
mask = 1.0
[completion.personal.email]
refuse = 1
[[lists]]
file = "ours.txt"
language = "id"
category = "insult"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "ours.txt").write_text("# ours\nblargh\n\n", encoding="utf-8")
    (tmp_path / "policy.toml").write_text(POLICY, encoding="utf-8")
    return tmp_path / "policy.toml"


def test_the_strictest_threshold_that_is_reached_decides(policy: Path) -> None:
    read = read_policy(policy)
    judged = [read.judge("completion", "offence", code, score) for code, score in (("ko", 0.4), ("ko", 0.5), ("ko", 0.95))]
    assert judged == [(Action.ALLOW, 0.0), (Action.HOLD, 0.5), (Action.REFUSE, 0.9)]
    assert read.judge("completion", "offence", "ja", 0.6) == (Action.ALLOW, 0.0)
    assert read.judge("completion", "offence", "ja", 0.7) == (Action.REFUSE, 0.7)
    assert read.judge("completion", "personal", "tell") == (Action.MASK, 1.0)
    assert read.judge("completion", "personal", "email") == (Action.REFUSE, 1.0)
    assert read.judge("prompt", "words", "ko") == (Action.ALLOW, 0.0)


def test_a_policy_masks_notes_and_refuses_as_it_says(policy: Path) -> None:
    judging = guard(policy=policy)
    masked = judging.check("a grunk, a blargh. 010-1234-5678", "completion")
    assert (masked.action, masked.text) == (Action.MASK, "a ***, a ***. <|tell|>")
    assert [reason.category for reason in masked.reasons] == ["listed word", "insult", "tell"]
    assert masked.reasons[1].sentence() == "insult (id): word list, masked"
    noted = judging.check("a grunk", "prompt")
    assert (noted.action, noted.text) == (Action.ALLOW, "a grunk")
    assert noted.reasons[0].sentence() == "listed word (en): word list, noted"
    assert judging.check("mail a.b@naver.com", "completion").action == Action.REFUSE


def test_the_default_policy_masks_in_both_directions_and_refuses_prompts() -> None:
    judging = guard()
    assert judging.check("010-1234-5678", "prompt").text == "<|tell|>"
    assert judging.check("a grunk", "prompt").action == Action.REFUSE
    assert judging.check("a grunk", "completion").action == Action.HOLD


WRONG = {
    'countries = ["xx"]': "no masking rules for the country 'xx'",
    "hold_back_chars = 4": "hold_back_chars is 4; it must be 16 to 256",
    "[completion.insult]\nhold = 1": "[completion.insult] is unknown",
    "[completion.offence]\nmask = 1": "'mask' in [completion.offence] is unknown",
    "[completion.offence.xx]\nhold = 1": "[completion.offence.xx] is unknown",
    "[completion.personal.name]\nmask = 1": "[completion.personal.name] is unknown",
    "[prompt.words]\nhold = 2": "hold in [prompt.words] is 2; it must be a score above 0 and up to 1",
    "[prompt.words]\nhold = true": "hold in [prompt.words] is True",
    '[[lists]]\nfile = "x"': "give file, language (a known code) and category",
    "prompt = 3": "[prompt.3] is unknown",
    "treshold = 1": "unknown field 'treshold'",
    "a = ": "cannot be read as a policy",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_policy_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        read_policy(path)
    assert WRONG[text] in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_missing_policy_or_list_is_a_sentence(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(UserError, match="cannot be read as a policy"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "ours.txt").unlink()
    with pytest.raises(UserError, match=r"ours\.txt cannot be read as a word list"):
        guard(policy=policy)
