"""What a report is made of: folders of predict, plan, compare and validate."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from rm_geo._util.csv_text import text_of_csv
from rm_geo._util.json_text import parse_json
from rm_geo.errors import InputError
from rm_geo.products.summary import CellResult

PLAN_NAME: Final = "plan.json"
SUMMARY_NAME: Final = "summary.json"
COMPARISON_NAME: Final = "comparison.json"
VALIDATION_NAME: Final = "validation.json"


@dataclass(frozen=True)
class PlanSource:
    """The index of a plan, and the folder of its files."""

    folder: Path
    index: Mapping[str, Any]

    def statistics(self, product: str) -> Mapping[str, Any]:
        """Give the statistics of a product; empty if it was not made."""
        entry = self.index.get("products", {}).get(product, {})
        found: Mapping[str, Any] = entry.get("statistics", {})
        return found

    def setting(self, group: str, name: str) -> Any:  # noqa: ANN401 - any value of JSON
        """Give a setting; None if the index does not state it.

        Parameters
        ----------
        group : str
            Name of a group of settings, such as ``holes``.
        name : str
            Name of a setting of the group.

        Returns
        -------
        object
            The value; None if the index does not state it.
        """
        settings = self.index.get("parameters", {}).get("settings", {})
        return settings.get(group, {}).get(name)

    def files(self, ending: str) -> list[tuple[str, Path]]:
        """List the files with an ending that exist, with the names of their products."""
        return [
            (product, self.folder / name)
            for product, entry in self.index.get("products", {}).items()
            for name in entry.get("files", ())
            if name.endswith(ending) and (self.folder / name).is_file()
        ]

    def missing_files(self) -> list[str]:
        """List the files of the index that are gone."""
        return [
            name
            for entry in self.index.get("products", {}).values()
            for name in entry.get("files", ())
            if not (self.folder / name).is_file()
        ]

    def table(self, name: str) -> list[dict[str, str]]:
        """Read a table of the plan; empty if it was not made."""
        path = self.folder / name
        if not path.is_file():
            return []
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file)
                return [
                    {key: text_of_csv(value or "") for key, value in row.items() if key is not None}
                    for row in rows
                ]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read: {error}.", path=path) from error


@dataclass(frozen=True)
class PredictSource:
    """The summary of a run of predict, and the folder of its maps."""

    folder: Path
    cells: Sequence[CellResult]

    @property
    def mapped(self) -> list[CellResult]:
        """Cells whose maps are there."""
        return [
            cell
            for cell in self.cells
            if cell.is_mapped and (self.folder / f"{cell.cell}_rsrp.tif").is_file()
        ]


@dataclass(frozen=True)
class ComparisonSource:
    """The index of a comparison of maps, and the folder of its files."""

    folder: Path
    index: Mapping[str, Any]

    def files(self, ending: str) -> list[Path]:
        """List the files with an ending that exist."""
        found = [self.folder / str(name) for name in self.index.get("files", ())]
        return [path for path in found if path.name.endswith(ending) and path.is_file()]

    @property
    def sides(self) -> tuple[str, str]:
        """Names of the maps that are compared; the difference is the second minus the first."""
        return str(self.index.get("first", "first")), str(self.index.get("second", "second"))


@dataclass(frozen=True)
class ReportSources:
    """Everything that a report shows.

    Attributes
    ----------
    folders : tuple of Path
        Where it was read from.
    plan : PlanSource or None
        The first plan.
    predict : PredictSource or None
        The first run of predict.
    comparison : ComparisonSource or None
        The first comparison.
    validations : tuple of mapping
        Contents of ``validation.json``.
    newest : datetime
        When the newest of the index files was written, in UTC.
    """

    folders: tuple[Path, ...]
    plan: PlanSource | None
    predict: PredictSource | None
    comparison: ComparisonSource | None
    validations: tuple[Mapping[str, Any], ...]
    newest: datetime


def read_sources(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> ReportSources:
    """Read the indices of result folders.

    Parameters
    ----------
    folders : path-like or sequence of path-like
        Folders with ``plan.json``, ``summary.json``, ``comparison.json`` or ``validation.json``,
        in any order.

    Returns
    -------
    ReportSources

    Raises
    ------
    InputError
        If a folder is missing or holds no results, a file is damaged, or there are two plans,
        two runs of predict or two comparisons.
    """
    given = [folders] if isinstance(folders, (str, os.PathLike)) else list(folders)
    places = list(dict.fromkeys(Path(folder) for folder in given))
    plans: list[PlanSource] = []
    runs: list[PredictSource] = []
    comparisons: list[ComparisonSource] = []
    validations: list[Mapping[str, Any]] = []
    newest = 0.0
    for folder in places:
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}.", path=folder)
        found = 0
        for name in (PLAN_NAME, SUMMARY_NAME, COMPARISON_NAME, VALIDATION_NAME):
            path = folder / name
            if not path.is_file():
                continue
            content = _read_json(path)
            newest = max(newest, path.stat().st_mtime)
            found += 1
            if name == PLAN_NAME:
                plans.append(PlanSource(folder, content))
            elif name == SUMMARY_NAME:
                runs.append(PredictSource(folder, _cells(content, path)))
            elif name == COMPARISON_NAME:
                comparisons.append(ComparisonSource(folder, _with_statistics(content, path)))
            else:
                validations.append(content)
        if not found:
            raise InputError(
                f"{folder} holds no results: neither {PLAN_NAME} nor {SUMMARY_NAME} nor "
                f"{COMPARISON_NAME} nor {VALIDATION_NAME}.",
                hint="Name a folder that 'rm-geo predict', 'plan', 'compare' or 'validate' wrote.",
                path=folder,
            )
    for several, what in (
        (plans, "plans"),
        (runs, "runs of predict"),
        (comparisons, "comparisons"),
    ):
        if len(several) > 1:
            raise InputError(
                f"The folders hold {len(several)} {what}.",
                hint="Make a report of each, and compare with 'rm-geo compare'.",
            )
    return ReportSources(
        tuple(places),
        plans[0] if plans else None,
        runs[0] if runs else None,
        comparisons[0] if comparisons else None,
        tuple(validations),
        datetime.fromtimestamp(newest, timezone.utc),
    )


def _read_json(path: Path) -> dict[str, Any]:
    """Read an object of JSON."""
    try:
        content = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {error}.",
            hint="Run the command again that wrote it.",
            path=path,
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not an index of results.", path=path)
    return content


def _with_statistics(content: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Check that an index is that of a comparison."""
    cells = content.get("cells")
    if not isinstance(cells, Mapping) or not isinstance(content.get("all"), Mapping):
        raise InputError(f"{path} is not the index of a comparison.", path=path)
    return content


def _cells(content: Mapping[str, Any], path: Path) -> list[CellResult]:
    """Read the cells of a summary."""
    try:
        return [CellResult.restored(values) for values in content["cells"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not the summary of a run of predict.", path=path) from error
