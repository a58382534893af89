"""How the page looks: the palette of our reports on Gradio's components, in light and dark, with fonts of the reader's system.

Gradio's own themes load fonts; this one names only what the system has, and no file of it comes from elsewhere.
"""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

CSS = Path(__file__).with_name("page.css")
INK = colors.Color(
    name="ink",
    c50="#f1f3fd",
    c100="#e3e6fa",
    c200="#c7cdf5",
    c300="#a3acee",
    c400="#7a87e4",
    c500="#5b6adb",
    c600="#4053d3",
    c700="#3443ad",
    c800="#2a3689",
    c900="#232d6d",
    c950="#171d47",
)
FONT = ("system-ui", "Noto Sans", "Noto Sans CJK KR", "Noto Sans Thai", "sans-serif")
MONO = ("ui-monospace", "Noto Sans Mono", "monospace")
GROUND, RAISED, LINE = ("#fbfbfc", "#14171b"), ("#ffffff", "#1b1f24"), ("#e3e5ea", "#2c3139")  # light, dark


def theme() -> gr.themes.Base:
    """Return the theme of the page."""
    plain = gr.themes.Base(
        primary_hue=INK,
        secondary_hue=INK,
        neutral_hue=colors.slate,
        text_size=sizes.text_md,
        radius_size=sizes.radius_md,
        font=[fonts.Font(name) for name in FONT],
        font_mono=[fonts.Font(name) for name in MONO],
    )
    return plain.set(
        body_background_fill=GROUND[0],
        body_background_fill_dark=GROUND[1],
        background_fill_primary=RAISED[0],
        background_fill_primary_dark=RAISED[1],
        block_background_fill=RAISED[0],
        block_background_fill_dark=RAISED[1],
        block_border_width="1px",
        block_border_color=LINE[0],
        block_border_color_dark=LINE[1],
        border_color_primary=LINE[0],
        border_color_primary_dark=LINE[1],
        block_label_text_weight="500",
        block_shadow="none",
        input_background_fill=GROUND[0],
        input_background_fill_dark=GROUND[1],
        input_border_color=LINE[0],
        input_border_color_dark=LINE[1],
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )
