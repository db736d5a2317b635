"""What the measurements of one cell say about its transmitter, read in one pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.measurements.model import Measurements

_STRONGEST: Final = 20


@dataclass(frozen=True)
class CellSummary:
    """Names, carrier and strongest place of one cell.

    Attributes
    ----------
    names : tuple of str
        Names to look for in a site table, those in the measurements first; none for measurements
        without an identity.
    channel : float or None
        Channel number of most rows, the lowest of several; None if no row has one.
    frequency_mhz : float or None
        Carrier that the identity states as a frequency in MHz; None if it does not.
    strongest_xy : tuple of float
        Median position of the 20 strongest levels, in metres; NaN without measurements.

    Examples
    --------
    >>> from pyproj import CRS
    >>> drive = Measurements(
    ...     x=np.array([0.0, 10.0]),
    ...     y=np.zeros(2),
    ...     rsrp_dbm=np.array([-80.0, -90.0], dtype=np.float32),
    ...     cell=["7", "7"],
    ...     crs=CRS.from_epsg(32633),
    ...     earfcn=np.array([1300.0, np.nan]),
    ... )
    >>> summary = CellSummary.of(drive)
    >>> summary.names, summary.channel, summary.strongest_xy
    (('7', '7'), 1300.0, (5.0, 0.0))
    """

    names: tuple[str, ...]
    channel: float | None
    frequency_mhz: float | None
    strongest_xy: tuple[float, float]

    @classmethod
    def of(cls, measurements: Measurements) -> CellSummary:
        """Summarize the measurements of one cell.

        Parameters
        ----------
        measurements : Measurements
            Of one cell.

        Returns
        -------
        CellSummary
        """
        present = measurements.cell.present()
        identities = [measurements.identity_of(name) for name in present]
        names = [name for name in present if name is not None]
        keys = [key for known in identities if known.name is not None for key in known.keys]
        stated = (i.carrier.removesuffix("MHz") for i in identities if i.carrier.endswith("MHz"))
        counts: Counter[float] = Counter()
        rows, begin = np.empty(0, dtype=np.int64), 0
        levels = measurements.rsrp_dbm
        columns = [levels] if measurements.earfcn is None else [levels, measurements.earfcn]
        for level_dbm, *channels in iter_blocks(*columns):
            rows = np.append(rows, begin + np.arange(level_dbm.size))
            rows = rows[np.argsort(-levels[rows], kind="stable")[:_STRONGEST]]
            begin += level_dbm.size
            for block in channels:
                found, times = np.unique(block[np.isfinite(block)], return_counts=True)
                counts.update(dict(zip(found.tolist(), times.tolist(), strict=True)))
        most = max(counts.values(), default=0)
        x, y = (
            float(np.median(axis[rows])) if rows.size else float("nan")
            for axis in (measurements.x, measurements.y)
        )
        return cls(
            names=(*names, *keys),
            channel=min((channel for channel in counts if counts[channel] == most), default=None),
            frequency_mhz=next((float(text) for text in stated), None),
            strongest_xy=(x, y),
        )
