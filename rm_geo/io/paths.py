"""Places on this machine or in object storage: joined, named and compared, without a look at them.

A place on this machine is a :class:`~pathlib.Path`; one in object storage is text, as a URL or
as one of GDAL's virtual paths.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from rm_geo.errors import UsageError

Location: TypeAlias = "Path | str"

_GDAL_SCHEMES: Final = {"vsis3": "s3", "vsigs": "gs", "vsiaz": "az", "vsiadls": "abfs"}
_SAME_SCHEMES: Final = {"s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs", "local": "file"}


def is_remote(location: str | os.PathLike[str]) -> bool:
    """Whether a location is a URL, or one of GDAL's virtual paths.

    Examples
    --------
    >>> is_remote("s3://drives/today.parquet"), is_remote("/vsis3/drives/today.parquet")
    (True, True)
    >>> is_remote("drives/today.parquet"), is_remote("C:/drives/today.parquet")
    (False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|/vsi[a-z0-9]+/", os.fspath(location)) is not None


def url_of(location: str) -> str:
    """Give the URL that a virtual path of GDAL stands for; URLs are left as they are.

    Raises
    ------
    UsageError
        If nobody but GDAL could read it.

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
            f"{location} cannot be used: /{kind}/ is not known here.",
            hint=f"Known: /vsicurl/, {', '.join(f'/{name}/' for name in _GDAL_SCHEMES)}.",
        )
    return f"{_GDAL_SCHEMES[kind]}://{rest}"


def location_of(name: str | os.PathLike[str]) -> Location:
    """Give the place that a user names.

    Raises
    ------
    UsageError
        If nobody but GDAL could read it.
    """
    text = os.fspath(name)
    if not is_remote(text):
        return Path(text)
    url_of(text)  # known?
    return text


def below(base: Location, name: str) -> Location:
    """Give the place that a name means in a folder; an absolute name means the same everywhere.

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
    """Give the folder of a place."""
    if isinstance(location, Path):
        return location.parent
    return location.rstrip("/").rpartition("/")[0]


def file_name(location: Location) -> str:
    """Give the last part of a place's name; empty if it has none.

    Examples
    --------
    >>> file_name("https://drives.example.org/a.csv?key=1"), file_name(Path("drives/b.gpkg"))
    ('a.csv', 'b.gpkg')
    """
    if isinstance(location, Path):
        return location.name
    parts = urlsplit(url_of(location))
    return Path(parts.path or parts.netloc).name


def identity(location: Location) -> str:
    """Give a text that two spellings of one place have in common.

    Examples
    --------
    >>> identity("/vsis3/maps/today") == identity("s3://maps/today/")
    True
    >>> identity("file:///tmp/maps") == identity(Path("/tmp/maps"))
    True
    """
    if isinstance(location, Path):
        return str(location.resolve())
    scheme, _, rest = url_of(location).partition("://")
    scheme = _SAME_SCHEMES.get(scheme.lower(), scheme.lower())
    if scheme == "file":
        return str(Path(rest).resolve())
    return f"{scheme}://{posixpath.normpath(rest).strip('/')}"
