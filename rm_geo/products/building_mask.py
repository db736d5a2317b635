"""Mask of a building map, with a threshold that suits its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.buildings.threshold import CALIBRATION_TAG, Calibration, ExpectedF1
from rm_geo.io.cog import write_raster
from rm_geo.io.raster_reader import RasterFile, open_raster

MASK_NODATA: Final = 255

_COLOURS: Final = {0: (255, 255, 255), 1: (120, 94, 68)}
_BAND_BYTES: Final = 64 << 20
_BLOCK_ROWS: Final = 256


def write_building_mask(
    source: Path,
    target: Path,
    threshold: float | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    check: Callable[[], None] = lambda: None,
) -> float:
    """Write the mask of a raster of building probability, band by band.

    Parameters
    ----------
    source : Path
        GeoTIFF of building probability, whose tag ``building_calibration`` may state how it is
        calibrated.
    target : Path
        Mask to write: uint8, 1 where the probability exceeds the threshold, 255 without data.
    threshold : float, optional
        Default: that of the largest expected F1 of the map, see
        :class:`rm_geo.buildings.threshold.ExpectedF1`.
    tags : mapping of str to str, optional
        Metadata, to which the threshold and how it was chosen are added.
    check : callable
        Called between bands; raises to stop the work.

    Returns
    -------
    float
        The threshold.

    Raises
    ------
    InputError
        If the raster cannot be read.
    OutputError
        If the mask cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from rm_geo.grid import Grid
    >>> grid = Grid.create(500_000.0, 5_000_000.0, (1, 3), 1.0, 32633)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_raster(Path(folder, "p.tif"), np.float32([[0.6, 0.4, 0.01]]), grid)
    ...     threshold = write_building_mask(Path(folder, "p.tif"), Path(folder, "mask.tif"))
    ...     mask = open_raster(Path(folder, "mask.tif"), classes=True)
    ...     mask.read(slice(0, 1), slice(0, 3)).tolist()
    [[1.0, 1.0, 0.0]]
    """
    raster = open_raster(source)
    chosen = threshold
    if chosen is None:
        counts = ExpectedF1()
        for values in _bands(raster, check):
            counts.add(values)
        chosen = counts.threshold(Calibration.parse(raster.tags.get(CALIBRATION_TAG)))
    write_raster(
        target,
        (_mask(values, chosen) for values in _bands(raster, check)),
        raster.grid,
        nodata=MASK_NODATA,
        dtype="uint8",
        resampling="mode",
        colormap=_COLOURS,
        band_descriptions=["building"],
        tags={
            **(tags or {}),
            "quantity": "building mask",
            "mask_threshold": f"{chosen:g}",
            "mask_threshold_from": "expected F1" if threshold is None else "option",
        },
    )
    return chosen


def _bands(raster: RasterFile, check: Callable[[], None]) -> Iterator[FloatArray]:
    """Read all rows, some at a time, by whole blocks of the file."""
    height, width = raster.grid.shape
    rows = max(1, _BAND_BYTES // (8 * width * _BLOCK_ROWS)) * _BLOCK_ROWS
    for start in range(0, height, rows):
        check()
        yield raster.read(slice(start, min(start + rows, height)), slice(0, width))


def _mask(values: FloatArray, threshold: float) -> NDArray[Any]:
    """Compute the mask of some rows."""
    mask = np.where(np.isfinite(values), values > threshold, MASK_NODATA)
    return np.asarray(mask, dtype=np.uint8)
