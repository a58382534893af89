"""The frame of all pages: nothing from elsewhere, titles escaped, numbers that do not lie."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.pages import figure, figures, html_page, share, size, table

VOID = {"meta"}


class Nesting(HTMLParser):
    """Raises when a tag closes another than the one last opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_well_formed_loads_nothing_and_escapes_its_title() -> None:
    cells = [["ko", "<b>1</b>"], ["ja", '<td class="zero">·</td>']]
    page = html_page(
        "Loss < 2 & more", [figures([figure("3.1", "bits", kind="x")]), table(("a", "b"), cells)], style=".x { --c: red; }"
    )
    reader = Nesting()
    reader.feed(page)
    assert reader.open == []
    assert page.count("Loss &lt; 2 &amp; more") == 2
    assert ".x { --c: red; }" in page
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
    assert page.count("<td") == 4


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_share_reads_as_nothing_or_all_only_when_it_is(part: int, more: int) -> None:
    whole = part + more
    written = share(part, whole)
    assert (written == "0.0 %") == (part == 0 < whole)
    assert (written == "100.0 %") == (more == 0 < whole)


@pytest.mark.parametrize(("num_bytes", "written"), [(999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (7e12, "7.0 TB")])
def test_sizes_have_the_unit_that_fits(num_bytes: float, written: str) -> None:
    assert size(num_bytes) == written
