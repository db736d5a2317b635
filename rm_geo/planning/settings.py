"""Thresholds and options of the planning products: one model, presets, a YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from rm_geo._util.atomic import replacing
from rm_geo.errors import ConfigError, UsageError
from rm_geo.io.yaml_file import read_yaml_mapping
from rm_geo.options import describe_problem

PresetName: TypeAlias = Literal["lte", "nr-fr1", "nb-iot", "lora"]
"""Names of the presets."""

HoleRank: TypeAlias = Literal["area", "population", "roads"]
"""What coverage holes are ranked by."""


def _text_names(value: object) -> object:
    """Give a mapping with texts as names: YAML reads the name of ``1: x`` as a number."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    return value


class SettingsGroup(BaseModel):
    """Base of the settings: immutable, validated once, no unknown names.

    Raises
    ------
    UsageError
        If a value is invalid; the message names the setting.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    if not TYPE_CHECKING:  # type checkers see the keywords of the fields

        def __init__(self, **values: Any) -> None:  # noqa: ANN401 - any field
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise _usage_error(error, type(self)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _as_given(cls, value: object, info: Any) -> object:  # noqa: ANN401 - pydantic's
        """Refuse ``true`` for a number, which pydantic would read as 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise PydanticCustomError("no_truth", "must not be true or false")
        return [_text_names(item) for item in value] if isinstance(value, list) else value


class CoverageClass(SettingsGroup):
    """A class of the level.

    Attributes
    ----------
    name : str
        Name in legends.
    from_dbm : float or None
        Lowest level of the class; None for the class below all others.
    colour : str
        As ``#rrggbb``.
    """

    name: str = Field(description="Name in legends.")
    from_dbm: float | None = Field(
        None, description="Lowest level in dBm; none for the class below all others."
    )
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$", description="Colour, such as #1a9850.")


class CoverageSettings(SettingsGroup):
    """Classes, and the level at which a place is covered."""

    threshold_dbm: float = Field(
        -110.0, description="A place is covered if its level is at least this, in dBm."
    )
    classes: tuple[CoverageClass, ...] = Field(
        default_factory=lambda: tuple(
            CoverageClass(**row) for row in PRESETS["lte"]["coverage"]["classes"]
        ),
        description="Classes from the strongest to the weakest; the last has no lower limit.",
    )
    std_db: float | None = Field(
        None,
        gt=0.0,
        description="Standard deviation in dB of maps without one, for the probability of "
        "coverage; such maps have none if not given.",
    )
    shares: tuple[float, ...] = Field(
        (0.9, 0.95),
        description="Probabilities for which the share of the area that reaches them is given.",
    )
    min_area_m2: float = Field(
        100.0,
        ge=0.0,
        description="Parts of a polygon smaller than this, in square metres, are given to the "
        "class around them.",
    )

    @field_validator("shares")
    @classmethod
    def _probabilities(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        """Refuse shares that are no probabilities."""
        if any(not 0.0 < share < 1.0 for share in shares):
            raise PydanticCustomError("shares", "must be between 0 and 1")
        return shares

    @field_validator("classes")
    @classmethod
    def _ordered(cls, classes: tuple[CoverageClass, ...]) -> tuple[CoverageClass, ...]:
        """Refuse classes that are out of order or leave a gap."""
        breaks = [one.from_dbm for one in classes]
        if not 2 <= len(classes) <= 200:
            raise PydanticCustomError("classes", "must be 2 to 200 classes")
        if breaks[-1] is not None or None in breaks[:-1]:
            raise PydanticCustomError(
                "classes", "must have a `from_dbm` each, except the last, which has none"
            )
        levels = [float(level) for level in breaks if level is not None]
        if any(high <= low for high, low in pairwise(levels)):
            raise PydanticCustomError("classes", "must be in order, the strongest first")
        if len({one.name for one in classes}) < len(classes):
            raise PydanticCustomError("classes", "must have names that differ")
        return classes


class ServerSettings(SettingsGroup):
    """Which cells serve a place."""

    minimum_dbm: float = Field(
        -130.0, description="A cell does not serve a place where its level is below this, in dBm."
    )
    hysteresis_db: float = Field(
        0.0,
        ge=0.0,
        description="A place may be given to the cell that serves most places around it, if that "
        "is at most this much below the strongest, in dB.",
    )
    hysteresis_radius_m: float = Field(
        20.0, gt=0.0, description="Half the side of the square around a place, in metres."
    )
    ranks: int = Field(
        1, ge=1, le=20, description="Number of ranks written: 3 also gives the second and third."
    )
    min_reported: float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        description="Where maps of the probability of being reported are given, a cell below this "
        "probability is left out of the ranking if another one is above it.",
    )
    min_area_m2: float = Field(
        400.0,
        ge=0.0,
        description="Parts of the area of a server smaller than this, in square metres, are given "
        "to the server around them, in polygons.",
    )


class OverlapSettings(SettingsGroup):
    """When several cells serve the same place."""

    margin_db: float = Field(
        6.0, ge=0.0, description="A cell counts if it is at most this much below the best, in dB."
    )
    floor_dbm: float = Field(
        -115.0, description="A cell counts only if its level is at least this, in dBm."
    )
    polluted_above: int = Field(3, ge=1, description="More cells than this are pilot pollution.")


class HoleSettings(SettingsGroup):
    """Coverage holes."""

    min_probability: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Holes are where the probability of coverage is below this; if not given, "
        "where the level is below the threshold.",
    )
    min_area_m2: float = Field(
        400.0, ge=0.0, description="Smallest area of a hole in square metres."
    )
    close_m: float = Field(
        0.0,
        ge=0.0,
        description="Gaps narrower than this between parts of a hole are closed, in metres.",
    )
    rank_by: HoleRank = Field("area", description="What the holes are ranked by.")


class InterferenceSettings(SettingsGroup):
    """Radio parameters of interference."""

    technology: Literal["lte", "nr", "nb-iot", "other"] = Field(
        "lte",
        description="Which resource grid the carriers have; there is no SINR for others.",
    )
    bandwidth_mhz: float = Field(
        10.0, gt=0.0, description="Channel bandwidth in MHz, over which RSSI is measured."
    )
    subcarrier_khz: float = Field(
        30.0, gt=0.0, description="Subcarrier spacing of NR in kHz: 15, 30 or 60."
    )
    noise_figure_db: float = Field(
        9.0, ge=0.0, le=40.0, description="Noise figure of the receiver in dB."
    )
    load: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description="Share of the resource elements for data in use, of cells whose load is not in "
        "the site table.",
    )
    same_carrier: bool = Field(
        False, description="All cells share one carrier, whatever the maps say."
    )
    quantities: tuple[Literal["sinr", "rsrq", "rssi", "ci"], ...] = Field(
        ("sinr", "rsrq", "rssi", "ci"), min_length=1, description="Which rasters are written."
    )


class NeighbourSettings(SettingsGroup):
    """Which cells are neighbours, for conflicts of their physical identities."""

    min_share: float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="Two cells are neighbours if the area where both serve, as in `overlap`, is at "
        "least this share of the smaller area of the two.",
    )
    min_area_m2: float = Field(
        400.0, ge=0.0, description="Smallest common area of neighbours in square metres."
    )


class OvershootSettings(SettingsGroup):
    """Which cells reach too far."""

    max_km: float = Field(
        5.0, gt=0.0, description="A place farther from its site than this is far."
    )
    max_times_median: float = Field(
        3.0,
        gt=1.0,
        description="A place farther than this multiple of the cell's median distance is far.",
    )
    min_area_m2: float = Field(
        2500.0, ge=0.0, description="Smallest far area that is reported, in square metres."
    )


class SectorSettings(SettingsGroup):
    """Sector wedges."""

    radius_m: float | None = Field(
        None,
        gt=0.0,
        description="Radius of the wedges in metres; a third of the median distance between "
        "neighbouring sites if not given.",
    )


class StatisticsSettings(SettingsGroup):
    """Statistics of areas."""

    grid_m: float = Field(100.0, ge=10.0, le=500.0, description="Side of the squares in metres.")
    percentiles: tuple[float, ...] = Field(
        (5.0, 50.0, 95.0), description="Percentiles of the level, 0..100."
    )
    weight: Literal["area", "population", "roads"] = Field(
        "area", description="What the shares and means are weighted by."
    )


class NextDriveSettings(SettingsGroup):
    """Where to drive next."""

    budget_km: float = Field(10.0, gt=0.0, description="Length to drive in km.")
    range_m: float | None = Field(
        None,
        gt=0.0,
        description="Distance in metres at which the correlation of the errors of a map has "
        "fallen to 1/e; if not given, that by which the deviations of the maps grow with the "
        "distance to the nearest measurement, or 50 m where they do not say.",
    )
    noise_db: float | None = Field(
        None,
        ge=0.0,
        description="Standard deviation of a measurement of a place in dB; if not given, that "
        "which the maps state, or 2 dB.",
    )
    segment_m: float = Field(
        100.0, gt=0.0, description="Length of the pieces that roads are divided into, in metres."
    )
    least_gain_share: float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        description="The drive ends before its length is used where a further piece gains less "
        "for each metre than this share of what the first one gains; 0 uses the whole length.",
    )


class OutlineSettings(SettingsGroup):
    """Outlines of polygons and lines."""

    simplify_m: float | None = Field(
        None,
        ge=0.0,
        description="Largest deviation of simplified outlines in metres; 1.5 pixels if not given.",
    )
    max_pixels: int = Field(
        25_000_000,
        ge=10_000,
        description="Larger rasters are outlined at a lower resolution, of at most this number of "
        "pixels.",
    )
    contours_dbm: tuple[float, ...] = Field(
        (), description="Levels of the isolines in dBm; the breaks of the classes if not given."
    )
    min_contour_m: float = Field(
        20.0, ge=0.0, description="Isolines shorter than this are left out, in metres."
    )


def _classes(*rows: tuple[str, float | None, str]) -> list[dict[str, Any]]:
    """Make classes of rows of name, lowest level and colour."""
    return [{"name": name, "from_dbm": level, "colour": colour} for name, level, colour in rows]


_GOOD_TO_NONE: Final = ("#1a9850", "#91cf60", "#d9ef8b", "#fee08b", "#fc8d59", "#d73027")

PRESETS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "lte": {
        "coverage": {
            "threshold_dbm": -110.0,
            "classes": _classes(
                ("excellent", -80.0, _GOOD_TO_NONE[0]),
                ("good", -90.0, _GOOD_TO_NONE[1]),
                ("fair", -100.0, _GOOD_TO_NONE[2]),
                ("weak", -110.0, _GOOD_TO_NONE[3]),
                ("edge", -120.0, _GOOD_TO_NONE[4]),
                ("none", None, _GOOD_TO_NONE[5]),
            ),
        },
        "servers": {"minimum_dbm": -130.0},
        "overlap": {"floor_dbm": -115.0},
    },
    "nr-fr1": {
        "coverage": {
            "threshold_dbm": -112.0,
            "classes": _classes(
                ("excellent", -80.0, _GOOD_TO_NONE[0]),
                ("good", -92.0, _GOOD_TO_NONE[1]),
                ("fair", -102.0, _GOOD_TO_NONE[2]),
                ("weak", -112.0, _GOOD_TO_NONE[3]),
                ("edge", -122.0, _GOOD_TO_NONE[4]),
                ("none", None, _GOOD_TO_NONE[5]),
            ),
        },
        "servers": {"minimum_dbm": -132.0},
        "overlap": {"floor_dbm": -117.0},
        "interference": {"technology": "nr", "bandwidth_mhz": 100.0},
    },
    "nb-iot": {
        "coverage": {
            "threshold_dbm": -132.0,
            "classes": _classes(
                ("strong", -100.0, _GOOD_TO_NONE[0]),
                ("normal (MCL 144 dB)", -112.0, _GOOD_TO_NONE[1]),
                ("robust (MCL 154 dB)", -122.0, _GOOD_TO_NONE[3]),
                ("extreme (MCL 164 dB)", -132.0, _GOOD_TO_NONE[4]),
                ("none", None, _GOOD_TO_NONE[5]),
            ),
        },
        "servers": {"minimum_dbm": -140.0},
        "overlap": {"floor_dbm": -132.0},
        "interference": {"technology": "nb-iot", "noise_figure_db": 5.0},
    },
    "lora": {
        "coverage": {
            "threshold_dbm": -136.0,
            "classes": _classes(
                ("SF7 with 10 dB of margin", -113.0, _GOOD_TO_NONE[0]),
                ("SF7", -123.0, _GOOD_TO_NONE[1]),
                ("SF9", -129.0, _GOOD_TO_NONE[2]),
                ("SF10", -132.0, _GOOD_TO_NONE[3]),
                ("SF12", -136.0, _GOOD_TO_NONE[4]),
                ("none", None, _GOOD_TO_NONE[5]),
            ),
        },
        "servers": {"minimum_dbm": -140.0},
        "overlap": {"floor_dbm": -136.0},
        "interference": {"technology": "other"},
    },
}
"""Settings of technologies by group. LTE and NR: breaks of 10 dB above the weakest level at which
a connection is usual, within the range that receivers report (3GPP TS 36.133 9.1.4, TS 38.133
10.1.6). NB-IoT: coupling losses of 144, 154 and 164 dB (3GPP TR 45.820) below 32.2 dBm for each
resource element, 43 dBm over 12 subcarriers. LoRa: sensitivity of the SX1276 at 125 kHz (Semtech
data sheet)."""


class PlanSettings(SettingsGroup):
    """Settings of all planning products.

    Parameters
    ----------
    **values
        ``preset``, and groups as mappings of their fields, which take precedence over the preset.

    Attributes
    ----------
    preset : {"lte", "nr-fr1", "nb-iot", "lora"}
        The technology whose thresholds are the defaults.
    coverage, servers, overlap, holes, outlines, interference, neighbours, overshoot, sectors, \
    statistics, next_drive : SettingsGroup
        The settings by theme.

    Raises
    ------
    UsageError
        If a name is unknown or a value is invalid.

    Examples
    --------
    >>> settings = PlanSettings(preset="lora", coverage={"std_db": 6.0})
    >>> settings.coverage.threshold_dbm, settings.coverage.std_db
    (-136.0, 6.0)
    >>> PlanSettings(coverage={"treshold_dbm": -100})
    Traceback (most recent call last):
    rm_geo.errors.UsageError: Unknown setting 'coverage.treshold_dbm'. Did you mean 'threshold_dbm'?
    """

    preset: PresetName = Field("lte", description="Technology whose thresholds are the defaults.")
    coverage: CoverageSettings = Field(default_factory=CoverageSettings)
    servers: ServerSettings = Field(default_factory=ServerSettings)
    overlap: OverlapSettings = Field(default_factory=OverlapSettings)
    holes: HoleSettings = Field(default_factory=HoleSettings)
    outlines: OutlineSettings = Field(default_factory=OutlineSettings)
    interference: InterferenceSettings = Field(default_factory=InterferenceSettings)
    neighbours: NeighbourSettings = Field(default_factory=NeighbourSettings)
    overshoot: OvershootSettings = Field(default_factory=OvershootSettings)
    sectors: SectorSettings = Field(default_factory=SectorSettings)
    statistics: StatisticsSettings = Field(default_factory=StatisticsSettings)
    next_drive: NextDriveSettings = Field(default_factory=NextDriveSettings)

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:  # noqa: ANN401 - any field
            preset = values.get("preset", "lte")
            merged = dict(values)
            for group, field in type(self).model_fields.items():
                given = values.get(group, {})
                if group != "preset" and isinstance(given, Mapping):
                    defaults = PRESETS.get(str(preset), {}).get(group, {})
                    merged[group] = _group(group, field.annotation, {**defaults, **given})
            super().__init__(**merged)

    def replace(self, **changes: Any) -> PlanSettings:  # noqa: ANN401 - as __init__
        """Give a copy with some settings changed, validated again.

        Parameters
        ----------
        **changes
            Groups as mappings of the fields to change; another ``preset`` changes only the
            settings that are still those of the present one.

        Returns
        -------
        PlanSettings
            The changed copy.

        Raises
        ------
        UsageError
            If a name is unknown or a value is invalid.

        Examples
        --------
        >>> PlanSettings().replace(holes={"min_area_m2": 50}).holes.min_area_m2
        50.0
        """
        base = {} if "preset" not in changes else PRESETS[self.preset]
        values: dict[str, Any] = {"preset": changes.get("preset", self.preset)}
        for group in type(self).model_fields:
            if group == "preset":
                continue
            own = getattr(self, group).model_dump(exclude_unset=True)
            given = changes.get(group, {})
            if not isinstance(given, Mapping):
                values[group] = given
                continue
            kept = {
                name: value for name, value in own.items() if base.get(group, {}).get(name) != value
            }
            values[group] = {**kept, **given}
        unknown = {name: value for name, value in changes.items() if name not in values}
        return PlanSettings(**values, **unknown)


def setting_names() -> tuple[str, ...]:
    """List the settings as ``group.name``.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> setting_names()[:2]
    ('coverage.threshold_dbm', 'coverage.classes')
    """
    groups = ((name, field.annotation) for name, field in PlanSettings.model_fields.items())
    return tuple(
        f"{group}.{name}"
        for group, model in groups
        if isinstance(model, type) and issubclass(model, SettingsGroup)
        for name in model.model_fields
    )


def read_plan_settings(path: Path) -> PlanSettings:
    r"""Read settings from a YAML file.

    Parameters
    ----------
    path : Path
        A mapping with ``preset`` and groups, as :func:`write_plan_settings` writes it.

    Returns
    -------
    PlanSettings

    Raises
    ------
    InputError
        If the file is missing or is not text.
    ConfigError
        If it is not YAML, has an unknown name, or an invalid value.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "plan.yaml")
    >>> _ = file.write_text("preset: nr-fr1\nholes: {min_area_m2: 100}")
    >>> read_plan_settings(file).coverage.threshold_dbm
    -112.0
    """
    values = read_yaml_mapping(path)
    try:
        return PlanSettings(**{str(name): value for name, value in values.items()})
    except UsageError as error:
        raise ConfigError(
            f"{error.message.rstrip('.')} (in {path}).",
            hint=error.hint,
            parameter=error.parameter,
            path=path,
        ) from error


def write_plan_settings(path: Path, settings: PlanSettings) -> None:
    """Write settings as a YAML file that :func:`read_plan_settings` reads.

    Parameters
    ----------
    path : Path
        The file to write.
    settings : PlanSettings
        All of them are written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import yaml

    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with replacing(path) as part:
        part.write_text(text, "utf-8")


def _group(name: str, model: type[SettingsGroup], values: Mapping[Any, Any]) -> SettingsGroup:
    """Make a group; errors name it beside the setting."""
    try:
        return model(**{str(key): value for key, value in values.items()})
    except UsageError as error:
        message = error.message.replace("etting '", f"etting '{name}.", 1)
        raise UsageError(message, hint=error.hint, parameter=f"{name}.{error.parameter}") from error


def _usage_error(error: ValidationError, model: type[BaseModel]) -> UsageError:
    """Turn what pydantic found first into an error that names the setting."""
    found = error.errors(include_url=False)[0]
    place = [str(part) for part in found["loc"]]
    name = ".".join(place)
    if found["type"] == "extra_forbidden":
        known = _names_beside(place, model)
        close = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(known)}."
        return UsageError(f"Unknown setting {name!r}.", hint=hint, parameter=name)
    problem = "is missing" if found["type"] == "missing" else describe_problem(found)
    return UsageError(f"The setting {name!r} {problem}.", parameter=name)


def _names_beside(place: list[str], model: type[BaseModel]) -> list[str]:
    """List the settings of the group in which a name was looked for."""
    for part in place[:-1]:
        field = model.model_fields.get(part)
        kind = None if field is None else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
    return sorted(model.model_fields)
