"""Real text: every span that masking takes there was read and judged; false ones stay under 1 in 100,000 characters.

`reviewed_spans.jsonl` holds positions and verdicts, never text. A span is true when it is a whole identifier of its kind that
reaches or names somebody or something real; it is false when it is something else, a part of something, or evidently made up for
an example. A span that nobody has judged counts as false, so new rules must be read against the text before they pass.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from polyglot_lm.languages import languages
from polyglot_lm.masking import mask

DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "text"
HEADER, *REVIEWED = map(json.loads, (Path(__file__).parent / "reviewed_spans.jsonl").read_text(encoding="utf-8").splitlines())
MOST_FALSE = 1.0  # in 100,000 characters


def place(span: dict[str, Any]) -> tuple[str, str, str, int, int, str]:
    return span["lang"], span["source"], span["id"], span["start"], span["end"], span["kind"]


def test_at_least_200_spans_of_a_language_are_judged_or_all() -> None:
    judged = Counter(span["lang"] for span in REVIEWED)
    assert judged.keys() == HEADER["characters"].keys() == languages().keys()
    assert judged["th"] >= 200
    assert len({place(span) for span in REVIEWED}) == len(REVIEWED)
    assert {"lang", "source", "id", "start", "end", "kind", "true"} == set(REVIEWED[0])  # and no text


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared text is not here")
@pytest.mark.parametrize("code", languages())
def test_false_spans_in_real_text_are_few(code: str) -> None:
    true = {place(span) for span in REVIEWED if span["true"]}
    num_chars, false = 0, []
    for path in sorted((DATA / code).glob("*.jsonl.zst")):
        for line in pa.input_stream(path, compression="zstd").read().splitlines():
            document = json.loads(line)
            num_chars += len(document["text"])
            for span in mask(document["text"], countries=languages()[code].countries).spans:
                found = (code, path.name.split(".")[0], document["id"], span.start, span.end, span.kind)
                if found not in true:
                    false.append(found)
    assert num_chars == HEADER["characters"][code]
    assert len(false) / num_chars * 100_000 <= MOST_FALSE, false[:20]
