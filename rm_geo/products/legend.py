"""Legends as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from rm_geo.products.fonts import sans_serif
from rm_geo.products.layer_style import LegendEntry

_TEXT_PX: Final = 15
_ROW_PX: Final = 22
_EDGE_PX: Final = 10
_SWATCH_PX: Final = 26
_WIDEST_PX: Final = 420
_MOST_ROWS: Final = 30
_INK: Final = "#1a1a1a"
_PAPER: Final = (255, 255, 255, 230)


def draw_legend(title: str, entries: Sequence[LegendEntry]) -> Image.Image:
    """Draw a legend: a heading, then a swatch and a label for each entry.

    Parameters
    ----------
    title : str
        Heading.
    entries : sequence of LegendEntry
        From top to bottom; of more than 30, the first are drawn and the others counted.

    Returns
    -------
    PIL.Image.Image
        RGBA, on almost opaque white.

    Examples
    --------
    >>> draw_legend("RSRP in dBm", [LegendEntry("#d7301f", "-70 dBm")]).mode
    'RGBA'
    """
    font = sans_serif(_TEXT_PX)
    shown = list(entries[:_MOST_ROWS])
    labels = [entry.label for entry in shown]
    if len(entries) > _MOST_ROWS:
        labels.append(f"and {len(entries) - _MOST_ROWS} more")
    room = _WIDEST_PX - 3 * _EDGE_PX - _SWATCH_PX
    pen = ImageDraw.Draw(Image.new("RGBA", (1, 1)))
    widest = max(
        min(pen.textlength(title, font=font), room + _SWATCH_PX) - _SWATCH_PX,
        *(min(pen.textlength(label, font=font), room) for label in labels or [""]),
    )
    size = (
        round(widest) + 3 * _EDGE_PX + _SWATCH_PX,
        2 * _EDGE_PX + _ROW_PX * (len(labels) + 1),
    )
    drawn = Image.new("RGBA", size, _PAPER)
    pen = ImageDraw.Draw(drawn)
    middle = _EDGE_PX + _ROW_PX // 2
    pen.text((_EDGE_PX, middle), title, fill=_INK, font=font, anchor="lm")
    for place, label in enumerate(labels):
        middle += _ROW_PX
        if place < len(shown):
            box = (_EDGE_PX, middle - 8, _EDGE_PX + _SWATCH_PX, middle + 8)
            pen.rectangle(box, fill=shown[place].colour, outline=_INK)
        text_x = 2 * _EDGE_PX + _SWATCH_PX
        pen.text((text_x, middle), label, fill=_INK, font=font, anchor="lm")
    return drawn
