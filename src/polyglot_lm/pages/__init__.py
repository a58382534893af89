"""Pages for people: one HTML file each, tables and charts, nothing to load from anywhere."""

from polyglot_lm.pages.charts import bar_chart, line_chart, row_chart
from polyglot_lm.pages.page import NOTHING, figure, figures, html_page, number, share, size, table

__all__ = [
    "NOTHING",
    "bar_chart",
    "figure",
    "figures",
    "html_page",
    "line_chart",
    "number",
    "row_chart",
    "share",
    "size",
    "table",
]
