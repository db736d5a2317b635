"""Reading tables of points, whatever file they come in.

:func:`open_source` looks at a file and says which columns it has, in which CRS;
:meth:`Source.load` then reads only the columns that were chosen.
"""

from rm_geo.tables.opening import open_source
from rm_geo.tables.source import Source, Table

__all__ = ["Source", "Table", "open_source"]
