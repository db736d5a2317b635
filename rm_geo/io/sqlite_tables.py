"""Check of SQLite databases such as GeoPackages: only stored tables are read.

A view is a program: it can compute without end, and call functions of GDAL. A virtual table is read
by code that may open other files and addresses.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rm_geo.errors import InputError

SQLITE_MAGIC: Final = b"SQLite format 3\x00"
"""First bytes of a SQLite database."""

_MODULE: Final = re.compile(
    r"\s*create\s+virtual\s+table\s.*?\susing\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL
)
# Spatial indices, and the metadata of SpatiaLite: they read this file alone.
_MODULES: Final = frozenset(
    {
        "rtree",
        "rtree_i32",
        "virtualspatialindex",
        "virtualelementary",
        "virtualknn",
        "virtualknn2",
    }
)
_COMPUTED: Final = (2, 3)  # `hidden` of PRAGMA table_xinfo: virtual and stored generated columns
_MOST_ENTRIES: Final = 20_000
_LARGEST_VALUE_BYTES: Final = 1 << 26
_STEPS_BETWEEN: Final = 1_000_000
_MOST_STEPS: Final = 50  # times _STEPS_BETWEEN: about a second


def require_plain_tables(path: Path) -> None:
    """Check that GDAL can list a database without reading other files or computing without end.

    Parameters
    ----------
    path : Path
        A SQLite database.

    Raises
    ------
    InputError
        If it has virtual tables of other data, computed columns or views that are not answered
        soon, or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.gpkg")
    ...     with closing(sqlite3.connect(path)) as database:
    ...         _ = database.execute("CREATE TABLE a (x INT, y AS (hex(zeroblob(x))))")
    ...     require_plain_tables(path)
    Traceback (most recent call last):
    rm_geo.errors.InputError: ...a.gpkg has a computed column in its table 'a'...
    """
    with _opened(path) as database:
        for name, sql in _entries(database, "table"):
            module = _MODULE.match(sql)
            if module is not None and module[1].lower() not in _MODULES:
                raise InputError(
                    f"{path} has a virtual table ({name!r} of {module[1]}), which can read other "
                    "files.",
                    hint="Save its layers as tables of a new GeoPackage.",
                    path=path,
                )
            if module is None and _has_computed_column(database, name):
                raise InputError(
                    f"{path} has a computed column in its table {name!r}.",
                    hint="Save the layer as a table of a new GeoPackage.",
                    path=path,
                )
        for name, _ in _entries(database, "view"):
            _require_answer(database, name, path)


def refuse_view(path: Path, layer: str) -> None:
    """Refuse a layer that is a view of a database.

    Parameters
    ----------
    path : Path
        Any vector file.
    layer : str
        The layer to be read.

    Raises
    ------
    InputError
        If it is a view.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        if stream.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            return
    with _opened(path) as database:
        is_view = layer in {name for name, _ in _entries(database, "view")}
    if is_view:
        raise InputError(
            f"The layer {layer!r} of {path} is a view, not a table.",
            hint="Save it as a table of a new GeoPackage.",
            path=path,
        )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database without writing beside it; errors name the file."""
    # A write-ahead log is part of the database, and cannot be read from an immutable one.
    has_log = path.with_name(f"{path.name}-wal").exists()
    address = f"file:{quote(str(path.absolute()))}?mode=ro{'' if has_log else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            if sys.version_info >= (3, 11):
                database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE_BYTES)
            yield database
    except (sqlite3.Error, UnicodeError) as error:  # definitions are UTF-8 unless damaged
        raise InputError(
            f"{path} cannot be read: {str(error).rstrip('.')}.",
            hint="It may be damaged or cut short; copy or export it again.",
            path=path,
        ) from error


def _entries(database: sqlite3.Connection, kind: str) -> list[tuple[str, str]]:
    """List the names and definitions of the tables or views."""
    rows = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = ? LIMIT ?", (kind, _MOST_ENTRIES)
    )
    return [(str(name), str(sql or "")) for name, sql in rows]


def _has_computed_column(database: sqlite3.Connection, table: str) -> bool:
    """Whether a table has a column that is computed when it is read."""
    columns = database.execute("SELECT hidden FROM pragma_table_xinfo(?)", (table,))
    return any(hidden in _COMPUTED for (hidden,) in columns)


def _require_answer(database: sqlite3.Connection, view: str, path: Path) -> None:
    """Refuse a view whose first row takes long, or calls functions: GDAL lists layers with it."""
    steps = 0

    def is_over() -> bool:
        nonlocal steps
        steps += 1
        return steps > _MOST_STEPS

    quoted = view.replace('"', '""')
    database.set_progress_handler(is_over, _STEPS_BETWEEN)
    try:
        database.execute(f'SELECT * FROM "{quoted}" LIMIT 1').fetchone()
    except (sqlite3.Error, OverflowError) as error:
        raise InputError(
            f"{path} has a view {view!r} that cannot be evaluated ({error}).",
            hint="Remove the view, or save the layers as tables of a new GeoPackage.",
            path=path,
        ) from error
    finally:
        database.set_progress_handler(None, 0)
