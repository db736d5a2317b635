"""Super-resolution of a coarse radio map by a network.

The networks (MARS, SRResNet, Supreme) are trained on path gains on the unit scale;
:class:`rm_geo.inference.unit_scale.UnitScale` converts a raster in dBm.

The value of a raster pixel is its mean. A network trained on single samples, as in the papers,
treats it as the fine pixel south-east of the pixel's centre and shifts the map by half a fine
pixel. The mean of its results for the raster and for the raster rotated by 180 degrees has no
shift.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from rm_geo._types import BoolArray, FloatArray, Scalar
from rm_geo._util.atomic import output_folder, prepare_output_folder, require_file_target
from rm_geo._util.padding import pad_window
from rm_geo.devices import choose_batch_size, choose_device
from rm_geo.errors import AreaTooLargeError, InputError, RmGeoError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.super_resolution import averaged
from rm_geo.estimators.symmetries import require_count
from rm_geo.grid import Grid, Tile, metric_crs_for
from rm_geo.inference.runner import run_tiles
from rm_geo.inference.unit_scale import UnitScale
from rm_geo.io.cog import Raster, raster_sink, read_raster
from rm_geo.io.crs import WORST_SCALE_ERROR, scale_error
from rm_geo.io.provenance import InputFile, describe_software
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.fill import fill_nearest
from rm_geo.raster.mosaic import Band, Mosaic
from rm_geo.zoo.catalog import ModelRecord, describe_network
from rm_geo.zoo.superres_models import refining_model
from rm_geo.zoo.superres_network import SuperResolutionNetwork

WINDOW_PX: Final = 64
"""Side of a window in coarse pixels, as in training."""

OVERLAP_PX: Final = 16
"""Coarse pixels that neighbouring windows share."""

_MOST_INTERCEPT: Final = 150.0
"""Largest magnitude of a level in dBm that is accepted."""

_FILLER_PIXELS: Final = 4  # of one repeated extreme value that may be undeclared nodata
_FILLER_SHARE: Final = 0.001
_FILLER_GAP_DB: Final = 10.0

_SUFFIXES: Final = (".tif", ".tiff", ".gtif", ".gtiff")


@dataclass(frozen=True)
class Refinement:
    """Result of a super-resolution run.

    Attributes
    ----------
    path : Path
        The fine raster.
    grid : Grid
        Its geometry, with the corners of the coarse raster.
    scale : int
        Fine pixels along each coarse one.
    model : str
        Name of the model.
    """

    path: Path
    grid: Grid
    scale: int
    model: str


def superresolve(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    scale: int = 4,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    band: int | None = None,
    intercept_dbm: float | None = None,
    symmetries: int = 1,
    buildings: str | os.PathLike[str] | None = None,
    buildings_layer: str | None = None,
    max_tiles: int = 10_000,
    progress: Progress | None = None,
) -> Refinement:
    """Refine a raster of RSRP by a whole factor along each axis.

    Parameters
    ----------
    path : path-like
        A raster in dBm, in a projected CRS with metres, of any size.
    output : path-like
        The GeoTIFF to write, with the corners of the input. Fine pixels of nodata pixels are
        nodata.
    scale : int
        Fine pixels along each coarse one; a model must exist for it.
    model : str or Path, optional
        A super-resolution model (default: that of the scale).
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
    batch_size : int, optional
        Windows computed at once (default: by the memory of the device).
    band : int, optional
        Band to read; required if there are several.
    intercept_dbm : float, optional
        Level of free space at 1 m, in dBm (default: the tag of the file).
    symmetries : {1, 2, 4, 8}
        Orientations of a window whose results are averaged; more are slower and more accurate.
    buildings : path-like, optional
        Outlines of buildings, or a raster of them; see
        :func:`rm_geo.buildings.mask.building_mask`. The model then knows obstacles between the
        samples, and the edges of shadows.
    buildings_layer : str, optional
        Layer of the outlines, if there are several.
    max_tiles : int
        Largest number of windows.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    Refinement
        The file, its grid and the name of the model.

    Raises
    ------
    InputError
        If the raster cannot be read, or all of it is nodata.
    CrsError
        If its CRS is missing, geographic or not in metres.
    UsageError
        If the output is the input, or an option is not valid.
    AreaTooLargeError
        If the raster needs more than ``max_tiles`` windows.
    ModelError
        If there is no model for the scale.
    OutputError
        If the output cannot be written; an existing file is not changed.

    Examples
    --------
    >>> superresolve("40_rsrp.tif", "40_fine.tif", scale=4).grid.spacing_m  # doctest: +SKIP
    0.25
    """
    listener = SilentProgress() if progress is None else progress
    source, target = Path(path), require_file_target(output)
    for given in (source, *(() if buildings is None else (Path(buildings),))):
        if target.exists() and given.exists() and target.samefile(given):
            raise UsageError(f"The output is the input {given}.", hint="Name another file.")
    if target.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"{target} is written as a GeoTIFF, whose name ends in .tif.",
            hint=f"Name it {target.with_suffix('.tif').name}.",
        )
    require_count(symmetries)
    if intercept_dbm is not None and not -_MOST_INTERCEPT <= intercept_dbm <= _MOST_INTERCEPT:
        raise UsageError(
            f"{intercept_dbm:g} dBm is not a plausible level at 1 m.",
            hint="It is the EIRP minus 30 to 50 dB.",
        )
    if buildings_layer is not None and buildings is None:
        raise UsageError("A layer of buildings is given without a file.", hint="Add `buildings`.")
    coarse = InputFile.of(source)
    outlines = None if buildings is None else InputFile.of(Path(buildings))
    raster = read_raster(source, band=band)
    if not np.isfinite(raster.values).any():
        raise InputError(f"{source} has no data: all pixels are nodata.")
    _require_levels(raster.values, source)
    _warn_of_scale(raster.grid, source, listener)
    tiles = raster.grid.tiles(WINDOW_PX, OVERLAP_PX)
    if len(tiles) > max_tiles:
        raise AreaTooLargeError(
            f"{source} has {raster.grid.shape[0]} x {raster.grid.shape[1]} pixels: {len(tiles)} "
            f"windows, more than {max_tiles}.",
            hint="Cut it, or allow more (`max_tiles`).",
        )
    record = refining_model(scale, model, takes_buildings=buildings is not None)
    place = choose_device(device)
    fine = raster.grid.scaled(scale)
    building_pixels = None
    if buildings is not None:
        from rm_geo.buildings.mask import building_mask  # slow import of GeoPandas

        building_pixels = building_mask(buildings, fine, layer=buildings_layer)
    network = SuperResolutionNetwork(record, place)
    record = network.record
    prepare_output_folder(target.parent)
    known = intercept_dbm if intercept_dbm is not None else _tagged_intercept(raster.tags)
    unit_scale = UnitScale.fit(raster.values, known)
    if _trained_on_samples(record) and scale % 2 == 0:
        symmetries = max(symmetries, 2)
    refiner = _Refiner(network, unit_scale, scale, symmetries)
    tags = {
        **{key: value for key, value in raster.tags.items() if key.islower()},
        **describe_software(),
        **coarse.tags("coarse_"),
        **({} if outlines is None else outlines.tags("buildings_")),
        "super_resolution_model": record.name,
        "super_resolution_sha256": record.sha256 or "",
        "super_resolution_engine": network.engine(WINDOW_PX, WINDOW_PX),
        "super_resolution_precision": network.precision,
        "super_resolution_scale": str(scale),
        "super_resolution_symmetries": str(symmetries),
        "unit_scale": f"zero at {unit_scale.zero_dbm:.2f} dBm, {unit_scale.span_db:.2f} dB wide",
        "units": "dBm",
    }
    listener.start(len(tiles), "tiles", f"Refining {source.name}")
    with raster_sink(target, fine, unit="dBm", band_descriptions=["RSRP"], tags=tags) as sink:
        for row, values in _fine_rows(
            raster,
            building_pixels,
            fine,
            tiles,
            refiner,
            batch_size or 4 * choose_batch_size(place),
            listener,
        ):
            sink.write_rows(row, values)
    listener.finish()
    return Refinement(target, fine, scale, record.name)


def superresolve_all(
    sources: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    scale: int = 4,
    *,
    progress: Progress | None = None,
    **options: Any,  # noqa: ANN401 - those of superresolve
) -> tuple[list[Refinement], dict[Path, RmGeoError]]:
    """Refine several rasters into a folder; a failed raster does not stop the others.

    Parameters
    ----------
    sources : sequence of path-like
        GeoTIFFs, and folders of them. Of a folder with files ``*_rsrp.tif``, as
        :func:`rm_geo.predict` writes it, only these are refined.
    output : path-like
        The folder. Results have the names of the coarse rasters.
    scale : int
        As of :func:`superresolve`.
    progress : Progress, optional
        Receives the progress, and a line for each failure.
    **options
        As of :func:`superresolve`.

    Returns
    -------
    made : list of Refinement
        The results, in order.
    failed : dict of Path to RmGeoError
        Rasters that could not be refined, and why.

    Raises
    ------
    InputError
        If there is no raster, or a folder does not exist.
    UsageError
        If two rasters have one name, or the output is the folder of an input.
    OutputError
        If the folder cannot be written.
    CancelledError
        If the caller asked for the work to stop; complete rasters are kept.

    Examples
    --------
    >>> made, failed = superresolve_all(["coarse"], "fine", scale=4)  # doctest: +SKIP
    """
    listener = SilentProgress() if progress is None else progress
    target = Path(output)
    files = coarse_rasters(sources)
    names: dict[str, Path] = {}
    for file in files:
        other = names.setdefault(file.with_suffix(".tif").name.lower(), file)
        if other is not file:
            raise UsageError(
                f"{other} and {file} have one name, and would be one file in {target}.",
                hint="Refine them into different folders.",
            )
        if file.parent.resolve() == target.resolve():
            raise UsageError(f"The output is the folder of {file}.", hint="Name another folder.")
    if target.suffix.lower() in _SUFFIXES:
        raise UsageError(
            f"{target} is the name of a file, and several rasters are given.",
            hint="Name a folder.",
        )
    made: list[Refinement] = []
    failed: dict[Path, RmGeoError] = {}
    with output_folder(target):
        for file in files:
            listener.check()
            fine = target / file.with_suffix(".tif").name
            try:
                made.append(superresolve(file, fine, scale, progress=progress, **options))
            except (InputError, AreaTooLargeError) as error:
                listener.log(f"{file.name} is left out: {error}")
                failed[file] = error
        if not made:
            raise next(iter(failed.values()))
    return made, failed


def coarse_rasters(sources: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """List the rasters of files and folders.

    Parameters
    ----------
    sources : sequence of path-like
        As of :func:`superresolve_all`.

    Returns
    -------
    list of Path
        Each file once; those of a folder by name.

    Raises
    ------
    InputError
        If a folder holds no GeoTIFF.
    """
    found: dict[Path, Path] = {}
    for source in map(Path, sources):
        files = [source]
        if source.is_dir():
            files = sorted(f for f in source.iterdir() if f.suffix.lower() in _SUFFIXES)
            files = [file for file in files if file.stem.endswith("_rsrp")] or files
            if not files:
                raise InputError(
                    f"{source} holds no GeoTIFF.", hint="Name a folder of files that end in .tif."
                )
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _fine_rows(
    raster: Raster,
    building_pixels: BoolArray | None,
    fine: Grid,
    tiles: Sequence[Tile],
    refiner: _Refiner,
    batch_size: int,
    progress: Progress,
) -> Iterator[tuple[int, FloatArray]]:
    """Refine window by window; yield finished rows, with the nodata of the coarse raster."""
    scale = refiner.scale
    valid = np.isfinite(raster.values)
    filled = fill_nearest(raster.values)  # nodata must not look like a shadow
    useful = [tile for tile in tiles if valid[tile.clip(raster.grid.shape)[0]].any()]
    progress.advance(len(tiles) - len(useful))
    fine_tiles = {tile: tile.scaled(scale) for tile in tiles}
    mosaic = Mosaic(fine, list(fine_tiles.values()))

    def masked(band: Band) -> Iterator[tuple[int, FloatArray]]:
        if band.values is not None:
            rows = np.arange(band.row, band.row + band.rows) // scale
            keep = np.repeat(valid[rows], scale, axis=1)
            yield band.row, np.where(keep, band.values, np.float32(np.nan))
            return
        # Rows without data are written, too; a few at a time.
        end = band.row + band.rows
        for row in range(band.row, end, WINDOW_PX):
            count = min(WINDOW_PX, end - row)
            yield row, np.full((1, count, fine.shape[1]), np.nan, np.float32)

    batches = (
        _windows(filled, building_pixels, useful[start : start + batch_size], raster.grid.spacing_m)
        for start in range(0, len(useful), batch_size)
    )
    position = 0
    for estimate in run_tiles(refiner, batches, progress):
        for values in estimate.rsrp_dbm:
            for band in mosaic.push(fine_tiles[useful[position]], values[None]):
                yield from masked(band)
            position += 1
    for band in mosaic.finish():
        yield from masked(band)


def _windows(
    filled: FloatArray, building_pixels: BoolArray | None, tiles: Sequence[Tile], spacing_m: float
) -> TileBatch:
    """Cut windows; beyond the raster, the pixels at its edge are repeated."""
    unknown = np.full(len(tiles), np.nan, dtype=np.float32)
    known = None
    if building_pixels is not None:
        scale = building_pixels.shape[0] // filled.shape[0]
        known = np.stack([_through(tile.scaled(scale), building_pixels) for tile in tiles])
    return TileBatch(
        np.stack([_through(tile, filled) for tile in tiles]),
        spacing_m,
        np.stack([unknown, unknown], axis=1),
        unknown,
        buildings=known,
    )


def _through(tile: Tile, image: NDArray[Scalar]) -> NDArray[Scalar]:
    """Cut a tile from an image; beyond the image, the pixels at its edge are repeated."""
    return pad_window(image, (tile.row, tile.col), (tile.size, tile.size))


@dataclass(frozen=True)
class _Refiner:
    """The network as an estimator for the runner; its estimates are finer than its input."""

    network: SuperResolutionNetwork
    unit_scale: UnitScale
    scale: int
    symmetries: int

    name = "super-resolution"
    maps_buildings = False

    @property
    def provenance(self) -> dict[str, str]:
        """Empty: the caller adds the tags of the model."""
        return {}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Refine windows of shape (B, h, w) to (B, h * scale, w * scale)."""
        buildings = None if batch.buildings is None else batch.buildings[:, None].astype(np.float32)
        fine = averaged(
            self.network,
            self.unit_scale.to_unit(batch.rsrp_dbm)[:, None],
            self.symmetries,
            self.scale,
            centred=True,
            buildings=buildings,
        )
        return Estimate(self.unit_scale.to_dbm(fine[:, 0]))


def _require_levels(values: FloatArray, source: Path) -> None:
    """Refuse values that are not levels in dBm: other units, or an undeclared nodata value."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    for extreme in (low, high):
        if _is_filler(values, extreme):
            raise InputError(
                f"{source} holds {extreme:g} in many pixels, far from all other values: it looks "
                "like nodata that is not declared.",
                hint="Declare its nodata value (gdal_edit.py -a_nodata).",
            )
    if -400.0 <= low < 0.0 and high <= 50.0:
        return
    hint = "Choose the right `band`, or declare its nodata value (gdal_edit.py -a_nodata)."
    if low >= 0.0 and 0.0 < high <= 1.0:
        hint = "Power in milliwatts becomes dBm by 10 log10 (gdal_calc.py --calc '10*log10(A)')."
    elif low >= 0.0 and high <= 250.0:
        hint = "Path loss in dB: subtract it from the EIRP of a reference signal."
    raise InputError(
        f"{source} does not hold levels in dBm: it has values from {low:g} to {high:g}.", hint=hint
    )


def _is_filler(values: FloatArray, extreme: float) -> bool:
    """Whether the lowest or highest value is repeated, and isolated from the others."""
    known = values[np.isfinite(values)]
    others = known[known != np.float32(extreme)]
    repeated = known.size - others.size
    if others.size == 0 or repeated < max(_FILLER_PIXELS, _FILLER_SHARE * known.size):
        return False
    return float(np.min(np.abs(others - np.float32(extreme)))) > _FILLER_GAP_DB


def _warn_of_scale(grid: Grid, source: Path, progress: Progress) -> None:
    """Warn if the pixels of a raster differ in size on the ground and in its CRS."""
    west, south, east, north = grid.bounds
    to_degrees = Transformer.from_crs(grid.crs, 4326, always_xy=True)
    longitude, latitude = to_degrees.transform(0.5 * (west + east), 0.5 * (south + north))
    error = scale_error(grid.crs, float(longitude), float(latitude))
    if error > WORST_SCALE_ERROR:
        progress.log(
            f"Warning: a metre of {grid.crs.name!r} is {100.0 * error:.0f} % off a metre on the "
            f"ground in {source}: warp it to {metric_crs_for(longitude, latitude).name!r} first "
            "(gdalwarp -t_srs)."
        )


def _trained_on_samples(record: ModelRecord) -> bool:
    """Whether a model was trained on coarse values that are single pixels, not means."""
    recipe = describe_network(record).get("recipe")
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get("task"), Mapping):
        return False
    return bool(recipe["task"].get("sampling", "point") == "point")


def _tagged_intercept(tags: Mapping[str, str]) -> float | None:
    """Read the intercept from the tags of a map of rm_geo."""
    try:
        return float(tags["intercept_dbm"])
    except (KeyError, ValueError):
        return None
