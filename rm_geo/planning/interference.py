"""Interference of co-channel cells: RSSI, C/I, SINR and RSRQ from maps of RSRP.

All quantities are linear averages over resource elements, as 3GPP TS 36.214 and TS 38.215 define
them: RSRP over those of the reference signals, RSSI over the whole carrier in the symbols of the
reference signals. A cell transmits a share of the resource elements of such a symbol always (the
reference signals), the others as its load says. With *a* that activity, *P* the RSRP of a cell
and *n* the thermal noise in a resource element:

- interference ``I = sum of a P`` over the co-channel cells except the server,
- ``C/I = P_server / I`` and ``SINR = P_server / (I + n)`` (RS-SINR, TS 36.214 section 5.1.13;
  SS-SINR, TS 38.215 section 5.1.5),
- ``RSSI = 12 N (a P_server + I + n)`` over *N* resource blocks,
- ``RSRQ = N P_server / RSSI`` (TS 36.214 section 5.1.3; SS-RSRQ, TS 38.215 section 5.1.3), which
  does not depend on *N*.

A cell interferes only where its map has a level: beyond its mapped area it is taken as absent,
so that SINR is an upper bound near the edge of what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo._types import FloatArray
from rm_geo.errors import InputError, UsageError
from rm_geo.io.tables.column_roles import quoted
from rm_geo.planning.best_server import LevelSums
from rm_geo.planning.map_set import MapSetBand
from rm_geo.planning.product import PlanContext, Product, ProductResult, RasterLayer
from rm_geo.planning.ranking import Ranking
from rm_geo.planning.settings import InterferenceSettings

THERMAL_NOISE_DBM_HZ: Final = -173.98
"""Power density of thermal noise at 290 K, ``10 log10(k T / 1 mW)``."""

SUBCARRIERS: Final = 12
"""Subcarriers of a resource block."""

_LTE_BLOCKS: Final = {1.4: 6, 3.0: 15, 5.0: 25, 10.0: 50, 15.0: 75, 20.0: 100}
"""Resource blocks by channel bandwidth in MHz (TS 36.101, table 5.6-1)."""

# TS 38.101-1, table 5.3.2-1; 0 where a subcarrier spacing does not have the bandwidth.
_NR_MHZ: Final = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100)
_NR_BLOCKS: Final = {
    15.0: (25, 52, 79, 106, 133, 160, 188, 216, 242, 270, 0, 0, 0, 0, 0),
    30.0: (11, 24, 38, 51, 65, 78, 92, 106, 119, 133, 162, 189, 217, 245, 273),
    60.0: (0, 11, 18, 24, 31, 38, 44, 51, 58, 65, 79, 93, 107, 121, 135),
}

_LTE_REFERENCE_SHARE: Final = 1.0 / 6.0  # 2 of 12 subcarriers (TS 36.211, section 6.10.1.2)
_NR_REFERENCE_SHARE: Final = 127.0 / 240.0  # SSS in its symbol (TS 38.211, table 7.4.3.1-1)


_SINR_BREAKS_DB: Final = (-6.0, 0.0, 5.0, 10.0, 15.0, 20.0)
_FIELDS: Final = {"sinr": "sinr_db", "rsrq": "rsrq_db", "rssi": "rssi_dbm", "ci": "ci_db"}
_LAYERS: Final = {
    "sinr": RasterLayer("sinr.tif", "SINR", "dB"),
    "rsrq": RasterLayer("rsrq.tif", "RSRQ", "dB"),
    "rssi": RasterLayer("rssi.tif", "RSSI", "dBm"),
    "ci": RasterLayer("ci.tif", "C/I", "dB"),
}


@dataclass(frozen=True)
class Carrier:
    """Radio parameters of a carrier, common to its cells and the receiver.

    Parameters
    ----------
    resource_blocks : int
        Width of the carrier, over which RSSI is measured.
    subcarrier_khz : float
        Spacing of the subcarriers.
    noise_figure_db : float
        Of the receiver; 9 dB is that of a handset in 3GPP's studies (TR 36.942, table 4.8).
    load : float
        Share of the resource elements for data that are used, 0..1. 1 is full load.
    reference_share : float
        Share of the resource elements that are used without load, in the symbols in which
        RSSI is measured.

    Raises
    ------
    UsageError
        If a value is out of range.

    Examples
    --------
    >>> carrier = Carrier.lte(10.0, load=0.4)
    >>> carrier.resource_blocks, round(carrier.noise_dbm, 2), carrier.activity
    (50, -123.22, 0.5)
    """

    resource_blocks: int = 50
    subcarrier_khz: float = 15.0
    noise_figure_db: float = 9.0
    load: float = 1.0
    reference_share: float = _LTE_REFERENCE_SHARE

    def __post_init__(self) -> None:
        for name, low, high in (
            ("load", 0.0, 1.0),
            ("reference_share", 0.0, 1.0),
            ("noise_figure_db", 0.0, 40.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"`{name}` must be in {low:g}..{high:g}, not {value:g}.", parameter=name
                )
        if self.resource_blocks < 1 or not self.subcarrier_khz > 0.0:
            raise UsageError("A carrier has a resource block and a subcarrier spacing above 0.")

    @classmethod
    def lte(
        cls, bandwidth_mhz: float = 10.0, *, noise_figure_db: float = 9.0, load: float = 1.0
    ) -> Carrier:
        """Make an LTE carrier with one antenna port.

        Parameters
        ----------
        bandwidth_mhz : float
            Channel bandwidth: 1.4, 3, 5, 10, 15 or 20 MHz.
        noise_figure_db, load : float
            As of the class.

        Raises
        ------
        UsageError
            If LTE has no such bandwidth.
        """
        blocks = _LTE_BLOCKS.get(float(bandwidth_mhz))
        if blocks is None:
            raise _no_bandwidth(bandwidth_mhz, "LTE", _LTE_BLOCKS)
        return cls(blocks, noise_figure_db=noise_figure_db, load=load)

    @classmethod
    def nr(
        cls,
        bandwidth_mhz: float = 20.0,
        subcarrier_khz: float = 30.0,
        *,
        noise_figure_db: float = 9.0,
        load: float = 1.0,
    ) -> Carrier:
        """Make an NR carrier of FR1.

        Parameters
        ----------
        bandwidth_mhz : float
            Channel bandwidth: 5 to 100 MHz.
        subcarrier_khz : float
            15, 30 or 60.
        noise_figure_db, load : float
            As of the class.

        Raises
        ------
        UsageError
            If NR has no such bandwidth with this subcarrier spacing.

        Examples
        --------
        >>> Carrier.nr(100.0).resource_blocks
        273
        """
        by_width = _NR_BLOCKS.get(float(subcarrier_khz), ())
        blocks = {float(m): n for m, n in zip(_NR_MHZ, by_width, strict=False) if n}
        if float(bandwidth_mhz) not in blocks:
            raise _no_bandwidth(bandwidth_mhz, f"NR with {subcarrier_khz:g} kHz", blocks)
        return cls(
            blocks[float(bandwidth_mhz)],
            float(subcarrier_khz),
            noise_figure_db,
            load,
            _NR_REFERENCE_SHARE,
        )

    @classmethod
    def of(cls, settings: InterferenceSettings) -> Carrier:
        """Make the carrier that settings describe.

        Raises
        ------
        UsageError
            If the technology does not have the bandwidth.

        Examples
        --------
        >>> Carrier.of(InterferenceSettings(bandwidth_mhz=20.0, load=0.7)).resource_blocks
        100
        """
        radio = {"noise_figure_db": settings.noise_figure_db, "load": settings.load}
        if settings.technology == "nr":
            return cls.nr(settings.bandwidth_mhz, settings.subcarrier_khz, **radio)
        if settings.technology == "nb-iot":
            return cls(1, 15.0, **radio)
        return cls.lte(settings.bandwidth_mhz, **radio)

    @property
    def noise_dbm(self) -> float:
        """Thermal noise in a resource element, with the noise figure, in dBm."""
        return (
            THERMAL_NOISE_DBM_HZ
            + 10.0 * math.log10(1e3 * self.subcarrier_khz)
            + self.noise_figure_db
        )

    @property
    def activity(self) -> float:
        """Mean power of a resource element relative to one of the reference signals."""
        return self.reference_share + (1.0 - self.reference_share) * self.load


def _no_bandwidth(bandwidth_mhz: float, what: str, known: dict[float, int]) -> UsageError:
    """Error for a channel bandwidth that a technology does not have."""
    return UsageError(
        f"{what} has no channel bandwidth of {bandwidth_mhz:g} MHz.",
        hint=f"It has {', '.join(f'{width:g}' for width in known) or 'none'} MHz.",
        parameter="bandwidth_mhz",
    )


def carrier_groups(
    carriers: Sequence[str | None], *, same_carrier: bool = False
) -> NDArray[np.int32]:
    """Group cells by carrier: co-channel cells get the same number.

    Parameters
    ----------
    carriers : sequence of str or None, shape (C,)
        Carrier of each cell, as ``CellMap.carrier`` gives it; None where unknown.
    same_carrier : bool
        All cells share one carrier, whatever is known.

    Returns
    -------
    ndarray of int32, shape (C,)
        Number of the carrier, from 0; -1 where it is unknown.

    Raises
    ------
    InputError
        If no cell's carrier is known.

    Examples
    --------
    >>> carrier_groups(["1815.0 MHz", "3625.0 MHz", "1815.0 MHz", None]).tolist()
    [0, 1, 0, -1]
    """
    if same_carrier:
        return np.zeros(len(carriers), dtype=np.int32)
    names = sorted({carrier for carrier in carriers if carrier is not None})
    if not names:
        raise InputError(
            "The carrier of no cell is known.",
            hint="Give a site table (`sites`) with a column 'earfcn', 'nrarfcn' or "
            "'frequency_mhz', or set `interference.same_carrier` if all cells share one.",
            parameter="sites",
        )
    number = {name: place for place, name in enumerate(names)}
    return np.array([-1 if c is None else number[c] for c in carriers], dtype=np.int32)


class Interference(NamedTuple):
    """Quantities of the serving cell against the co-channel cells.

    Attributes
    ----------
    rssi_dbm, ci_db, sinr_db, rsrq_db : ndarray of float32, shape (h, w)
        NaN without a server. C/I is NaN also where no other cell of the carrier has a level.
    """

    rssi_dbm: FloatArray
    ci_db: FloatArray
    sinr_db: FloatArray
    rsrq_db: FloatArray


def interference(
    rsrp_dbm: FloatArray,
    server: NDArray[np.integer[Any]],
    groups: ArrayLike,
    carrier: Carrier | None = None,
    *,
    load: ArrayLike | None = None,
) -> Interference:
    """Compute RSSI, C/I, SINR and RSRQ of the serving cell at each pixel.

    Parameters
    ----------
    rsrp_dbm : ndarray of float32, shape (C, h, w)
        RSRP of the cells in dBm; NaN where a cell is not mapped.
    server : ndarray of int, shape (h, w)
        Index of the serving cell, such as the strongest; -1 where there is none.
    groups : array_like of int, shape (C,)
        Carrier of each cell, as :func:`carrier_groups` gives it. Cells of -1 do not interfere,
        and what they serve is unknown.
    carrier : Carrier, optional
        Radio parameters. Default: LTE of 10 MHz at full load.
    load : array_like of float, shape (C,), optional
        Load of each cell, 0..1, in place of that of the carrier.

    Returns
    -------
    Interference

    Raises
    ------
    ValueError
        If the lengths differ, or a load is out of range.

    Examples
    --------
    Two cells on one carrier, 10 dB apart and far above the noise: SINR is 10 dB, and RSRQ
    ``1 / (12 * 1.1)``, -11.2 dB. On two carriers they do not interfere.

    >>> levels = np.array([[[-70.0]], [[-80.0]]], dtype=np.float32)
    >>> server = np.zeros((1, 1), dtype=np.int32)
    >>> found = interference(levels, server, [0, 0])
    >>> round(float(found.sinr_db[0, 0]), 1), round(float(found.rsrq_db[0, 0]), 1)
    (10.0, -11.2)
    >>> round(float(interference(levels, server, [0, 1]).rsrq_db[0, 0]), 1)
    -10.8
    """
    radio = Carrier.lte() if carrier is None else carrier
    group = np.asarray(groups, dtype=np.int32)
    activity = _activities(radio, load, len(rsrp_dbm))
    if group.shape != activity.shape:
        raise ValueError(f"{len(rsrp_dbm)} cells, but {group.size} carriers")
    own_group = np.where(server >= 0, group[server], -1)
    served = own_group >= 0
    level = np.take_along_axis(rsrp_dbm, np.maximum(server, 0)[None], axis=0)[0]
    level = np.where(served, level, np.float32(np.nan))
    power = _milliwatt(level)
    others = np.zeros(level.shape, dtype=np.float32)
    for cell, values in enumerate(rsrp_dbm):
        if group[cell] < 0 or activity[cell] == 0.0:
            continue
        beside = (own_group == group[cell]) & (server != cell)
        beside &= ~np.isnan(values)
        others[beside] += activity[cell] * _milliwatt(values[beside])
    noise = np.float32(10.0 ** (radio.noise_dbm / 10.0))
    total = np.where(served, activity[server], 0.0).astype(np.float32) * power + others + noise
    width_db = 10.0 * math.log10(SUBCARRIERS * radio.resource_blocks)
    with np.errstate(divide="ignore"):
        rssi_dbm = _decibel(total) + np.float32(width_db)
        ci_db = level - _decibel(others)
        sinr_db = level - _decibel(others + noise)
    ci_db[~np.isfinite(ci_db)] = np.nan
    rsrq_db = level + np.float32(10.0 * math.log10(radio.resource_blocks)) - rssi_dbm
    rssi_dbm[~served] = np.nan
    return Interference(rssi_dbm, ci_db, sinr_db, rsrq_db)


def _activities(radio: Carrier, load: ArrayLike | None, cells: int) -> FloatArray:
    """Activity of each cell."""
    if load is None:
        return np.full(cells, radio.activity, dtype=np.float32)
    loads = np.asarray(load, dtype=np.float32)
    if loads.shape != (cells,) or not ((loads >= 0.0) & (loads <= 1.0)).all():
        raise ValueError(f"a load in 0..1 for each of {cells} cells is needed")
    return np.asarray(
        radio.reference_share + (1.0 - radio.reference_share) * loads, dtype=np.float32
    )


def _milliwatt(level_dbm: FloatArray) -> FloatArray:
    """Convert dBm to mW as float32, for whole bands."""
    return np.asarray(np.power(np.float32(10.0), level_dbm / np.float32(10.0)), dtype=np.float32)


def _decibel(power: NDArray[Any]) -> FloatArray:
    """Convert mW to dBm as float32."""
    return np.asarray(np.float32(10.0) * np.log10(power), dtype=np.float32)


class _Stream:
    """Rasters of interference in the making."""

    def __init__(self, context: PlanContext) -> None:
        settings = context.settings.interference
        cells = context.maps.cells
        self._context = context
        self._carrier = Carrier.of(settings)
        self._groups = carrier_groups(
            [cell.carrier for cell in cells], same_carrier=settings.same_carrier
        )
        loads = [cell.site.load if cell.site is not None else None for cell in cells]
        self._stated = sum(load is not None for load in loads)
        self._load = np.array([settings.load if load is None else load for load in loads])
        self._sinr = LevelSums()
        self._served = np.zeros(len(_SINR_BREAKS_DB) + 1, dtype=np.int64)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        found = interference(
            band.rsrp_dbm,
            ranking.place[0],
            self._groups[band.cells],
            self._carrier,
            load=self._load[band.cells],
        )
        self._sinr.add(found.sinr_db)
        known = found.sinr_db[np.isfinite(found.sinr_db)]
        self._served += np.bincount(
            np.digitize(known, _SINR_BREAKS_DB), minlength=len(_SINR_BREAKS_DB) + 1
        )
        chosen = self._context.settings.interference.quantities
        return {_LAYERS[name].file: getattr(found, _FIELDS[name]) for name in chosen}

    def finish(self) -> ProductResult:
        """Give the statistics of SINR, and the cells that are left out."""
        counts, known = self._served, int(self._served.sum())
        cells = self._context.maps.cells
        unknown = [cell.title for cell, group in zip(cells, self._groups, strict=True) if group < 0]
        warnings = []
        if unknown:
            warnings.append(
                f"The carrier of {len(unknown)} of {len(cells)} cells is unknown: they do not "
                f"interfere, and SINR is unknown where they serve ({quoted(unknown)})."
            )
        below = np.cumsum(counts)[:-1] / max(known, 1)
        return ProductResult(
            {
                **self._sinr.statistics("db", self._context.grid.spacing_m**2),
                "carriers": int(self._groups.max()) + 1,
                "noise_dbm": round(self._carrier.noise_dbm, 2),
                "resource_blocks": self._carrier.resource_blocks,
                "load": float(self._load.mean()),
                "cells_with_own_load": self._stated,
                "share_of_sinr_below": {
                    f"{limit:g} dB": float(share)
                    for limit, share in zip(_SINR_BREAKS_DB, below, strict=True)
                },
            },
            warnings=tuple(warnings),
        )


def _refusal(context: PlanContext) -> str | None:
    """Refuse maps of which no carrier is known, and technologies without resource blocks."""
    settings = context.settings.interference
    if settings.technology == "other":
        return "only LTE, NR and NB-IoT have resource blocks; set `interference.technology`."
    try:
        Carrier.of(settings)
        carrier_groups(
            [cell.carrier for cell in context.maps.cells], same_carrier=settings.same_carrier
        )
    except (InputError, UsageError) as error:
        return str(error)
    return None


PRODUCTS: Final = (
    Product(
        "interference",
        "SINR, RSRQ, RSSI and C/I of the best server against the cells of its carrier.",
        "SINR = P / (I + n), C/I = P / I, RSSI = 12 N (a P + I + n), RSRQ = N P / RSSI, with P the "
        "RSRP of the best server, I the sum of a P over the other cells of its carrier, n the "
        "thermal noise of a resource element and a the activity, which is 1 at a "
        "load of 1: that of the site table, else `interference.load` (3GPP TS 36.214 5.1.3 and "
        "5.1.13, TS 38.215 5.1.3 and 5.1.5).",
        tuple(layer.file for layer in _LAYERS.values()),
        unit="dB",
        refusal=_refusal,
        rasters=lambda context: [
            _LAYERS[name] for name in context.settings.interference.quantities
        ],
        stream=_Stream,
    ),
)
"""Products of this module."""
