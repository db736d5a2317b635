"""Writing the files of one cell row by row; they appear together or not at all."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo._util.atomic import output_error, publish_files
from rm_geo._util.own_folder import OwnFolder
from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.products import preview
from rm_geo.products.building_mask import write_building_mask
from rm_geo.products.rows import CellRows
from rm_geo.products.stac import ITEM_SUFFIX, MeasuringTime, write_item

PRODUCT_ENDINGS: Final = (
    "_rsrp.tif",
    "_buildings.tif",
    "_buildings_mask.tif",
    "_uncertainty.tif",
    "_reported.tif",
    "_preview.png",
    ".stac.json",
)
"""Endings of all products of a cell, after its name."""

_WAITING: Final = 2
_POLL_S: Final = 0.2


@dataclass(frozen=True)
class CellFiles:
    """Which files a cell gets.

    Attributes
    ----------
    folder : Path
        Where they appear.
    staging : OwnFolder
        Where they are written, on the same file system; created here.
    cell : str
        Beginning of their names.
    grid : Grid
        Geometry of the rasters.
    has_buildings, has_std : bool
        Whether ``_buildings.tif`` and ``_uncertainty.tif`` are written beside
        ``_rsrp.tif``.
    has_mask : bool
        Also write ``_buildings_mask.tif`` where buildings are mapped.
    mask_threshold : float or None
        The mask is 1 where the probability is over this; None chooses it by the expected F1.
    preview : bool
        Also write ``_preview.png``.
    measured_when : MeasuringTime or None
        Also write a STAC item, ``<cell>.stac.json``, of that time.
    has_reported : bool
        Also write ``_reported.tif``.
    quantity : str
        What the level is: RSRP of LTE and NR, RSCP of 3G, RxLev of 2G.
    """

    folder: Path
    staging: OwnFolder
    cell: str
    grid: Grid
    has_buildings: bool = False
    has_std: bool = False
    has_mask: bool = False
    mask_threshold: float | None = None
    preview: bool = False
    measured_when: MeasuringTime | None = None
    has_reported: bool = False
    quantity: str = "RSRP"


def write_cell(
    files: CellFiles, bands: Iterable[CellRows], tags: Mapping[str, str]
) -> tuple[str, ...]:
    """Write the files of a cell; all of them appear, or none.

    Parameters
    ----------
    files : CellFiles
        Which, and where.
    bands : iterable of CellRows
        All rows, from north to south; consumed lazily.
    tags : mapping
        Provenance for every raster.

    Returns
    -------
    tuple of str
        Names of the files written.

    Raises
    ------
    OutputError
        If a file cannot be written; what was there before is untouched.
    """
    staging = files.staging.path
    try:
        files.staging.create()
        try:
            names = _write_into(staging, files, bands, tags)
            if files.measured_when is not None:
                item = f"{files.cell}{ITEM_SUFFIX}"
                write_item(staging / item, files.cell, files.grid, names, tags, files.measured_when)
                names.append(item)
        except OutputError as error:
            # The user knows the folder of the results, not the one inside it.
            raise error.known_as(staging, files.folder) from error
        _publish(staging, names, files)
    except OSError as error:
        raise output_error(files.folder / f"{files.cell}_rsrp.tif", error) from error
    return tuple(names)


@dataclass(frozen=True)
class _Raster:
    """One raster of a cell: its file name, where its values come from, how they are written."""

    name: str
    layer: str
    band: str
    tags: Mapping[str, str]
    unit: str | None = None

    def values(self, rows: CellRows) -> FloatArray:
        """Take this raster's values out of some rows."""
        values: FloatArray = getattr(rows, self.layer)
        return values


class _Feed:
    """Blocks of rows on their way from one thread to another, a few at a time."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[NDArray[Any] | BaseException | None] = queue.Queue(_WAITING)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        while (block := self._blocks.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block

    def put(self, block: NDArray[Any] | BaseException | None, reader: Future[None]) -> None:
        """Hand over a block, an error, or the end; a reader that failed raises its own error."""
        while True:
            if reader.done():
                reader.result()
                return
            with contextlib.suppress(queue.Full):
                self._blocks.put(block, timeout=_POLL_S)
                return


def _write_into(
    staging: Path, files: CellFiles, bands: Iterable[CellRows], tags: Mapping[str, str]
) -> list[str]:
    """Write rasters and preview of a cell into an empty folder; gives their names."""
    rasters = _rasters(files)
    names = [raster.name for raster in rasters]
    points = preview.MeasuredPoints(files.grid) if files.preview else None
    # Compression lets go of the interpreter: side by side the files take half the time.
    with ThreadPoolExecutor(len(rasters), thread_name_prefix="rm_geo-write") as pool:
        feeds = [_Feed() for _ in rasters]
        writers = [
            pool.submit(
                write_raster,
                staging / raster.name,
                feed,
                files.grid,
                unit=raster.unit,
                band_descriptions=[raster.band],
                tags={**tags, **raster.tags},
            )
            for raster, feed in zip(rasters, feeds, strict=True)
        ]
        try:
            for rows in bands:
                for raster, feed, writer in zip(rasters, feeds, writers, strict=True):
                    feed.put(raster.values(rows), writer)
                if points is not None:
                    points.add_rows(rows.rows.start, rows.measured_dbm)
            for feed, writer in zip(feeds, writers, strict=True):
                feed.put(None, writer)
        except BaseException as error:
            for feed, writer in zip(feeds, writers, strict=True):
                with contextlib.suppress(BaseException):
                    feed.put(_Abandoned(error), writer)
            raise
        for writer in writers:
            writer.result()
    buildings = staging / f"{files.cell}_buildings.tif" if files.has_buildings else None
    if buildings is not None and files.has_mask:
        mask = f"{files.cell}_buildings_mask.tif"
        write_building_mask(buildings, staging / mask, files.mask_threshold, tags=tags)
        names.insert(names.index(buildings.name) + 1, mask)
    if points is not None:
        names.append(f"{files.cell}_preview.png")
        preview.save_preview(
            staging / names[-1],
            points,
            staging / f"{files.cell}_rsrp.tif",
            buildings,
            f"Cell {files.cell}",
        )
    return names


class _Abandoned(Exception):  # noqa: N818 - no error of its own
    """The rows that a writer waits for will not come."""


def _rasters(files: CellFiles) -> list[_Raster]:
    """List the rasters of a cell."""
    cell, dbm = files.cell, {"units": "dBm", "quantity": files.quantity}
    rasters = [_Raster(f"{cell}_rsrp.tif", "rsrp_dbm", "RSRP", dbm, unit="dBm")]
    if files.has_buildings:
        rasters.append(
            _Raster(
                f"{cell}_buildings.tif",
                "building_probability",
                "building probability",
                {"units": "1", "quantity": "building probability"},
            )
        )
    if files.has_std:
        rasters.append(
            _Raster(
                f"{cell}_uncertainty.tif",
                "std_db",
                "standard deviation",
                {"units": "dB", "quantity": "standard deviation of RSRP"},
                unit="dB",
            )
        )
    if files.has_reported:
        rasters.append(
            _Raster(
                f"{cell}_reported.tif",
                "reported_probability",
                "probability of being reported",
                {
                    "units": "1",
                    "quantity": "probability of being reported",
                    "meaning": "probability that a pass like those of the log reports the cell "
                    "within 5 m; from all visited places, whatever cell was reported there",
                },
            )
        )
    return rasters


def _publish(staging: Path, names: Sequence[str], files: CellFiles) -> None:
    """Move finished files into place, and remove products of an earlier run that are missing now.

    Nothing would show that they belong to another map.
    """
    folder = files.folder
    publish_files([staging / name for name in names], folder)
    for ending in PRODUCT_ENDINGS:
        name = f"{files.cell}{ending}"
        if name not in names and (folder / name).is_file():
            (folder / name).unlink()
