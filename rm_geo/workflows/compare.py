"""Comparison of radio maps: reading, streaming, writing, and the table of the results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from rm_geo._util.atomic import output_folder, part_folder, publish_files, replacing
from rm_geo._util.json_text import parse_json
from rm_geo._util.locks import output_lock
from rm_geo.errors import InputError, OutputError
from rm_geo.io.categories import write_category_names
from rm_geo.io.cog import raster_sink
from rm_geo.io.features import FeatureTable, require_not_open, write_features
from rm_geo.io.provenance import describe_software
from rm_geo.planning.comparison import (
    CHANGE_COLOURS,
    CHANGE_NAMES,
    ComparisonOptions,
    DifferenceSums,
    Pairing,
    change_classes,
    change_polygons,
    pair_cells,
)
from rm_geo.planning.map_set import RadioMapSet, open_radio_map_set
from rm_geo.planning.outlines import read_reduced, simplification
from rm_geo.planning.product import RasterLayer
from rm_geo.planning.settings import OutlineSettings
from rm_geo.products.layer_style import class_names_tag
from rm_geo.products.radio_map import RadioMap
from rm_geo.progress import Progress, SilentProgress
from rm_geo.workflows.result_files import BandRasters, json_value, write_table

Comparable: TypeAlias = RadioMap | RadioMapSet | str | os.PathLike[str]
"""What can be compared: a map, a set of maps, a GeoTIFF, or a folder of maps."""

INDEX_NAME: Final = "comparison.json"
TABLE_NAME: Final = "comparison.csv"
POLYGONS_NAME: Final = "change.gpkg"

_LOCK: Final = ".rm_geo_compare.lock"
_NO_CHANGES: Final = (
    "neither map has a standard deviation; predict with `uncertainty`, or give `std_db`."
)


@dataclass(frozen=True)
class ComparisonResult:
    """Result of a comparison.

    Attributes
    ----------
    cells : mapping of str to mapping
        Statistics of each pair by the name of the cell, as
        :meth:`rm_geo.planning.comparison.DifferenceSums.statistics` gives them.
    pooled : mapping
        Statistics of all pixels of all pairs together.
    warnings : tuple of str
        Maps that were resampled, and cells that only one set has.
    not_made : mapping of str to str
        Reasons by name of what could not be made.
    folder : Path or None
        Folder of the files; None if none were written.
    files : tuple of str
        Names of the files in it.

    Examples
    --------
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (40, 60), 5.0, 32633)
    >>> first, second = (RadioMap(grid, np.full((40, 60), level)) for level in (-90.0, -87.0))
    >>> result = compare(first, second)
    >>> result.pooled["bias_db"], result.folder
    (3.0, None)
    """

    cells: Mapping[str, Mapping[str, Any]]
    pooled: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    not_made: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    files: tuple[str, ...] = ()


def compare(
    first: Comparable,
    second: Comparable,
    output_dir: str | os.PathLike[str] | None = None,
    options: ComparisonOptions | None = None,
    *,
    composite: bool = False,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare two radio maps, two sets of maps, or a map with the raster of another tool.

    Parameters
    ----------
    first, second : RadioMap or RadioMapSet or path-like
        The sides; the difference is second minus first. Of sets, cells of the same name are
        compared with each other.
    output_dir : path-like, optional
        Folder for ``difference.tif``, ``change.tif``, ``change.gpkg``, ``comparison.csv`` and
        ``comparison.json``; the rasters of several cells begin with their names. Nothing is
        written if not given. Files of an earlier comparison in it that are not made again are
        removed.
    options : ComparisonOptions, optional
        Thresholds.
    composite : bool
        Compare the strongest levels of the sets instead of cells.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    ComparisonResult
        Statistics of each pair and of all together.

    Raises
    ------
    InputError
        If a map cannot be read or is not in dBm, the sets have no cell in common, or maps have no
        pixel in common.
    OutputError
        If a file cannot be written, or another program has it open.

    Examples
    --------
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (40, 60), 5.0, 32633)
    >>> before = RadioMap(grid, np.full((40, 60), -90.0), std_db=np.full((40, 60), 2.0))
    >>> after = RadioMap(grid, np.full((40, 60), -81.0), std_db=np.full((40, 60), 2.0))
    >>> found = compare(before, after).pooled
    >>> found["bias_db"], found["share_within_6_db"], found["changes"]["share_higher"]
    (9.0, 0.0, 1.0)
    """
    chosen = ComparisonOptions() if options is None else options
    listener = SilentProgress() if progress is None else progress
    sets = [_as_set(side) for side in (first, second)]
    pairings, warnings = pair_cells(*sets, composite=composite)
    notes = [note for pairing in pairings for note in pairing.maps.notes]
    warnings = (*dict.fromkeys(note for one in sets for note in one.notes), *notes, *warnings)
    for warning in warnings:
        listener.log(f"Note: {warning}")
    if output_dir is None:
        return _Run(pairings, chosen, listener).make(warnings)
    with (
        output_folder(output_dir) as folder,
        output_lock(folder / _LOCK, f"a comparison in {folder}"),
        part_folder(folder / INDEX_NAME) as staging,
    ):
        require_not_open(folder / POLYGONS_NAME)
        run = _Run(pairings, chosen, listener, staging)
        try:
            found = run.make(warnings)
            names = [_describe(side) for side in (first, second)]
            _write_index(staging / INDEX_NAME, found, chosen, names)
        except OutputError as error:
            raise error.known_as(staging, folder) from error
        earlier = _earlier_files(folder)
        # The index appears last: it names files that exist.
        files = sorted(staging.iterdir(), key=lambda path: (path.name == INDEX_NAME, path.name))
        publish_files(files, folder)
        for name in set(earlier) - {path.name for path in files}:
            (folder / name).unlink(missing_ok=True)
    return ComparisonResult(
        found.cells,
        found.pooled,
        found.warnings,
        found.not_made,
        folder,
        (*found.files, INDEX_NAME),
    )


class _Run:
    """All pairs of a comparison."""

    def __init__(
        self,
        pairings: Sequence[Pairing],
        options: ComparisonOptions,
        progress: Progress,
        folder: Path | None = None,
    ) -> None:
        self._pairings = pairings
        self._options = options
        self._progress = progress
        self._folder = folder
        self._files: list[str] = []
        self._polygons: list[FeatureTable] = []
        self._judged = False

    def make(self, warnings: tuple[str, ...]) -> ComparisonResult:
        """Compare all pairs."""
        self._progress.start(len(self._pairings), "maps", "Comparing")
        cells: dict[str, dict[str, Any]] = {}
        pooled = DifferenceSums(self._options)
        area_m2 = 0.0
        for pairing in self._pairings:
            sums = self._compare(pairing)
            pixel_m2 = pairing.maps.grid.spacing_m**2
            if sums.pixels == 0:
                raise InputError(
                    f"The two maps of {pairing.name} have no pixel where both are known.",
                    hint="Check that they are of the same area, and their nodata values.",
                )
            cells[pairing.name] = sums.statistics(pixel_m2=pixel_m2)
            pooled += sums
            area_m2 += sums.pixels * pixel_m2
            self._progress.advance()
        self._progress.finish()
        whole = pooled.statistics(pixel_m2=area_m2 / pooled.pixels)
        if self._folder is not None:
            self._write_tables(self._folder, {**cells, "all": whole} if len(cells) > 1 else cells)
        not_made = {} if self._judged else {"change": _NO_CHANGES}
        return ComparisonResult(cells, whole, warnings, not_made, files=tuple(self._files))

    def _compare(self, pairing: Pairing) -> DifferenceSums:
        """Compare one pair, and write its rasters and polygons."""
        sums = DifferenceSums(self._options)
        judged = self._options.std_db is not None or pairing.maps.has("std_db")
        self._judged |= judged
        layers = self._layers(pairing, judged)
        with ExitStack() as sinks:
            rasters = None
            if self._folder is not None:
                opened = {
                    layer.file: (layer, sinks.enter_context(self._sink(pairing, layer)))
                    for layer in layers
                }
                rasters = BandRasters(opened, pairing.maps.grid.shape)
            for band in pairing.maps.bands(layers=("std_db",)):
                self._progress.check()
                sides = pairing.sides(band, self._options.std_db)
                difference, std_db = sides.difference_db, sides.std_db()
                changes = None
                if std_db is not None:
                    changes = change_classes(
                        difference, std_db, confidence=self._options.confidence
                    )
                sums.add(sides, changes)
                if rasters is not None:
                    made = (difference, changes)
                    rasters.place(
                        band.rows,
                        band.cols,
                        {
                            layer.file: values
                            for layer, values in zip(layers, made, strict=False)
                            if values is not None
                        },
                    )
            if rasters is not None:
                rasters.finish()
        if self._folder is not None:
            self._files += [layer.file for layer in layers]
            if judged:
                self._outline(self._folder, pairing, layers)
        return sums

    def _layers(self, pairing: Pairing, judged: bool) -> list[RasterLayer]:
        """Rasters of a pair: the difference, and the classes of change where they are known."""
        start = f"{pairing.name}_" if len(self._pairings) > 1 else ""
        layers = [RasterLayer(f"{start}difference.tif", "difference", "dB")]
        if judged:
            layers.append(
                RasterLayer(
                    f"{start}change.tif",
                    "significant change",
                    dtype="uint8",
                    nodata=0,
                    resampling="mode",
                    categories=CHANGE_NAMES,
                    colours=CHANGE_COLOURS,
                )
            )
        return layers

    def _sink(self, pairing: Pairing, layer: RasterLayer) -> Any:  # noqa: ANN401 - a context manager
        """Open a raster in the staging folder."""
        assert self._folder is not None
        return raster_sink(
            self._folder / layer.file,
            pairing.maps.grid,
            dtype=layer.dtype,
            nodata=layer.nodata,
            unit=layer.unit,
            resampling=layer.resampling,
            colormap=layer.colours or None,
            band_descriptions=[layer.band],
            tags={
                **describe_software(),
                "planning_product": "comparison",
                "cell": pairing.name,
                "quantity": layer.band,
                "units": layer.unit or "1",
                **class_names_tag(layer.categories),
                "definition": "second minus first"
                if layer.unit
                else f"difference beyond chance at {self._options.confidence:g} confidence",
            },
        )

    def _outline(self, folder: Path, pairing: Pairing, layers: Sequence[RasterLayer]) -> None:
        """Outline the significant changes of a pair."""
        settings = OutlineSettings()
        difference, change = (folder / layer.file for layer in layers)
        write_category_names(change, CHANGE_NAMES)
        self._files.append(f"{change.name}.aux.xml")
        classes = read_reduced(change, settings.max_pixels, categorical=True)
        self._polygons.append(
            change_polygons(
                np.nan_to_num(classes.values).astype(np.uint8),
                read_reduced(difference, settings.max_pixels).values,
                classes.grid,
                cell=pairing.name,
                min_area_m2=self._options.min_area_m2,
                simplify_m=simplification(settings, classes.grid),
                metadata=describe_software(),
            )
        )

    def _write_tables(self, folder: Path, cells: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the table of the statistics, and the polygons."""
        rows = [{"cell": name, **_flat(found)} for name, found in cells.items()]
        columns = dict.fromkeys(name for row in rows for name in row)
        write_table(folder / TABLE_NAME, [{c: row.get(c) for c in columns} for row in rows])
        self._files.append(TABLE_NAME)
        if self._polygons:
            write_features(folder / POLYGONS_NAME, _merged(self._polygons))
            self._files.append(POLYGONS_NAME)


def _merged(tables: Sequence[FeatureTable]) -> list[FeatureTable]:
    """Put the polygons of all cells into one layer for each CRS."""
    by_crs: dict[str, list[FeatureTable]] = {}
    for table in tables:
        by_crs.setdefault(table.crs.to_wkt(), []).append(table)
    merged = []
    for number, own in enumerate(by_crs.values()):
        first = own[0]
        merged.append(
            FeatureTable(
                first.name if number == 0 else f"{first.name}_{number + 1}",
                np.concatenate([table.geometry for table in own]),
                {c: np.concatenate([table.columns[c] for table in own]) for c in first.columns},
                first.crs,
                first.geometry_type,
                first.metadata,
            )
        )
    return merged


def _flat(found: Mapping[str, Any]) -> dict[str, object]:
    """Flatten statistics to the columns of a table."""
    flat: dict[str, object] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{inner}": item for inner, item in value.items()}
        else:
            flat[name] = value
    return flat


def _as_set(side: Comparable) -> RadioMapSet:
    """Open one side of a comparison."""
    if isinstance(side, RadioMapSet):
        return side
    if isinstance(side, RadioMap):
        return RadioMapSet.of({side.tags.get("cell", "map"): side})
    return open_radio_map_set(side)


def _describe(side: Comparable) -> str:
    """Name one side of a comparison."""
    return "maps in memory" if isinstance(side, (RadioMap, RadioMapSet)) else Path(side).name


def _write_index(
    path: Path, found: ComparisonResult, options: ComparisonOptions, sides: Sequence[str]
) -> None:
    """Write ``comparison.json``."""
    content = {
        "version": 1,
        "first": sides[0],
        "second": sides[1],
        "parameters": asdict(options),
        "cells": found.cells,
        "all": found.pooled,
        "files": list(found.files),
        "not_made": found.not_made,
        "warnings": list(found.warnings),
        "provenance": describe_software(),
    }
    text = json.dumps(json_value(content), indent=2, ensure_ascii=False)
    with replacing(path) as part:
        part.write_text(text + "\n", "utf-8")


def _earlier_files(folder: Path) -> list[str]:
    """List the files of an earlier comparison in the folder."""
    try:
        files = parse_json((folder / INDEX_NAME).read_text("utf-8"))["files"]
        return [name for name in files if Path(name).name == name]
    except (OSError, ValueError, TypeError, KeyError):
        return []
