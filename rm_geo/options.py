"""Options of :func:`rm_geo.predict`: one definition for all interfaces.

The options are pydantic models in five groups: reading, grid, method, site and output. Names,
types, defaults, bounds and descriptions are stated here once. The command line, job tables,
YAML files, requests to the worker and the descriptions in QGIS are derived from them.

Every option also has a flat name, which is unique over all groups. It is the field's name,
except that of the method, which is ``method`` for ``options.method.name``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rm_geo._util.key_value import parse_key_value
from rm_geo.errors import UsageError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from typing_extensions import Self

    from rm_geo.grid import CrsLike
else:
    # Named loosely here: pyproj is not imported for the sake of a type.
    CrsLike = Annotated[Any, WithJsonSchema({"type": ["string", "integer"]})]

LEAST_SPACING_M: Final = 1e-3
"""Smallest pixel side in metres; a finer grid is taken for a mistake."""

_UNITS: Final = ("_m", "_px", "_db", "_dbm", "_mhz")
_LIST_OF_NUMBERS: Final = re.compile(r"[,;\s]+")
_LIST_OF_NAMES: Final = re.compile(r"[,;]")


class OptionGroup(BaseModel):
    """Base of the groups: immutable, validated once, no unknown names.

    Raises
    ------
    UsageError
        If a value is invalid; ``parameter`` names the field.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        coerce_numbers_to_str=True,
        populate_by_name=True,
    )

    if not TYPE_CHECKING:  # type checkers see the keywords of the fields

        def __init__(self, **values: Any) -> None:  # noqa: ANN401 - any field
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise usage_error(error) from None

    @field_serializer("crs", "target_crs", "sites_crs", check_fields=False, when_used="json")
    def _write_crs(self, value: object) -> object:
        """Write a CRS as text."""
        return value.to_string() if hasattr(value, "to_string") else value

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_from_truth(cls, value: object, info: Any) -> object:  # noqa: ANN401 - pydantic's
        """Refuse ``true`` for a number, which pydantic would read as 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise PydanticCustomError("no_truth", "must not be true or false")
        return value


class ReadingOptions(OptionGroup):
    """Which measurements are read, and from which columns."""

    crs: CrsLike | None = Field(
        None,
        description="CRS of the coordinates, used if the file does not state one, such as "
        "EPSG:4326.",
    )
    rsrp_column: str | None = Field(
        None, description="Column of the RSRP in dBm; detected if not given."
    )
    cell_column: str | None = Field(
        None, description="Column of the cell (PCI, cell id); detected if not given."
    )
    x_column: str | None = Field(
        None,
        description="Column of the longitude or easting, for tables without geometry; detected if "
        "not given.",
    )
    y_column: str | None = Field(
        None,
        description="Column of the latitude or northing, for tables without geometry; detected "
        "if not given.",
    )
    time_column: str | None = Field(None, description="Column of the time; detected if not given.")
    pci_column: str | None = Field(
        None, description="Column of the physical cell identity; detected if not given."
    )
    node_column: str | None = Field(
        None, description="Column of the base station (eNodeB, gNodeB); detected if not given."
    )
    carrier_column: str | None = Field(
        None,
        description="Column of the carrier (EARFCN, NR-ARFCN, frequency, band); detected if not "
        "given.",
    )
    operator_column: str | None = Field(
        None, description="Column of the operator; detected if not given."
    )
    technology_column: str | None = Field(
        None, description="Column of the technology (LTE, NR); detected if not given."
    )
    columns: str | None = Field(
        None,
        description="YAML file that names the columns of a vendor's format; columns that are "
        "given take precedence.",
    )
    where: str | None = Field(
        None,
        description="Read only rows for which this expression over columns holds, such as "
        "\"speed > 5 and tech == 'LTE'\".",
    )
    strict: bool = Field(
        False,
        description="Refuse a file in which cells may be mixed up, instead of a warning.",
    )
    time_from: str | None = Field(
        None,
        description="Use only measurements from this time on (2024-05-01 or 2024-05-01T10:30).",
    )
    time_to: str | None = Field(None, description="Use only measurements up to this time.")
    technologies: tuple[str, ...] = Field(
        (), description="Use only measurements of these technologies (LTE, NR)."
    )
    operators: tuple[str, ...] = Field(
        (), description="Use only measurements of these operators, as the log names them."
    )
    channels: tuple[int, ...] = Field(
        (), description="Use only measurements on these channels (EARFCN, NR-ARFCN)."
    )
    min_points: int = Field(
        0, ge=0, description="Leave out cells with fewer measurements than this."
    )
    top: int | None = Field(
        None, ge=1, description="Use only this number of cells, those with the most measurements."
    )
    layer: str | None = Field(
        None, description="Layer of the measurements, for files with several layers."
    )
    bbox: tuple[float, float, float, float] | None = Field(
        None,
        description="Read only measurements inside this box: west, south, east, north in the CRS "
        "of the file.",
    )
    cells: tuple[str, ...] = Field(
        (),
        description="Map only these cells, by their names in the measurements or by the names of "
        "their files; all cells if not given.",
    )

    @field_validator("bbox", mode="before")
    @classmethod
    def _split_numbers(cls, value: object) -> object:
        """Split a text at commas, semicolons and blanks."""
        box = _items(value, _LIST_OF_NUMBERS)
        if isinstance(box, (list, tuple)) and len(box) != 4:
            raise PydanticCustomError("bbox", "must be four numbers: west, south, east, north")
        return box

    @field_validator("bbox")
    @classmethod
    def _ordered(
        cls, box: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        """Refuse a box whose sides are exchanged."""
        if box is not None and not (box[0] <= box[2] and box[1] <= box[3]):
            raise PydanticCustomError("bbox", "must be in the order west, south, east, north")
        return box

    @field_validator("channels", mode="before")
    @classmethod
    def _split_channels(cls, value: object) -> object:
        """Split a text at commas, semicolons and blanks."""
        return _items(value, _LIST_OF_NUMBERS)

    @field_validator("cells", "technologies", "operators", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        """Split a text at commas and semicolons; names may contain blanks."""
        return _items(value, _LIST_OF_NAMES)


class GridOptions(OptionGroup):
    """Pixels of the maps, and the tiles in which they are computed."""

    target_crs: CrsLike | None = Field(
        None,
        description="Projected CRS of the maps; the UTM zone of the measurements if not given and "
        "their CRS is not in metres.",
    )
    resolution_m: float = Field(1.0, ge=LEAST_SPACING_M, description="Side of a pixel in metres.")
    reach_m: float = Field(
        100.0,
        ge=0.0,
        description="Pixels further than this from every measurement are nodata, in metres; also "
        "the margin of the map.",
    )
    tile_size_px: int = Field(256, ge=16, description="Side of a tile in pixels.")
    overlap_px: int = Field(
        32, ge=0, description="Minimum overlap of neighbouring tiles in pixels."
    )
    min_pixels: int = Field(
        5, ge=1, description="Skip a cell that is measured in fewer pixels than this."
    )
    max_tiles: int = Field(
        1000, ge=1, description="Refuse a cell that would need more tiles than this."
    )

    @model_validator(mode="after")
    def _overlap_within_tile(self) -> Self:
        """Refuse an overlap as large as a tile."""
        if self.overlap_px >= self.tile_size_px:
            raise _of_field("overlap_px", f"must be in 0..{self.tile_size_px - 1} pixels")
        return self


class MethodOptions(OptionGroup):
    """Estimator, device, and the correction to the measurements."""

    name: str = Field(
        "radiocycle",
        alias="method",
        description="Name of the estimator, such as radiocycle, knn or idw.",
    )
    model: str | Path | None = Field(
        None,
        description="Trained model of a network method: a listed name, a file or a folder; the "
        "method's default if not given.",
    )
    method_options: Mapping[str, Any] = Field(
        {}, description="Further parameters of the method, such as neighbors=8 of knn."
    )
    device: str = Field(
        "auto", description="Device that runs networks: auto, cpu, cuda, cuda:<n> or mps."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Tiles computed at once; chosen by the device's memory if not given, and "
        "halved if the memory does not suffice.",
    )
    assimilate: bool = Field(
        True,
        description="Correct the map by regression kriging of the residuals at the measurements.",
    )
    joint: bool = Field(
        True,
        description="Estimate all cells of a log together: where a cell was not reported at a "
        "visited place, the other cells there correct its map.",
    )
    selection_correction: bool = Field(
        False,
        description="Lower the map at visited places where the cell was not reported, as far as "
        "the log shows that weak cells are reported less often; not for logs that list only the "
        "serving cell.",
    )
    method_weight: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Weight of the method in the map, 0 to 1; the rest is inverse distance "
        "weighting. Estimated by cross-validation if not given, for networks with regression "
        "kriging: once for all cells of a log.",
    )
    noise_db: float | None = Field(
        None,
        ge=0.0,
        description="Standard deviation of the error of a measured pixel in dB; estimated from "
        "neighbouring measurements if not given. With 0 the map equals the measurements at "
        "measured pixels.",
    )

    @field_validator("batch_size", mode="before")
    @classmethod
    def _read_auto(cls, value: object) -> object:
        """Read ``auto`` as None."""
        return None if value == "auto" else value

    @field_validator("method_options", mode="before")
    @classmethod
    def _read_settings(cls, value: object) -> object:
        """Read a sequence of ``KEY=VALUE`` as a mapping."""
        if isinstance(value, (list, tuple)):
            try:
                return dict(parse_key_value(str(setting)) for setting in value)
            except ValueError as error:
                raise PydanticCustomError("settings", "{why}", {"why": _clause(error)}) from None
        return value

    @model_validator(mode="after")
    def _need_correction(self) -> Self:
        """Refuse corrections, and the weight of the method, with a map that is not corrected."""
        if not self.assimilate and self.method_weight not in (None, 1.0):
            raise _of_field("method_weight", "has no meaning with `assimilate=False`")
        if not self.assimilate and self.selection_correction:
            raise _of_field("selection_correction", "has no meaning with `assimilate=False`")
        return self


class SiteOptions(OptionGroup):
    """Transmitters and buildings."""

    sites: Path | str | None = Field(
        None,
        description="Table of the sites, on this machine or in object storage; positions are "
        "estimated from the measurements if not given.",
    )
    sites_crs: CrsLike | None = Field(
        None,
        description="CRS of a site table that does not state one; that of the measurements if "
        "not given.",
    )
    buildings: Path | str | None = Field(
        None,
        description="Building footprints, or a raster of them, on this machine or in object "
        "storage; networks read them in place of the buildings that they would estimate.",
    )
    buildings_layer: str | None = Field(
        None, description="Layer of the building footprints, for files with several layers."
    )
    eirp_dbm: float | None = Field(
        None,
        description="EIRP per resource element in dBm, used if the site table does not state it.",
    )
    frequency_mhz: float | None = Field(
        None,
        ge=1.0,
        description="Carrier frequency in MHz, used if neither sites nor measurements state it.",
    )
    max_site_uncertainty_m: float = Field(
        30.0,
        ge=0.0,
        description="Use a position estimated from the measurements only if its uncertainty is at "
        "most this, in metres.",
    )

    @model_validator(mode="after")
    def _layer_needs_file(self) -> Self:
        """Refuse a layer without a file."""
        if self.buildings is None and self.buildings_layer is not None:
            raise _of_field("buildings_layer", "needs the file of the `buildings`")
        return self


class OutputOptions(OptionGroup):
    """Which files are written."""

    mask: bool = Field(False, description="Also write the building mask.")
    mask_threshold: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Building probability above which the mask is set; if not given, or auto, "
        "that of the largest expected F1 of each map.",
    )
    uncertainty: bool = Field(
        False,
        description="Also write the standard deviation, by the distance to the nearest "
        "measurement; with a classical method, its own where it estimates one.",
    )
    std_support_m: float = Field(
        5.0,
        ge=0.0,
        le=100.0,
        description="Side of the squares whose mean level the standard deviation is that of; 0 "
        "means single pixels, which also have the noise of the measurements.",
    )
    reported: bool = Field(
        True,
        description="Also write the probability that the cell is reported, from all visited "
        "places of the log; not for logs that list only the serving cell.",
    )
    preview: bool = Field(True, description="Also write a preview image of each cell.")
    stac: bool = Field(False, description="Also write a STAC item of each cell.")
    fresh: bool = Field(
        False,
        description="Discard the work of an interrupted run in the output folder instead of "
        "resuming it.",
    )

    @field_validator("mask_threshold", mode="before")
    @classmethod
    def _read_auto(cls, value: object) -> object:
        """Read ``auto`` as None."""
        return None if value == "auto" else value


class PredictOptions(BaseModel):
    """Options of :func:`rm_geo.predict`.

    Parameters
    ----------
    **values
        Options by their flat names, such as ``reach_m=50``, or whole groups, such as
        ``grid=GridOptions(reach_m=50)`` or ``grid={"reach_m": 50}``; a flat name takes
        precedence over its group. ``method`` is the name of the estimator or the group.

    Attributes
    ----------
    reading : ReadingOptions
        Which measurements are read, and from which columns.
    grid : GridOptions
        Pixels of the maps, and the tiles in which they are computed.
    method : MethodOptions
        Estimator, device, and the correction to the measurements.
    site : SiteOptions
        Transmitters and buildings.
    output : OutputOptions
        Which files are written.

    Raises
    ------
    UsageError
        If a name is unknown or a value is invalid; ``parameter`` is the option's flat name.

    Examples
    --------
    >>> options = PredictOptions(method="idw", reach_m=50)
    >>> options.method.name, options.grid.reach_m
    ('idw', 50.0)
    >>> options.replace(resolution_m=2).grid.resolution_m
    2.0
    >>> PredictOptions(reach=50)
    Traceback (most recent call last):
    rm_geo.errors.UsageError: Unknown option 'reach'. Did you mean 'reach_m'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reading: ReadingOptions = Field(default_factory=ReadingOptions)
    grid: GridOptions = Field(default_factory=GridOptions)
    method: MethodOptions = Field(default_factory=MethodOptions)
    site: SiteOptions = Field(default_factory=SiteOptions)
    output: OutputOptions = Field(default_factory=OutputOptions)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - options by flat names
        super().__init__(
            **{group: GROUPS[group](**chosen) for group, chosen in _by_group(values).items()}
        )

    def flat(self) -> dict[str, Any]:
        """Give all options by their flat names.

        Returns
        -------
        dict
            Flat names and values, in the order of definition.

        Examples
        --------
        >>> PredictOptions().flat()["reach_m"]
        100.0
        """
        return {
            option.name: getattr(getattr(self, option.group), option.field)
            for option in option_fields().values()
        }

    def replace(self, **changes: Any) -> PredictOptions:  # noqa: ANN401 - as __init__
        """Give a copy with some options changed, validated again.

        Parameters
        ----------
        **changes
            As those of the class.

        Returns
        -------
        PredictOptions
            The copy.

        Raises
        ------
        UsageError
            If a name is unknown or a value is invalid.
        """
        flat = self.flat()
        for group, chosen in _by_group(changes).items():
            names = _flat_names(group)
            flat.update({names.get(name, name): value for name, value in chosen.items()})
        return PredictOptions(**flat)


GROUPS: Final[Mapping[str, type[OptionGroup]]] = {
    "reading": ReadingOptions,
    "grid": GridOptions,
    "method": MethodOptions,
    "site": SiteOptions,
    "output": OutputOptions,
}
"""The groups by the names of their attributes."""


@dataclass(frozen=True)
class OptionField:
    """One option, as interfaces describe it.

    Attributes
    ----------
    name : str
        Flat name, such as ``reach_m``.
    group, field : str
        Where its value is: ``options.<group>.<field>``.
    info : pydantic.fields.FieldInfo
        Type, default, bounds and description.
    """

    name: str
    group: str
    field: str
    info: FieldInfo

    @property
    def short_name(self) -> str:
        """Name without its unit, and in the singular: that of the command line.

        Examples
        --------
        >>> [option_fields()[name].short_name for name in ("reach_m", "cells", "rsrp_column")]
        ['reach', 'cell', 'rsrp_column']
        """
        if self.name in ("cells", "method_options"):
            return self.name[:-1]
        unit = next((unit for unit in _UNITS if self.name.endswith(unit)), "")
        return self.name.removesuffix(unit)


@cache
def option_fields() -> Mapping[str, OptionField]:
    """Give all options by their flat names, in the order of definition.

    Returns
    -------
    mapping of str to OptionField
        One entry for each option of :class:`PredictOptions`.
    """
    return {
        (name := info.alias or field): OptionField(name, group, field, info)
        for group, model in GROUPS.items()
        for field, info in model.model_fields.items()
    }


def option_named(name: str, others: Iterable[str] = ()) -> OptionField:
    """Find an option by its flat name, or by its name without the unit.

    Parameters
    ----------
    name : str
        A name as a table or a YAML file has it.
    others : iterable of str
        Names that are accepted there beside the options, for the suggestion.

    Returns
    -------
    OptionField
        The option.

    Raises
    ------
    UsageError
        If there is none, with the closest name as a hint.

    Examples
    --------
    >>> option_named("reach").name
    'reach_m'
    """
    known = option_fields()
    if name in known:
        return known[name]
    for option in known.values():
        if option.short_name == name:
            return option
    raise unknown_option(name, others)


def unknown_option(name: str, others: Iterable[str] = ()) -> UsageError:
    """Make the error about a name that is no option's, with a suggestion.

    Parameters
    ----------
    name : str
        The unknown name.
    others : iterable of str
        Names that are accepted beside the options.

    Returns
    -------
    UsageError
        The error, with a suggestion as its hint.
    """
    known = sorted({*option_fields(), *others})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(known)}."
    return UsageError(f"Unknown option {name!r}.", hint=hint)


def usage_error(error: ValidationError) -> UsageError:
    """Turn what pydantic found first into an error of rm_geo.

    Parameters
    ----------
    error : pydantic.ValidationError
        As the validation of a group raised it.

    Returns
    -------
    UsageError
        Its message names the field and states the problem.
    """
    found = error.errors(include_url=False)[0]
    context = found.get("ctx", {})
    name = str(context.get("field") or ".".join(str(part) for part in found["loc"][:1]))
    if found["type"] == "extra_forbidden":
        return unknown_option(name)
    return UsageError(f"`{name}` {describe_problem(found)}.", parameter=name)


def describe_problem(found: ErrorDetails) -> str:
    """Say what is wrong with a value, as the rest of a sentence that begins with its name.

    Parameters
    ----------
    found : pydantic_core.ErrorDetails
        One entry of ``ValidationError.errors()``.
    """
    if found["type"] == "missing":
        return "has too few values"
    text = re.sub(r"^\w+ should ", "must ", found["msg"]).rstrip(".")
    text = text.partition(", unable to ")[0].replace(" after validation", "")
    if "field" in found.get("ctx", {}) or found["type"] in {"settings", "too_long", "too_short"}:
        return text
    return f"{text}, not {found['input']!r}"


def _of_field(name: str, problem: str) -> PydanticCustomError:
    """Make the error of a check over several fields, about one of them."""
    return PydanticCustomError("conflict", cast("Any", problem), {"field": name})


def _items(value: object, separator: re.Pattern[str]) -> object:
    """Split a text into a list; anything else stays."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in separator.split(value) if part.strip()]


def _clause(error: Exception) -> str:
    """Give the message of an error as the rest of a sentence."""
    return f"cannot be read: {str(error).rstrip('.')}"


def _flat_names(group: str) -> Mapping[str, str]:
    """Give the flat names of a group's fields."""
    return {o.field: o.name for o in option_fields().values() if o.group == group}


def _by_group(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort flat names and whole groups into groups."""
    sorted_: dict[str, dict[str, Any]] = {}
    known = option_fields()
    for name, value in values.items():
        if name in GROUPS and isinstance(value, (Mapping, OptionGroup)):
            given = (
                {field: getattr(value, field) for field in type(value).model_fields}
                if isinstance(value, OptionGroup)
                else value
            )
            names = _flat_names(name)
            of_group = {names.get(str(key), str(key)): item for key, item in given.items()}
            sorted_[name] = {**of_group, **sorted_.get(name, {})}
        elif name not in known:
            raise unknown_option(name)
    for name, value in values.items():
        if name in known and not (name in GROUPS and isinstance(value, (Mapping, OptionGroup))):
            sorted_.setdefault(known[name].group, {})[name] = value
    return sorted_
