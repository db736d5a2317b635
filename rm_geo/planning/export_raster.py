"""Exports of rasters to grids of other tools: ASCII grid, BIL, Vertical Mapper, PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import rasterio
from affine import dumpsw

from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.planning.export_source import ExportSource, copy_with_driver
from rm_geo.products.legend import draw_legend

INDEX_NAME: Final = "index.txt"
"""Index of the grids in a folder, as Planet and Atoll read it."""

_INDEX_FIELDS: Final = 6


def write_ascii_grid(source: ExportSource, target: Path, work: Path) -> None:
    """Write an Esri ASCII grid (``.asc``, ``.prj``) with GDAL's driver AAIGrid.

    Parameters
    ----------
    source : ExportSource
        The raster; levels are written with two decimals, classes as whole numbers.
    target : Path
        The file to write.
    work : Path
        Folder for intermediate files.

    Raises
    ------
    DependencyError, OutputError
        As of :func:`rm_geo.planning.export_source.copy_with_driver`.
    """
    scratch = source.write_scratch(work / "scratch.tif", integer=source.has_classes)
    decimals = "2" if source.style.unit in {"dB", "dBm"} else "4"
    options = {} if source.has_classes else {"DECIMAL_PRECISION": decimals}
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        copy_with_driver(scratch, target, "AAIGrid", **options)


def write_bil(source: ExportSource, target: Path, work: Path, *, integer: bool) -> None:
    """Write a BIL grid (``.bil``, ``.hdr``, ``.prj``) with GDAL's driver EHdr.

    Parameters
    ----------
    source : ExportSource
        The raster.
    target : Path
        The file to write.
    work : Path
        Folder for intermediate files.
    integer : bool
        Whole numbers of 16 bits, which every planning tool reads, instead of floating point of
        32 bits.

    Raises
    ------
    DependencyError, OutputError
        As of :func:`rm_geo.planning.export_source.copy_with_driver`.
    """
    scratch = source.write_scratch(work / "scratch.tif", integer=integer or source.has_classes)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        copy_with_driver(scratch, target, "EHdr")


def write_vertical_mapper(source: ExportSource, target: Path, work: Path) -> None:
    """Write a Northwood numeric grid (``.grd``), the format of Vertical Mapper, with NWT_GRD.

    Parameters
    ----------
    source : ExportSource
        The raster.
    target : Path
        The file to write.
    work : Path
        Folder for intermediate files.

    Raises
    ------
    DependencyError, OutputError
        As of :func:`rm_geo.planning.export_source.copy_with_driver`; GDAL writes the format only
        if it is built with MapInfo's vector formats.
    """
    scratch = source.write_scratch(work / "scratch.tif")
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        copy_with_driver(scratch, target, "NWT_GRD")


def write_png(source: ExportSource, target: Path, work: Path) -> None:
    """Write a picture with its place and its legend.

    Beside the PNG are the world file (``.pgw``), the CRS (``.png.aux.xml``) and a picture of the
    legend (``_legend.png``).

    Parameters
    ----------
    source : ExportSource
        The raster.
    target : Path
        The file to write.
    work : Path
        Folder for intermediate files.

    Raises
    ------
    DependencyError, OutputError
        As of :func:`rm_geo.planning.export_source.copy_with_driver`.
    """
    scratch = source.write_indices(work / "scratch.tif")
    with rasterio.Env(GDAL_PAM_ENABLED="YES"):
        copy_with_driver(scratch, target, "PNG", ZLEVEL="6")
    target.with_suffix(".pgw").write_text(dumpsw(source.grid.transform), "ascii")
    legend = draw_legend(source.style.title, source.style.legend())
    legend.save(target.with_name(f"{target.stem}_legend.png"))


def index_lines(grids: Mapping[str, Grid], existing: Path) -> str:
    r"""Give the text of an index of grids: name, west, east, south, north, and spacing in metres.

    Parameters
    ----------
    grids : mapping of str to Grid
        Grids by file name.
    existing : Path
        The present index, whose other lines are kept; need not exist.

    Returns
    -------
    str
        A line for each grid, in the order of the names.

    Raises
    ------
    OutputError
        If the existing file is not such an index.

    Examples
    --------
    >>> grid = Grid.create(500_000, 5_000_000, (200, 300), 1.0, 32633)
    >>> index_lines({"40_rsrp.bil": grid}, Path("/nowhere/index.txt"))
    '40_rsrp.bil 500000 500300 4999800 5000000 1\n'
    """
    lines = _present_lines(existing)
    for name, grid in grids.items():
        west, south, east, north = grid.bounds
        numbers = (west, east, south, north, grid.spacing_m)
        lines[name] = " ".join([name, *(f"{number:.10g}" for number in numbers)])
    return "".join(f"{lines[name]}\n" for name in sorted(lines))


def _present_lines(path: Path) -> dict[str, str]:
    """Read the lines of an index by the names of the grids; empty if there is none."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        text = "unreadable"
    lines = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        try:
            numbers = [float(word) for word in words[1:]]
        except ValueError:
            numbers = []
        if len(numbers) != _INDEX_FIELDS - 1:
            raise OutputError(
                f"{path} is not an index of grids, and is not replaced.",
                hint="Move it away, or export to another folder.",
                path=path,
            )
        lines[words[0]] = line
    return lines
