"""GML: what GDAL writes beside a file that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SUFFIXES: Final = (".gml", ".xml")


@contextmanager
def without_gfs(path: Path) -> Iterator[None]:
    """Remove the schema, ``.gfs``, that GDAL leaves beside GML, unless it was there before.

    Parameters
    ----------
    path : Path
        The file that the block opens; of any format.

    Yields
    ------
    None

    Examples
    --------
    >>> with without_gfs(Path("drive.gml")):
    ...     pass
    """
    schema = path.with_suffix(".gfs")
    is_left = path.suffix.lower() not in _SUFFIXES or schema.exists()
    try:
        yield
    finally:
        if not is_left:
            with suppress(OSError):
                schema.unlink(missing_ok=True)
