"""Options of GDAL for files of other programs: what such a file may make it read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ALLOW_REMOTE: Final = "RM_GEO_ALLOW_REMOTE"
"""Environment variable that allows files to name other files and addresses."""

# Options with which GDAL reaches no server: /vsicurl/ allows no extension, and the proxy is a port
# on which nothing listens (RFC 863, discard).
_NO_NETWORK: Final = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTPS_PROXY": "127.0.0.1:9",
    "GDAL_HTTP_TIMEOUT": "5",
    "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
}


def allows_remote() -> bool:
    """Whether files may name other files and addresses, which GDAL then reads.

    Returns
    -------
    bool

    Examples
    --------
    >>> allows_remote()
    False
    """
    return os.environ.get(ALLOW_REMOTE, "") not in {"", "0"}


@contextmanager
def gdal_environment(*, allow_remote: bool = False) -> Iterator[None]:
    """Set the environment of a program that owns its process; restored afterwards.

    Processes that it starts inherit it.

    Parameters
    ----------
    allow_remote : bool
        Allow files to name other files and addresses. Otherwise GDAL cannot reach a server,
        unless :data:`ALLOW_REMOTE` is set already.

    Examples
    --------
    >>> with gdal_environment(allow_remote=True):
    ...     allows_remote()
    True
    """
    wanted = {ALLOW_REMOTE: "1"} if allow_remote else {} if allows_remote() else _NO_NETWORK
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def raster_options() -> dict[str, str]:
    """Give GDAL's options for reading rasters of other programs, for :class:`rasterio.Env`.

    Returns
    -------
    dict of str to str
        No sidecars of metadata, which can name other files, and no network unless it is allowed.

    Examples
    --------
    >>> raster_options()["GDAL_PAM_ENABLED"]
    'NO'
    """
    wanted = {} if allows_remote() else _NO_NETWORK
    # Options that the environment has already are left out: rasterio.Env would not unset them.
    missing = {name: value for name, value in wanted.items() if os.environ.get(name) != value}
    return {"GDAL_PAM_ENABLED": "NO", **missing}
