"""Matplotlib figures as SVG images that follow the reader's light or dark setting.

No pyplot: a `Figure` here belongs to no global state and is freed with its last reference.
"""

from __future__ import annotations

import base64
import io
import re
import warnings

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

INK, MUTED, GRID = "#1f2329", "#656d77", "#d9dee5"
SERIES = (
    "#2f6fde", "#e07b1a", "#2e9d5b", "#d1495b", "#8a5fc7",
    "#8c6d51", "#d46bb0", "#5f6b7a", "#a8a12a", "#1fa7b8",
)  # fmt: skip
_DARK = {
    INK: "#e6e9ee", MUTED: "#9aa3ae", GRID: "#343a43",
    **dict(zip(SERIES, (
        "#6aa0ff", "#f3a04e", "#57c785", "#f07585", "#b394ec",
        "#bd9c7d", "#ee95d0", "#94a1b2", "#cfc94f", "#4fd0e0",
    ))),
}  # fmt: skip
_FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def css_variables(dark: bool = False) -> str:
    """CSS declarations of the palette: --ink, --muted, --grid, --c0 ... --c9."""
    names = ("ink", "muted", "grid", *(f"c{i}" for i in range(len(SERIES))))
    colours = _DARK.values() if dark else _DARK
    return "".join(f"--{name}:{colour};" for name, colour in zip(names, colours))


def printable(text: str) -> str:
    """Text without what XML forbids: control characters and lone surrogates."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A transparent figure (size in inches) with one quiet pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=MUTED, length=0, labelsize=8.5)
    return figure, axes


def to_data_uri(figure: Figure) -> str:
    """The figure as `data:image/svg+xml;base64,...`.

    Text stays text (drawn by the browser in its own fonts), and each colour of the palette becomes
    a CSS variable that has a second value for dark pages.
    """
    for artist in figure.findobj(Text):
        if isinstance(artist, Text):
            artist.set_parse_math(False)  # a class may be called "$5"
            artist.set_text(printable(artist.get_text()))
    buffer = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}),
        warnings.catch_warnings(),
    ):
        # The browser draws the text: glyphs that matplotlib's own font lacks do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode("utf-8")
    names = ("ink", "muted", "grid", *(f"c{i}" for i in range(len(SERIES))))
    for name, colour in zip(names, _DARK):
        text = text.replace(colour, f"var(--{name})")
    style = (
        f"<style>:root{{{css_variables()}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{css_variables(dark=True)}}}}}"
        f"text,tspan{{font-family:{_FONTS} !important}}</style>"
    )
    text = text.replace("<defs>", style + "<defs>", 1)
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode("ascii")
