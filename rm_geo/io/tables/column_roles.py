"""Recognition of columns by the names that drive-test tools give them.

Names are compared in a normal form (lower case, no punctuation, no unit) with patterns in order
of preference. Two columns that match the same pattern, such as the RSRP of LTE and of NR, are
ambiguous: the user must choose.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rm_geo.errors import InputError, UsageError

# Units at the end of a name or in brackets behind it. Nothing else in brackets is dropped:
# "RSRP (TX0-RX1)" is another column than "RSRP".
_BRACKETED_UNIT: Final = re.compile(
    r"[\(\[\{<]\s*(?:dbm|db|deg|degrees|dd|decimal|decimal degrees|°|m|metres|meters|mhz|utc|"
    r"wgs ?84)\s*[\)\]\}>]"
)
_DBF_NAME_LENGTH: Final = 10
_SHORTEST_CUT: Final = 7  # shorter beginnings fit too many names
_TRAILING_UNIT: Final = re.compile(r"[\s_\-.,:;/]+(?:dbm|deg|degrees|dd|wgs84|utc)\s*$")


def normalise(name: str) -> str:
    """Convert the name of a column to its normal form.

    Parameters
    ----------
    name : str
        Name in the file.

    Returns
    -------
    str
        Lower case, without accents, punctuation and units.

    Examples
    --------
    >>> normalise("NR SS-RSRP [dBm]"), normalise("gps_Latitude_deg"), normalise("Längengrad")
    ('nrssrsrp', 'gpslatitude', 'langengrad')
    """
    parts = unicodedata.normalize("NFKD", name).casefold().strip()
    text = "".join(sign for sign in parts if not unicodedata.combining(sign))
    text = _BRACKETED_UNIT.sub(" ", text).strip()
    text = _TRAILING_UNIT.sub("", text)
    return re.sub(r"[\W_]+", "", text)


@dataclass(frozen=True)
class Role:
    """Role of a column, and the names by which it is recognised.

    Attributes
    ----------
    name : str
        Name for messages.
    parameter : str or None
        Option that chooses the column, such as ``rsrp_column``; None if there is none.
    patterns : tuple of patterns
        Patterns of whole normal forms, in order of preference.
    refused : pattern
        Parts of a normal form that exclude a column.
    must_be_unique : bool
        Whether two columns that match one pattern are an error; otherwise none is chosen.
    words : tuple of str
        Normal forms of long names. Names in a DBF end after ten characters and are compared with
        the beginnings of these.
    """

    name: str
    parameter: str | None
    patterns: tuple[re.Pattern[str], ...]
    refused: re.Pattern[str]
    must_be_unique: bool = True
    words: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """Way to choose the column, for messages.

        Returns
        -------
        str
            The option, or renaming in the file.
        """
        return "another name in the file" if self.parameter is None else f"`{self.parameter}`"


def _whole(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for a whole normal form."""
    return re.compile(rf"(?:{pattern})\Z")


# Words around the name of a quantity that do not change its meaning.
_TECHNOLOGY: Final = (
    r"(?:lte|eutra|eutran|e|nr|5g|4g|en?dc|nsa|sa|ss|ssb|crs|cell|serving|srv|primary|"
    r"pcell|pcc|best|top1?|main|measured|meas|registered|ue|phone|radio|signal|data|dominant)"
)
_PLACE: Final = (
    r"(?:gps|gnss|current|location|loc|geo|position|pos|point|map|start|wgs84|ue|phone|rx|receiver)"
)
_NOT_MINE: Final = r"neigh|nbr|nbor|(?<!eutra)ncell|adjacent|detected|monitored"
_STATISTIC: Final = (
    r"delta|diff|count|stddev|std|var|thresh|error|index|idx|rank|class|colou?r|qual"
)

RSRP: Final = Role(
    "RSRP",
    "rsrp_column",
    (
        _whole(rf"{_TECHNOLOGY}*rsrp{_TECHNOLOGY}*(?:value|val|dbm)?"),
        _whole(r".*rsrp.*"),
        _whole(
            r"(?:rx|rs|received|receive|recv|ref|reference|referencesignal)*"
            r"(?:received|receive|rx)(?:signal)?(?:power|pwr|level|strength)(?:dbm)?"
        ),
        _whole(rf"{_TECHNOLOGY}*(?:level|strength|power|dbm)|signal"),
    ),
    re.compile(
        rf"rsrq|sinr|rssi|snr|rscp|(?<!me)asu|mw$|watt|tx(?:power|pwr)|^n\d+|predicted|"
        rf"{_NOT_MINE}|{_STATISTIC}"
    ),
)
"""Reference signal received power; a plain ``rsrp`` before ports, filters and other words."""

_GLOBAL_ID: Final = (
    r"(?:n|e|nr|lte|eutran?)?(?:cgi|cellglobalid|cellglobalidentity|globalcellid|"
    r"globalcellidentity)|(?:eci|nci|ecellid|cellidentity|cellidentifier|eutrancellid|"
    r"nrcellid|nrcellidentity|eutrancellidentity)"
)
_CELL_NUMBER: Final = (
    r"(?:cellid|cid|ci|uniquecellid|cellkey|cellno|cellnumber|cellnr|localcellid|lcid|"
    r"zellid|zellnummer|zellkennung|idcelda|celdaid|idcellule|celluleid)"
)
_CELL_NAME: Final = (
    r"(?:cell|cellname|sector|sectorname|sectorid|zelle|zellname|celda|nombrecelda|cellule|"
    r"nomcellule)"
)
_PCI: Final = (
    r"(?:pci|physicalcellid|physicalcellidentity|physicallayercellid|physicallayercellidentity|"
    r"physicallayeridentity|physcellid|physicalid|pcid|phycid|phycellid|phyid|cellpci|pcinumber|"
    r"physikalischezellid|identidadfisica|identitephysique|pscpci|pcipsc)"
)
_NODE: Final = (
    r"(?:enb|enodeb|gnb|gnodeb|node|nodeb|basestation|bts|enbgnb|enbid|ennodeb)"
    r"(?:id|number|no|nr|identity|nodeid)?"
)

CELL: Final = Role(
    "cell",
    "cell_column",
    (
        _whole(rf"{_TECHNOLOGY}*(?:n|e|nr)?(?:cgi|cellglobalid|cellglobalidentity|globalcellid)"),
        _whole(rf"{_TECHNOLOGY}*(?:eci|nci|ecellid|cellidentity|cellidentifier|eutrancellid)"),
        _whole(rf"{_TECHNOLOGY}*{_CELL_NUMBER}"),
        _whole(rf"{_TECHNOLOGY}*{_CELL_NAME}"),
        _whole(rf"{_TECHNOLOGY}*{_PCI}{_TECHNOLOGY}*"),
        _whole(r"(?:transmitter|tx|bs|basestation|enb|enodeb|gnb|gnodeb|site)(?:id|name)?"),
    ),
    re.compile(rf"type|tech|{_NOT_MINE}|{_STATISTIC}"),
)
"""Identity of the cell in a table with one identity column, such as a site table: globally
unique numbers before names before the physical cell id."""

_IDENTITY_REFUSED: Final = re.compile(
    rf"type|tech|{_NOT_MINE}|{_STATISTIC}|^n\d+|target|^ul|earfcnul|uplink"
)


def _identity_role(name: str, parameter: str, *patterns: str, words: Sequence[str] = ()) -> Role:
    """Create a role of a cell's identity; a file may have several columns of it."""
    compiled = tuple(_whole(rf"{_TECHNOLOGY}*(?:{pattern}){_TECHNOLOGY}*") for pattern in patterns)
    return Role(
        name, parameter, compiled, _IDENTITY_REFUSED, must_be_unique=False, words=tuple(words)
    )


GLOBAL_ID: Final = _identity_role(
    "global cell identity",
    "cell_column",
    _GLOBAL_ID,
    words=("cellglobalid", "cellglobalidentity", "cellidentity", "globalcellid"),
)
"""CGI, ECGI, NCGI, ECI or NCI."""

NODE: Final = _identity_role("eNodeB or gNodeB", "node_column", _NODE)
"""Number of the eNodeB or gNodeB."""

CELL_NUMBER: Final = _identity_role("cell number", "cell_column", _CELL_NUMBER)
"""A cell number, which may be local to its eNodeB."""

PCI: Final = _identity_role(
    "physical cell identity",
    "pci_column",
    _PCI,
    words=("physicalcellid", "physicalcellidentity", "physicallayercellidentity", "physcellid"),
)
"""Physical cell identity, 0..1007."""

CELL_NAME: Final = _identity_role("cell name", "cell_column", _CELL_NAME)
"""Name of a cell or sector."""

SITE_NAME: Final = _identity_role(
    "site name", "cell_column", r"(?:transmitter|tx|bs|basestation|site|gateway)(?:id|name)?"
)
"""Name of a transmitter or site with one cell."""

CHANNEL: Final = _identity_role(
    "channel number",
    "carrier_column",
    r"(?:dl)?(?:earfcn|nrarfcn|arfcn)(?:dl)?",
    r"(?:dl|downlink|rf|rx)?(?:channel|chan|kanal|canal)(?:number|no|nr|num|dl|downlink|id)?",
    words=("channelnumber", "downlinkchannel", "earfcndl", "nrarfcndl"),
)
"""EARFCN or NR-ARFCN of the downlink carrier."""

FREQUENCY: Final = _identity_role(
    "carrier frequency",
    "carrier_column",
    r"(?:dl|downlink|carrier|centre|center|rf|rx)*"
    r"(?:frequency|freq|frequenz|frecuencia|frequence)(?:dl|downlink|mhz|khz)?",
    words=("frequency", "carrierfrequency", "downlinkfrequency"),
)
"""Downlink frequency of the carrier."""

BAND: Final = _identity_role(
    "frequency band",
    "carrier_column",
    r"(?:frequency|freq|operating|3gpp)?(?:band|banda|bande|frequenzband)(?:number|no|indicator)?",
)
"""Number or name of the frequency band."""

_OPERATOR_REFUSED: Final = re.compile(rf"{_NOT_MINE}|{_STATISTIC}|type|tech|home|sim|delta")


def _network_role(name: str, *patterns: str) -> Role:
    """Create a role of a network's identity."""
    compiled = tuple(_whole(rf"{_TECHNOLOGY}*(?:{pattern})") for pattern in patterns)
    return Role(name, "operator_column", compiled, _OPERATOR_REFUSED, must_be_unique=False)


PLMN: Final = _network_role("PLMN", r"(?:network|operator)?(?:plmn|plmnid|mccmnc|mccandmnc)")
"""Mobile country code and mobile network code in one column."""

MCC: Final = _network_role("mobile country code", r"(?:network|operator)?mcc(?:code)?")
"""Mobile country code."""

MNC: Final = _network_role("mobile network code", r"(?:network|operator)?mnc(?:code)?")
"""Mobile network code."""

OPERATOR: Final = _network_role(
    "operator",
    r"(?:mobile|network|service|registered)?operator(?:name|alpha|long|short|id|code)?",
    r"(?:network|net|carrier|provider|serviceprovider)(?:name|operator|operatorname)|provider|"
    r"betreiber|netzbetreiber|operador|operateur|mno",
)
"""Name of the operator."""

TECHNOLOGY: Final = Role(
    "technology",
    "technology_column",
    (
        _whole(
            r"(?:network|net|radio|access|cell|system|serving|data|current|mobile|radioaccess)*"
            r"(?:technology|tech|rat|technologie|tecnologia|tecnologie)(?:name|type)?"
        ),
        _whole(
            r"(?:network|net|cell|radio|data|system|connection)(?:type|mode|standard|mode)|"
            r"netztyp|system|accesstype"
        ),
    ),
    re.compile(rf"{_NOT_MINE}|{_STATISTIC}"),
    must_be_unique=False,
)
"""Radio access technology of the row."""

LONGITUDE: Final = Role(
    "longitude",
    "x_column",
    (
        _whole(
            rf"{_PLACE}*(?:longitude|lon|lng|long|longitud|laengengrad|langengrad|laenge|lange|longitudine){_PLACE}*"
        ),
    ),
    re.compile(rf"target|site|{_NOT_MINE}"),
)
"""Longitude in degrees."""

LATITUDE: Final = Role(
    "latitude",
    "y_column",
    (_whole(rf"{_PLACE}*(?:latitude|lat|latitud|breitengrad|breite|latitudine){_PLACE}*"),),
    re.compile(rf"target|site|{_NOT_MINE}"),
)
"""Latitude in degrees."""

HEMISPHERES: Final = {
    "x": re.compile(
        r"(?:ew|eastwest|(?:lon|lng|longitude)(?:hemisphere|hemi|dir|direction|ref|ew))\Z"
    ),
    "y": re.compile(
        r"(?:ns|northsouth|(?:lat|latitude)(?:hemisphere|hemi|dir|direction|ref|ns))\Z"
    ),
}
"""Columns of the letters N, S, E and W beside coordinates, by axis."""

EASTING: Final = Role(
    "x coordinate",
    "x_column",
    (_whole(rf"{_PLACE}*(?:x|easting|east|utmx|utme|xcoord|coordx|xcoordinate|utmeasting)(?:m)?"),),
    re.compile(_NOT_MINE),
)
"""Easting in the units of a CRS that the user gives."""

NORTHING: Final = Role(
    "y coordinate",
    "y_column",
    (
        _whole(
            rf"{_PLACE}*(?:y|northing|north|utmy|utmn|ycoord|coordy|ycoordinate|utmnorthing)(?:m)?"
        ),
    ),
    re.compile(_NOT_MINE),
)
"""Northing in the units of a CRS that the user gives."""

TIME: Final = Role(
    "time",
    "time_column",
    (
        _whole(
            r"(?:gps|utc|local|device|measurement|sample|log|event|unix|epoch)*"
            r"(?:timestamp|datetime|dateandtime|datetimestamp)(?:ms|s|utc|gps|local)?"
        ),
        _whole(r"(?:gps|utc|device|measurement|sample|log|unix|epoch)*time(?:ms|s|utc)?|utc|epoch"),
        _whole(r"date"),
    ),
    re.compile(r"delta|elapsed|duration|diff|zone"),
    must_be_unique=False,
)
"""Time of the measurement."""


def is_other_quantity(name: str) -> bool:
    """Whether a column is, by its name, a ratio in dB (RSRQ, SINR, SNR) and no level.

    Parameters
    ----------
    name : str
        Name of the column.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_other_quantity("LTE RSRQ (dB)"), is_other_quantity("RSRP"), is_other_quantity("snr_rsrp")
    (True, False, False)
    """
    plain = normalise(name)
    return re.search("rsrq|sinr|snr", plain) is not None and "rsrp" not in plain


def find_column(
    names: Sequence[str], role: Role, source: str, *, chosen: str | None = None
) -> str | None:
    """Find the column of a role.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.
    role : Role
        The role.
    source : str
        The file, for messages.
    chosen : str, optional
        Column that the user named; compared exactly, then without regard to case.

    Returns
    -------
    str or None
        The column; None if no name matches, or several do and the role need not be unique.

    Raises
    ------
    UsageError
        If the file does not have the chosen column.
    InputError
        If several columns match equally well.

    Examples
    --------
    >>> find_column(["lat", "LTE RSRP (dBm)"], RSRP, "drive.csv")
    'LTE RSRP (dBm)'
    """
    if chosen is not None:
        return _chosen_column(names, role, source, chosen)
    for pattern in role.patterns:
        found = candidates(names, role, pattern)
        if len(found) == 1:
            return found[0]
        if len(found) > 1 and role.must_be_unique:
            raise InputError(
                f"{source} has {len(found)} columns that may hold the {role.name}: "
                f"{quoted(found)}.",
                hint=f"Choose one with {role.remedy}.",
                parameter=role.parameter,
            )
        if found:
            return None
    return None


def candidates(names: Sequence[str], role: Role, pattern: re.Pattern[str]) -> list[str]:
    """List the columns that match one pattern of a role.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.
    role : Role
        The role.
    pattern : pattern
        One of its patterns.

    Returns
    -------
    list of str

    Examples
    --------
    >>> candidates(["RSRP", "RSRQ"], RSRP, RSRP.patterns[0])
    ['RSRP']
    """
    normal = {name: normalise(name) for name in names}
    return [n for n in names if pattern.match(normal[n]) and not role.refused.search(normal[n])]


def matching_columns(names: Sequence[str], role: Role) -> list[str]:
    """List all columns of a role, in order of preference.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.
    role : Role
        The role.

    Returns
    -------
    list of str

    Examples
    --------
    >>> matching_columns(["lat", "NR_PCI", "PCI", "physical_c"], PCI)
    ['NR_PCI', 'PCI', 'physical_c']
    """
    found = [name for pattern in role.patterns for name in candidates(names, role, pattern)]
    found += [name for name in names if _is_cut_short(name, role)]
    return list(dict.fromkeys(found))


def column_technology(name: str) -> str | None:
    """Return the technology that the name of a column states.

    Parameters
    ----------
    name : str
        Name in the file.

    Returns
    -------
    str or None
        ``LTE``, ``NR`` or None.

    Examples
    --------
    >>> column_technology("NR_SS_RSRP"), column_technology("EARFCN"), column_technology("PCI")
    ('NR', 'LTE', None)
    """
    normal = normalise(name)
    words = set(re.split(r"[\W_\d]+", name.casefold()))
    if re.search(r"5g|nrarfcn|nrpci|ssrsrp|ssbrsrp|nrrsrp|ncgi|gnb|gnodeb|nrcell", normal):
        return "NR"
    if words & {"nr", "nci", "ssb", "scg", "pscell"}:
        return "NR"
    if re.search(r"4g|lte|eutra|earfcn|ecgi|enb|enodeb", normal) or "eci" in words:
        return "LTE"
    return None


def _is_cut_short(name: str, role: Role) -> bool:
    """Whether the name is the beginning of a long one, cut to the ten characters of a DBF."""
    normal = normalise(name)
    return (
        len(name) == _DBF_NAME_LENGTH
        and len(normal) >= _SHORTEST_CUT
        and not role.refused.search(normal)
        and any(word.startswith(normal) and word != normal for word in role.words)
    )


def require_column(
    names: Sequence[str], role: Role, source: str, *, chosen: str | None = None
) -> str:
    """Find the column of a required role.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.
    role : Role
        The role.
    source : str
        The file, for messages.
    chosen : str, optional
        Column that the user named.

    Returns
    -------
    str

    Raises
    ------
    UsageError
        If the file does not have the chosen column.
    InputError
        If no column matches, or several match equally well.

    Examples
    --------
    >>> require_column(["lat", "rsrp"], RSRP, "drive.csv")
    'rsrp'
    """
    found = find_column(names, role, source, chosen=chosen)
    if found is None:
        raise InputError(
            f"{source} has no {role.name} column. Its columns are {quoted(names)}.",
            hint=f"Name it with {role.remedy}.",
            parameter=role.parameter,
        )
    return found


def quoted(names: Sequence[str], limit: int = 30) -> str:
    """List names for a message.

    Parameters
    ----------
    names : sequence of str
        Names.
    limit : int
        Names to list; the others are counted.

    Returns
    -------
    str

    Examples
    --------
    >>> quoted(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _chosen_column(names: Sequence[str], role: Role, source: str, chosen: str) -> str:
    """Check the column that the user named."""
    if chosen in names:
        return chosen
    alike = [name for name in names if name.casefold() == chosen.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(
        f"{source} has no column {chosen!r} ({role.remedy}). Its columns are {quoted(names)}.",
        parameter=role.parameter,
        path=source,
    )


def is_level_of_any_technology(name: str) -> bool:
    """Whether a level column has the level of each row's technology: RSRP, RSCP or RxLev.

    Parameters
    ----------
    name : str
        Name in the file.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_level_of_any_technology("level_dbm"), is_level_of_any_technology("RSRP")
    (True, False)
    """
    words = normalise(name)
    return bool(re.fullmatch(r"(?:signal|rx|received)?(?:level|power|strength)(?:dbm)?", words))


def is_named(name: str, role: Role) -> bool:
    """Whether the name of a column matches a role.

    Parameters
    ----------
    name : str
        Name in the file.
    role : Role
        The role.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_named("Longitude", LONGITUDE)
    True
    """
    return any(candidates([name], role, pattern) for pattern in role.patterns)
