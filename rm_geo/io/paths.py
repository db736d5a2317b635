"""Locations of files on this machine or in object storage: parsed, joined and compared.

A local location is a :class:`~pathlib.Path`; a remote one is text, a URL or one of GDAL's virtual
paths. Nothing here accesses a file, or imports fsspec.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from rm_geo.errors import UsageError, redacted

Location: TypeAlias = "Path | str"

_GDAL_SCHEMES: Final = {"vsis3": "s3", "vsigs": "gs", "vsiaz": "az", "vsiadls": "abfs"}
_SAME_SCHEMES: Final = {"s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs", "local": "file"}


def is_remote(location: str | os.PathLike[str]) -> bool:
    """Whether a location is a URL, or one of GDAL's virtual paths.

    Parameters
    ----------
    location : str or path-like

    Returns
    -------
    bool

    Examples
    --------
    >>> is_remote("s3://drives/today.parquet"), is_remote("/vsis3/drives/today.parquet")
    (True, True)
    >>> is_remote("drives/today.parquet"), is_remote("C:/drives/today.parquet")
    (False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|/vsi[a-z0-9]+/", os.fspath(location)) is not None


def url_of(location: str) -> str:
    """Give the URL for a virtual path of GDAL; a URL is returned unchanged.

    Parameters
    ----------
    location : str
        URL or virtual path.

    Returns
    -------
    str

    Raises
    ------
    UsageError
        If the virtual path is of a kind that only GDAL reads.

    Examples
    --------
    >>> url_of("/vsis3/drives/today.parquet")
    's3://drives/today.parquet'
    """
    virtual = re.match(r"/(vsi[a-z0-9]+)/(.*)", location)
    if virtual is None:
        return location
    kind, rest = virtual.groups()
    if kind == "vsicurl":
        return rest
    if kind not in _GDAL_SCHEMES:
        raise UsageError(
            f"{redacted(location)} cannot be used: /{kind}/ is not supported.",
            hint=f"Supported: /vsicurl/, {', '.join(f'/{name}/' for name in _GDAL_SCHEMES)}.",
        )
    return f"{_GDAL_SCHEMES[kind]}://{rest}"


def location_of(name: str | os.PathLike[str]) -> Location:
    """Parse a name that a user gave.

    Parameters
    ----------
    name : str or path-like

    Returns
    -------
    Path or str
        Text if it is remote.

    Raises
    ------
    UsageError
        As :func:`url_of`.

    Examples
    --------
    >>> location_of("s3://drives/a.csv")
    's3://drives/a.csv'
    """
    text = os.fspath(name)
    if not is_remote(text):
        return Path(text)
    url_of(text)  # raises for unsupported kinds
    return text


def below(base: Location, name: str) -> Location:
    """Join a folder and a name; an absolute name is returned as it is.

    Parameters
    ----------
    base : Path or str
        The folder.
    name : str
        Relative or absolute name.

    Returns
    -------
    Path or str

    Raises
    ------
    UsageError
        As :func:`url_of`.

    Examples
    --------
    >>> below("s3://drives/2024", "../sites.csv"), below("/vsis3/drives", "a.csv")
    ('s3://drives/sites.csv', '/vsis3/drives/a.csv')
    >>> below(Path("drives"), "s3://drives/a.csv")
    's3://drives/a.csv'
    """
    place = location_of(name)
    if isinstance(place, str) or place.is_absolute():
        return place
    if isinstance(base, Path):
        return base / place
    joined = base.rstrip("/")
    for part in name.split("/"):
        if part == "..":
            joined = joined.rpartition("/")[0]
        elif part not in {"", "."}:
            joined = f"{joined}/{part}"
    return joined


def folder_of(location: Location) -> Location:
    """Give the folder of a location.

    Parameters
    ----------
    location : Path or str

    Returns
    -------
    Path or str

    Examples
    --------
    >>> folder_of("s3://drives/2024/a.csv")
    's3://drives/2024'
    """
    if isinstance(location, Path):
        return location.parent
    return location.rstrip("/").rpartition("/")[0]


def file_name(location: Location) -> str:
    """Give the last component of a location; empty if it has none.

    Parameters
    ----------
    location : Path or str

    Returns
    -------
    str

    Examples
    --------
    >>> file_name("https://drives.example.org/a.csv?key=1"), file_name(Path("drives/b.gpkg"))
    ('a.csv', 'b.gpkg')
    """
    if isinstance(location, Path):
        return location.name
    parts = urlsplit(url_of(location))
    return posixpath.basename((parts.path or parts.netloc).rstrip("/"))


def identity(location: Location) -> str:
    """Give a text that is the same for two spellings of one location.

    Parameters
    ----------
    location : Path or str

    Returns
    -------
    str

    Examples
    --------
    >>> identity("/vsis3/maps/today") == identity("s3://maps/today/")
    True
    >>> identity("file:///tmp/maps") == identity(Path("/tmp/maps"))
    True
    """
    if not isinstance(location, Path):
        scheme, _, rest = url_of(location).partition("://")
        scheme = _SAME_SCHEMES.get(scheme.lower(), scheme.lower())
        if scheme != "file":
            return f"{scheme}://{posixpath.normpath(rest).strip('/')}"
        location = Path(re.sub(r"^/(?=[A-Za-z]:)", "", rest))  # file:///C:/maps
    # On Windows, two names that differ in case or slashes are one file.
    return os.path.normcase(location.resolve())
