"""Results of cells, and the summary files of a run."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rm_geo._util.atomic import replacing
from rm_geo._util.csv_text import csv_text
from rm_geo._util.locks import output_lock
from rm_geo._util.own_folder import OwnFolder
from rm_geo.errors import InputError, OutputError, RmGeoError, TooSmallError

if TYPE_CHECKING:
    from rm_geo.products.radio_map import RadioMap

SUMMARY_NAMES: Final = ("summary.csv", "summary.json")
BATCH_SUMMARY_NAMES: Final = ("batch_summary.csv", "batch_summary.json")

_LOCK_NAME: Final = ".rmgeo-summary-lock"
_LONGEST_WAIT_S: Final = 60.0
_NAMES: Final = 5
_NAME_CHARS: Final = 28
"""Most names of cells in a message, and most characters of each."""


@dataclass(frozen=True)
class CellResult:
    """Result of one cell: a row of the summary.

    Attributes
    ----------
    cell : str
        Name, as in the file names.
    status : str
        ``mapped``, ``skipped`` (measured in too few pixels) or ``failed``.
    cell_name : str
        Name, as in the measurements; empty if not known.
    message : str
        Why it was skipped or failed; empty otherwise.
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
        How they were determined.
    method : str
        Name of the estimator.
    method_weight : float or None
        Weight of the method beside that of the baseline.
    baseline : str
        The classical map that the method is combined with; empty if it has no weight.
    held_out_rmse_db : tuple of float
        RMSE at held-out blocks of the method, the baseline and both, of the cells by which the
        weight was estimated: the largest of the log, or this one (``joint=False``). Empty if
        nothing was held out.
    joint_cells, joint_places : int
        Other cells that corrected the map, and visited places without a reading of the cell
        that were estimated from them; 0 without a joint estimate.
    joint_weight : float
        Weight of the joint estimate beside the single-cell one.
    files : tuple of str
        Names of the files, in the output folder.
    file_bytes : tuple of int
        Their sizes in bytes; empty in records of an earlier version.
    warnings : tuple of str
        Doubts about the result.

    Examples
    --------
    >>> results = [CellResult("7", "mapped", measurements=5000),
    ...            CellResult("8", "skipped", message="measured in 3 pixels")]
    >>> [(result.cell, result.message) for result in results if not result.is_mapped]
    [('8', 'measured in 3 pixels')]
    """

    cell: str
    status: str
    cell_name: str = ""
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
    method_weight: float | None = None
    baseline: str = ""
    held_out_rmse_db: tuple[float, ...] = ()
    joint_cells: int = 0
    joint_places: int = 0
    joint_weight: float = 0.0
    files: tuple[str, ...] = ()
    file_bytes: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    def is_whole(self, sizes: Mapping[str, int | None]) -> bool:
        """Whether all files exist with the sizes in which they were written.

        Parameters
        ----------
        sizes : mapping of str to int or None
            Sizes of the existing files by name; None if a size is not known.

        Returns
        -------
        bool
            False if a file is missing or has another size.
        """
        if not sizes.keys() >= set(self.files):
            return False
        meant = zip(self.files, self.file_bytes, strict=False)
        return all(sizes[name] in (size, None) for name, size in meant)

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> CellResult:
        """Create a result from its JSON form.

        Parameters
        ----------
        values : mapping
            As :func:`dataclasses.asdict` gives it, after a way through JSON.

        Returns
        -------
        CellResult

        Raises
        ------
        TypeError
            If the values are not those of a result.
        """
        tuples = ("files", "file_bytes", "warnings", "held_out_rmse_db")
        listed = {name: tuple(values.get(name, ())) for name in tuples}
        return cls(**{**values, **listed})

    @property
    def title(self) -> str:
        """Name in messages: as in the file names, and as in the measurements if that differs."""
        return titled(self.cell, self.cell_name)

    def open_map(self, folder: str | os.PathLike[str]) -> RadioMap:
        """Open the map of the cell, whose values are read when they are asked for.

        Parameters
        ----------
        folder : path-like
            The output folder.

        Returns
        -------
        RadioMap
            The level, and the other layers whose files are beside it.

        Raises
        ------
        InputError
            If the cell was not mapped, or its files are gone.
        """
        if not self.is_mapped:
            raise InputError(f"Cell {self.title} has no map: {self.message}")
        from rm_geo.products.radio_map import open_radio_map  # GDAL, for those who read maps

        return open_radio_map(Path(folder) / f"{self.cell}_rsrp.tif")

    @property
    def is_mapped(self) -> bool:
        """Whether the cell's maps were written."""
        return self.status == "mapped"

    @property
    def is_skipped(self) -> bool:
        """Whether the cell was measured in too few pixels, which is not a failure."""
        return self.status == "skipped"

    @property
    def is_failed(self) -> bool:
        """Whether the cell should have been mapped and could not be."""
        return not (self.is_mapped or self.is_skipped)


def titled(cell: str, original: str) -> str:
    """Name a cell in messages.

    Parameters
    ----------
    cell : str
        Name, as in the file names.
    original : str
        Name, as in the measurements; may be empty.

    Returns
    -------
    str

    Examples
    --------
    >>> titled("40", "40"), titled("26_1-c9490292", "26/1")
    ('40', '26_1-c9490292 (26/1)')
    """
    return cell if original in ("", cell) else f"{cell} ({original})"


def failed(cell: str, cell_name: str, measurements: int, error: RmGeoError) -> CellResult:
    """Create the result of a cell that could not be mapped.

    Parameters
    ----------
    cell, cell_name : str
        Name, as in the file names and as in the measurements.
    measurements : int
        Number of measurements of the cell.
    error : RmGeoError
        The reason.

    Returns
    -------
    CellResult
    """
    return CellResult(cell, "failed", cell_name, str(error), measurements)


def skipped(cell: str, cell_name: str, measurements: int, error: TooSmallError) -> CellResult:
    """Create the result of a cell that was measured in too few pixels.

    Parameters
    ----------
    cell, cell_name : str
        Name, as in the file names and as in the measurements.
    measurements : int
        Number of measurements of the cell.
    error : RmGeoError
        The reason.

    Returns
    -------
    CellResult
    """
    return CellResult(cell, "skipped", cell_name, str(error), measurements)


def skipped_line(results: Iterable[CellResult]) -> str:
    """Describe in one line which cells were skipped.

    Parameters
    ----------
    results : iterable of CellResult
        Results of a run.

    Returns
    -------
    str
        Empty if no cell was skipped.
    """
    return skipped_message([result.title for result in results if result.is_skipped])


def skipped_message(names: Sequence[str]) -> str:
    """Say in one line of bounded length that cells are skipped.

    Parameters
    ----------
    names : sequence of str
        Names of the cells.

    Returns
    -------
    str
        Empty if there are none.

    Examples
    --------
    >>> skipped_message(["7", "26_1-c9490292 (26/1)"])
    '2 cells were skipped, measured in too few pixels to be mapped: 7, 26_1-c9490292 (26/1).'
    """
    if not names:
        return ""
    count = "1 cell was" if len(names) == 1 else f"{len(names)} cells were"
    return f"{count} skipped, measured in too few pixels to be mapped: {listed(names)}."


def listed(names: Sequence[str]) -> str:
    """List names of cells in a text of bounded length.

    Parameters
    ----------
    names : sequence of str
        Names, at least one.

    Returns
    -------
    str
        The first five, and the number of the others.

    Examples
    --------
    >>> listed(["7", "8", "9", "10", "11", "12", "13"])
    '7, 8, 9, 10, 11 and 2 more'
    """
    shown = [
        name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 3]}..."
        for name in names[:_NAMES]
    ]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(shown) + more


def write_summary(results: Sequence[CellResult], folder: Path) -> None:
    """Write ``summary.csv`` and ``summary.json``, one row for each cell.

    The rows of cells that other runs wrote to the folder are kept, as long as their files are
    there.

    Parameters
    ----------
    results : sequence of CellResult
        Results of a run.
    folder : Path
        Output folder, which exists.

    Raises
    ------
    OutputError
        If they cannot be written.
    OutputInUseError
        If another process writes them for a minute.
    """
    # With one writer at a time, no rows are lost between reading and writing.
    with output_lock(folder / _LOCK_NAME, f"the summary in {folder}", wait_s=_LONGEST_WAIT_S):
        others = _rows_of_others(folder, {result.cell for result in results})
        rows = [*results, *others]
        if others:
            rows.sort(key=lambda row: (-row.measurements, row.cell))
        table = io.StringIO()
        writer = csv.DictWriter(table, [column.name for column in fields(CellResult)])
        writer.writeheader()
        for row in rows:
            writer.writerow({key: csv_text(_cell_text(v)) for key, v in asdict(row).items()})
        document = {"cells": [asdict(row) for row in rows]}
        texts = {
            "summary.csv": table.getvalue(),
            "summary.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        }
        for name, text in texts.items():
            with replacing(folder / name) as part:
                part.write_text(text, "utf-8", newline="")


def _rows_of_others(folder: Path, own: Collection[str]) -> list[CellResult]:
    """Read the rows of other cells of an earlier summary; of mapped cells those with all files."""
    try:
        rows = json.loads(OwnFolder(folder).read("summary.json"))["cells"]
    except (OSError, OutputError, ValueError, RecursionError, KeyError, TypeError):
        return []
    found: dict[str, CellResult] = {}
    for row in rows if isinstance(rows, list) else ():
        try:
            result = CellResult.restored(row)
            sizes = {
                name: (folder / name).stat().st_size
                for name in result.files
                if Path(name).name == name and (folder / name).is_file()
            }
            is_valid = isinstance(result.cell, str) and isinstance(result.measurements, int)
            if is_valid and result.cell not in own and result.is_whole(sizes):
                found[result.cell] = result
        except (OSError, ValueError, TypeError, AttributeError):  # damaged, or of another version
            continue
    return list(found.values())


def _cell_text(value: Any) -> str:  # noqa: ANN401 - any value of a summary row
    """Write one value of the table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        between = " " if all(" " not in str(item) for item in value) else "; "
        return between.join(map(str, value))
    return str(value)
