"""Reading tables of points, whatever file they come in.

:func:`open_source` looks at a file and says which columns it has, in which CRS;
:attr:`Source.chunks` then reads only the columns that were chosen, some rows at a time.
"""

from rm_geo.io.tables.open import open_source
from rm_geo.io.tables.source import Request, Source, Table

__all__ = ["Request", "Source", "Table", "open_source"]
