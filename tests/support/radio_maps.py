"""Radio maps for tests of what is derived from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rm_geo.grid import Grid
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

CONE_GRID = Grid.create(500_000.0, 5_000_000.0, (60, 84), 25.0, 32633)


def write_cones(folder: Path, *, std_db: float | None = 6.0, shift_db: float = 0.0) -> Path:
    """Write the maps of two cells whose level falls with the distance; a corner is unknown."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, cols = np.indices(CONE_GRID.shape)
    for name, (row, col) in {"a": (20, 20), "b": (40, 66)}.items():
        level = -70.0 + shift_db - 0.75 * np.hypot(rows - row, cols - col)
        level[:4, :4] = np.nan
        x, y = CONE_GRID.to_world(row, col)
        site = Site(float(x), float(y), azimuth_deg=90.0, frequency_mhz=1815.0)
        deviation = None if std_db is None else np.full(CONE_GRID.shape, std_db)
        RadioMap(CONE_GRID, level, std_db=deviation, site=site, tags={"method": "test"}).write(
            folder / f"{name}_rsrp.tif"
        )
    return folder
