"""Small drive tests, in memory and as files."""

from dataclasses import replace

import geopandas
import numpy as np
from pyproj import CRS, Transformer

from rm_geo.measurements.model import Measurements

CORNER = (500_000.0, 5_400_000.0)
"""South-west corner of the measurements, in UTM zone 33N."""


def drive(count=60, extent=(100.0, 80.0), seed=0, cell="7", level=None):
    """Points of one cell whose level falls with the distance from the south-west corner."""
    rng = np.random.default_rng(seed)
    east, north = rng.uniform(0, extent[0], count), rng.uniform(0, extent[1], count)
    rsrp = -60.0 - 20.0 * np.log10(1.0 + np.hypot(east, north) / 10.0)
    if level is not None:
        rsrp = np.full(count, level)
    return Measurements(
        x=CORNER[0] + east,
        y=CORNER[1] + north,
        rsrp_dbm=rsrp.astype(np.float32),
        cell=np.array([cell] * count, dtype=object),
        crs=CRS.from_epsg(32633),
    )


def together(*parts):
    """Join measurements of several cells into one table."""
    return replace(
        parts[0],
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("x", "y", "rsrp_dbm", "cell")
        },
    )


def drive_frame(count=60, cells=("7", "8"), seed=0, crs="EPSG:4326"):
    """Make a drive test as a GeoDataFrame; the cells alternate."""
    rng = np.random.default_rng(seed)
    x = CORNER[0] + rng.uniform(0, 100, count)
    y = CORNER[1] + rng.uniform(0, 80, count)
    rsrp = np.round(-60.0 - 0.5 * np.hypot(x - CORNER[0], y - CORNER[1]), 1)
    if crs == "EPSG:4326":
        x, y = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    return geopandas.GeoDataFrame(
        {"pci": [cells[i % len(cells)] for i in range(count)], "rsrp": rsrp},
        geometry=geopandas.points_from_xy(x, y),
        crs=crs,
    )


def write_frame(frame, path):
    """Write a GeoDataFrame in the format of the extension; return the path."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        table = frame.drop(columns="geometry")
        table.assign(longitude=frame.geometry.x, latitude=frame.geometry.y).to_csv(
            path, index=False
        )
    else:
        frame.to_file(path)
    return path


def write_drive(path, cells, extent=150.0, seed=0):
    """Write 400 measurements of each cell as CSV, in metres without a CRS."""
    rng = np.random.default_rng(seed)
    lines = ["x,y,rsrp,cell"]
    for cell in cells:
        for x, y in rng.uniform(0.0, extent, (400, 2)):
            level = -60.0 - 20.0 * np.log10(1.0 + np.hypot(x, y) / 10.0)
            lines.append(f"{500_000 + x:.2f},{5_400_000 + y:.2f},{level:.1f},{cell}")
    path.write_text("\n".join(lines) + "\n")
