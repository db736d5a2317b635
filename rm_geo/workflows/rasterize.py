"""Binning the measurements of a file into rasters, one file per cell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rm_geo._types import FloatArray
from rm_geo._util.atomic import prepare_output_folder
from rm_geo.io.cog import write_raster
from rm_geo.io.provenance import describe_software
from rm_geo.options import PredictOptions
from rm_geo.pipeline.plan import Logs, RunPlan, plan_run
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.binning import Statistic, bin_measurements
from rm_geo.raster.sparse import SparseRaster

__all__ = ["BinnedRaster", "Statistic", "rasterize_file"]


@dataclass(frozen=True)
class BinnedRaster:
    """A raster that was written.

    Attributes
    ----------
    cell : str
        File name of the cell.
    cell_name : str
        Name of the cell in the measurements.
    path : Path
        The raster.
    pixels : int
        Pixels with measurements.
    rows, cols : int
        Shape of the raster.
    """

    cell: str
    cell_name: str
    path: Path
    pixels: int
    rows: int
    cols: int


def rasterize_file(
    measurements: Logs | RunPlan,
    output_dir: str | os.PathLike[str],
    options: PredictOptions | None = None,
    *,
    statistic: Statistic = "mean",
    progress: Progress | None = None,
) -> list[BinnedRaster]:
    r"""Bin the measurements of each cell and write ``<cell>_measured.tif``.

    Parameters
    ----------
    measurements : path-like, Measurements, sequence of these, or RunPlan
        A file of measurements, several logs of one area, or a plan made with these options.
    output_dir : path-like
        Folder of the rasters.
    options : PredictOptions, optional
        Columns, CRS, resolution and ``max_tiles``; ``reach_m`` is the margin.
    statistic : {"mean", "median", "max"}
        Statistic of the measurements in a pixel.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    list of BinnedRaster
        Rasters of three bands: RSRP in dBm, count, standard deviation in dB.

    Raises
    ------
    RmGeoError
        If the file cannot be used, a cell is too large, or the output cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,pci,rsrp\n13,52,40,-90\n13,52.0005,40,-95\n")
    ...     rasters = rasterize_file(path, Path(folder, "maps"))
    ...     [(raster.path.name, raster.pixels) for raster in rasters]
    [('40_measured.tif', 2)]
    """
    chosen = options or PredictOptions(reach_m=0.0)
    listener = SilentProgress() if progress is None else progress
    run_plan = (
        measurements
        if isinstance(measurements, RunPlan)
        else plan_run(measurements, chosen, listener)
    )
    for cell in run_plan.cells:
        if cell.refusal is not None:
            raise cell.refusal
    folder = prepare_output_folder(output_dir)
    tags = describe_software() | run_plan.input_tags()
    written = []
    listener.start(len(run_plan.cells), "cells", "Binning")
    for cell in run_plan.cells:
        listener.check()
        if cell.grid is None:
            continue
        sparse = bin_measurements(cell.measurements, cell.grid, statistic)
        path = folder / f"{cell.cell}_measured.tif"
        write_raster(
            path,
            _row_blocks(sparse),
            cell.grid,
            bands=3,
            band_descriptions=["RSRP in dBm", "count", "standard deviation in dB"],
            tags={**tags, "cell": cell.cell, "cell_name": cell.label, "statistic": statistic},
        )
        rows, cols = cell.grid.shape
        written.append(BinnedRaster(cell.cell, cell.label, path, len(sparse), rows, cols))
        listener.advance()
    listener.finish()
    return written


def _row_blocks(sparse: SparseRaster) -> Iterator[FloatArray]:
    """RSRP, count and standard deviation in blocks of rows, shape (3, rows, W)."""
    bands = (sparse.level_dbm, sparse.count.astype(np.float32), sparse.std_db)
    for band in sparse.bands():
        yield np.stack([sparse.to_dense(values, band.rows, np.nan) for values in bands])
