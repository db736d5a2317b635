"""The font of previews and legends."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def sans_serif(size_px: int) -> Font:
    """Give the sans serif that matplotlib carries, which has more scripts than Pillow's own.

    Parameters
    ----------
    size_px : int
        Height.

    Returns
    -------
    ImageFont
        Pillow's own font where matplotlib's is missing.

    Examples
    --------
    >>> sans_serif(14).getbbox("dBm")[2] > 10
    True
    """
    # Where a package lies can be asked without importing it.
    found = find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size_px)
    return ImageFont.load_default(size_px)
