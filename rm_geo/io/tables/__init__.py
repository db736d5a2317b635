"""Reading of tables of points from files of all supported formats.

:func:`open_source` returns the columns and the CRS of a file; :attr:`Source.chunks` reads
selected columns, in chunks of rows.
"""

from rm_geo.io.tables.open import open_source
from rm_geo.io.tables.source import Request, Source, Table

__all__ = ["Request", "Source", "Table", "open_source"]
