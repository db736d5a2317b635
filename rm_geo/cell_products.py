"""The files of one cell, which appear together or not at all, and the summary of all cells."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo.atomic import PART_SUFFIX, output_error, replacing
from rm_geo.errors import OutputError, RmGeoError
from rm_geo.estimators.base import FloatArray
from rm_geo.grid import Grid
from rm_geo.raster_io import Colour, OverviewResampling, write_raster
from rm_geo.stac import ITEM_SUFFIX, MeasuringTime, write_item
from rm_geo.units import NODATA_DBM

MASK_NODATA: Final = 255
_MASK_COLOURS: Final = {0: (255, 255, 255), 1: (120, 94, 68)}


@dataclass(frozen=True)
class CellMaps:
    """The maps of one cell; arrays have the grid's shape, NaN where nothing is known."""

    grid: Grid
    rsrp_dbm: FloatArray
    building_probability: FloatArray | None = None
    std_db: FloatArray | None = None


@dataclass(frozen=True)
class CellResult:
    """What became of one cell: a row of the summary.

    Attributes
    ----------
    cell : str
        Name, as in the file names.
    status : str
        ``mapped`` or ``failed``.
    message : str
        Why it failed; empty otherwise.
    measurements : int
        Measurements of the cell.
    measured_pixels, mapped_pixels : int
        Pixels with a measurement, and pixels of the map that are not nodata.
    rows, cols : int
        Shape of the map.
    spacing_m : float
        Side of a pixel.
    crs : str
        CRS of the map.
    tiles : int
        Tiles that were computed.
    rsrp_min_dbm, rsrp_mean_dbm, rsrp_max_dbm : float or None
        Of the map; the mean is that of the values in dBm.
    building_share : float or None
        Mean building probability.
    transmitter, intercept : str
        How they were found.
    method : str
        Name of the estimator.
    files : tuple of str
        Names of the files, in the output folder.
    """

    cell: str
    status: str
    message: str = ""
    measurements: int = 0
    measured_pixels: int = 0
    mapped_pixels: int = 0
    rows: int = 0
    cols: int = 0
    spacing_m: float = 0.0
    crs: str = ""
    tiles: int = 0
    rsrp_min_dbm: float | None = None
    rsrp_mean_dbm: float | None = None
    rsrp_max_dbm: float | None = None
    building_share: float | None = None
    transmitter: str = ""
    intercept: str = ""
    method: str = ""
    files: tuple[str, ...] = ()

    @property
    def is_mapped(self) -> bool:
        """Whether the cell's maps were written."""
        return self.status == "mapped"


def failed(cell: str, measurements: int, error: RmGeoError) -> CellResult:
    """Give the result of a cell that could not be mapped."""
    return CellResult(cell, "failed", message=str(error), measurements=measurements)


def write_cell(
    folder: Path,
    cell: str,
    maps: CellMaps,
    measured_dbm: FloatArray | None,
    tags: Mapping[str, str],
    *,
    mask_threshold: float | None = None,
    measured_when: MeasuringTime | None = None,
) -> tuple[str, ...]:
    """Write the files of a cell; all of them appear, or none.

    Parameters
    ----------
    folder : Path
        The output folder.
    cell : str
        Beginning of the file names.
    maps : CellMaps
        What to write: ``_rsrp.tif``, and where they are known ``_buildings.tif`` and
        ``_uncertainty.tif``.
    measured_dbm : ndarray of float32, shape (H, W), optional
        Also write ``_preview.png``, with these measurements (NaN where there are none).
    tags : mapping
        Provenance for every raster.
    mask_threshold : float, optional
        Also write ``_buildings_mask.tif``: 1 where the probability is over this.
    measured_when : MeasuringTime, optional
        Also write a STAC item, ``<cell>.stac.json``, of that time.

    Returns
    -------
    tuple of str
        Names of the files written.

    Raises
    ------
    OutputError
        If a file cannot be written; what was there before is untouched.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".rm_geo_", suffix=PART_SUFFIX) as name:
            staging = Path(name)
            try:
                names = _write_into(staging, cell, maps, measured_dbm, tags, mask_threshold)
                if measured_when is not None:
                    item = f"{cell}{ITEM_SUFFIX}"
                    write_item(staging / item, cell, maps.grid, names, tags, measured_when)
                    names.append(item)
            except OutputError as error:
                # The user knows the folder of the results, not the one beside them.
                message = error.message.replace(str(staging), str(folder))
                raise OutputError(message, hint=error.hint) from error
            _publish(staging, names, folder)
    except OSError as error:
        raise output_error(folder / f"{cell}_rsrp.tif", error) from error
    return tuple(names)


def _write_into(
    staging: Path,
    cell: str,
    maps: CellMaps,
    measured_dbm: FloatArray | None,
    tags: Mapping[str, str],
    mask_threshold: float | None,
) -> list[str]:
    """Write all files of a cell into an empty folder; gives their names."""
    rasters = _rasters(cell, maps, mask_threshold)
    jobs = [
        partial(
            write_raster, staging / raster.name, raster.values, maps.grid, nodata=raster.nodata,
            unit=raster.unit, resampling=raster.resampling, colormap=raster.colormap,
            band_descriptions=[raster.band], tags={**tags, **raster.tags},
        )
        for raster in rasters
    ]  # fmt: skip
    names = [raster.name for raster in rasters]
    if measured_dbm is not None:
        names.append(f"{cell}_preview.png")
        jobs.append(
            partial(_save_preview, staging / names[-1], measured_dbm, maps, title=f"Cell {cell}")
        )
    # Compression and drawing let go of the interpreter: side by side they take half the time.
    with ThreadPoolExecutor(len(jobs), thread_name_prefix="rm_geo-write") as pool:
        for written in [pool.submit(job) for job in jobs]:
            written.result()
    return names


@dataclass(frozen=True)
class _Raster:
    """One raster of a cell: its file name, its values, and how they are written."""

    name: str
    values: NDArray[Any]
    band: str
    tags: Mapping[str, str]
    unit: str | None = None
    nodata: float = NODATA_DBM
    resampling: OverviewResampling = "average"
    colormap: Mapping[int, Colour] | None = None


def _rasters(cell: str, maps: CellMaps, mask_threshold: float | None) -> list[_Raster]:
    """List the rasters of a cell."""
    rsrp_tags = {"units": "dBm", "quantity": "RSRP"}
    rasters = [_Raster(f"{cell}_rsrp.tif", maps.rsrp_dbm, "RSRP", rsrp_tags, unit="dBm")]
    probability = maps.building_probability
    if probability is not None:
        rasters.append(
            _Raster(
                f"{cell}_buildings.tif", probability, "building probability",
                {"units": "1", "quantity": "building probability"}, resampling="mode",
            )
        )  # fmt: skip
    if probability is not None and mask_threshold is not None:
        building = np.where(np.isfinite(probability), probability > mask_threshold, MASK_NODATA)
        rasters.append(
            _Raster(
                f"{cell}_buildings_mask.tif", building.astype(np.uint8), "building",
                {"quantity": "building mask", "mask_threshold": f"{mask_threshold:g}"},
                nodata=MASK_NODATA, resampling="mode", colormap=_MASK_COLOURS,
            )
        )  # fmt: skip
    if maps.std_db is not None:
        rasters.append(
            _Raster(
                f"{cell}_uncertainty.tif", maps.std_db, "standard deviation",
                {"units": "dB", "quantity": "standard deviation of RSRP"}, unit="dB",
            )
        )  # fmt: skip
    return rasters


def _save_preview(path: Path, measured_dbm: FloatArray, maps: CellMaps, title: str) -> None:
    """Draw the preview."""
    from rm_geo.preview import save_preview  # matplotlib is slow to import

    save_preview(
        path, measured_dbm, maps.rsrp_dbm, maps.building_probability, maps.grid, title=title
    )


def _publish(staging: Path, names: Sequence[str], folder: Path) -> None:
    """Move finished files into place; a target that cannot be replaced is found before."""
    for name in names:
        if (folder / name).is_dir():
            raise OutputError(f"Cannot write {folder / name}: it is a folder.",
                              hint="Move it away, or choose another output folder.")  # fmt: skip
    for name in names:
        (staging / name).replace(folder / name)


def write_summary(results: Sequence[CellResult], folder: Path) -> None:
    """Write ``summary.csv`` and ``summary.json``, one row for each cell.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, [column.name for column in fields(CellResult)])
    writer.writeheader()
    for result in results:
        writer.writerow({key: _cell_text(value) for key, value in asdict(result).items()})
    with replacing(folder / "summary.csv") as part:
        part.write_text(table.getvalue(), "utf-8", newline="")
    document = {"cells": [asdict(result) for result in results]}
    with replacing(folder / "summary.json") as part:
        part.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _cell_text(value: Any) -> str:  # noqa: ANN401 - any value of a summary row
    """Write one value of the table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(value) if isinstance(value, tuple) else str(value)
