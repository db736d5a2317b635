"""Statistics of a map, collected while its rows are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rm_geo.products.rows import CellRows


@dataclass
class MapStatistics:
    """Range and mean of the levels of a radio map, and mean building probability.

    Attributes
    ----------
    mapped_pixels : int
        Pixels that are not nodata.
    rsrp_min_dbm, rsrp_max_dbm : float
        Range of those pixels; infinite if there are none.
    """

    mapped_pixels: int = 0
    rsrp_min_dbm: float = float("inf")
    rsrp_max_dbm: float = float("-inf")
    _rsrp_sum: float = 0.0
    _probability_sum: float = 0.0
    _probability_pixels: int = 0

    def watch(self, bands: Iterable[CellRows]) -> Iterator[CellRows]:
        """Pass blocks of rows through, and add them to the statistics.

        Parameters
        ----------
        bands : iterable of CellRows
            All rows of the map.

        Yields
        ------
        CellRows
            The same blocks.
        """
        for band in bands:
            known = band.rsrp_dbm[np.isfinite(band.rsrp_dbm)]
            if known.size:
                self.mapped_pixels += known.size
                self.rsrp_min_dbm = min(self.rsrp_min_dbm, float(known.min()))
                self.rsrp_max_dbm = max(self.rsrp_max_dbm, float(known.max()))
                self._rsrp_sum += float(known.sum(dtype=np.float64))
            if band.building_probability is not None:
                shares = band.building_probability[np.isfinite(band.building_probability)]
                self._probability_pixels += shares.size
                self._probability_sum += float(shares.sum(dtype=np.float64))
            yield band

    @property
    def rsrp_mean_dbm(self) -> float:
        """Mean of the levels in dBm; NaN for an empty map."""
        return self._rsrp_sum / self.mapped_pixels if self.mapped_pixels else float("nan")

    @property
    def building_share(self) -> float | None:
        """Mean building probability; None without a building map."""
        if self._probability_pixels == 0:
            return None
        return self._probability_sum / self._probability_pixels
