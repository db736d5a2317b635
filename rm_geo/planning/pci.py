"""Neighbouring cells by overlap of their coverage, and conflicts of their physical identities.

Two cells are neighbours where a handover between them is possible: both are within a margin of the
strongest cell and above a floor. The rules for physical cell identities (PCI) are those of
planning texts for LTE and NR, from the sequences of 3GPP TS 36.211 and TS 38.211:

- *collision*: two neighbours on one carrier have the same PCI; a handset cannot tell them apart.
- *confusion*: a cell has two neighbours on one carrier with the same PCI; a handover to that PCI
  may go to the wrong one.
- *mod 3*: two neighbours on one carrier have the same remainder, and so the same primary
  synchronisation signal, and with two antenna ports reference signals on the same subcarriers.
- *mod 30*: the same, and so the same group of uplink reference sequences (``PCI mod 30``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from rm_geo._types import BoolArray
from rm_geo.errors import InputError
from rm_geo.io.tables.column_roles import quoted
from rm_geo.planning.interference import carrier_groups
from rm_geo.planning.map_set import MapSetBand
from rm_geo.planning.overshoot import site_positions
from rm_geo.planning.product import PlanContext, Product, ProductResult
from rm_geo.planning.ranking import Ranking, candidates

ConflictKind: TypeAlias = Literal["collision", "confusion", "mod 3", "mod 30"]

CONFLICTS_FILE: Final = "pci_conflicts.csv"


class NeighbourCounts:
    """Counts, band by band, the pixels where cells overlap.

    Parameters
    ----------
    cells : int
        Number of cells.
    margin_db : float
        A cell is a candidate for service within this of the strongest one.
    floor_dbm : float
        Lowest level that counts.

    Examples
    --------
    >>> from rm_geo.planning.ranking import rank_cells
    >>> levels = np.array([[[-80.0, -80.0]], [[-84.0, -90.0]], [[-95.0, np.nan]]], np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 2), np.arange(3), levels)
    >>> counts = NeighbourCounts(3, margin_db=6.0)
    >>> counts.add(band, rank_cells(band))
    >>> counts.overlap_px.tolist(), counts.served_px.tolist()
    ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], [2, 0, 0])
    """

    def __init__(self, cells: int, *, margin_db: float = 6.0, floor_dbm: float = -115.0) -> None:
        self._margin_db = margin_db
        self._floor_dbm = floor_dbm
        self._pairs = sparse.csr_matrix((cells, cells), dtype=np.int64)
        self._served = np.zeros(cells, dtype=np.int64)

    def add(self, band: MapSetBand, ranking: Ranking) -> None:
        """Count the pixels of a band.

        Parameters
        ----------
        band : MapSetBand
            A band of a set of as many cells.
        ranking : Ranking
            Its strongest cells.
        """
        counted = candidates(band, ranking, margin_db=self._margin_db, floor_dbm=self._floor_dbm)
        members = [np.flatnonzero(near) for _, near in counted]
        sizes = np.array([0, *(len(own) for own in members)])
        inside = sparse.csr_matrix(
            (np.ones(sizes.sum(), dtype=np.int64), np.concatenate(members), np.cumsum(sizes)),
            shape=(len(members), ranking.best_dbm.size),
        )
        common = (inside @ inside.T).tocoo()
        self._pairs = self._pairs + sparse.csr_matrix(
            (common.data, (band.cells[common.row], band.cells[common.col])),
            shape=self._pairs.shape,
        )
        served = ranking.best_cell[ranking.best_dbm >= np.float32(self._floor_dbm)]
        self._served += np.bincount(served, minlength=self._served.size)

    @property
    def overlap_px(self) -> NDArray[np.int64]:
        """Pixels where two cells are both candidates, shape (C, C); 0 on the diagonal."""
        pairs: NDArray[np.int64] = np.asarray(self._pairs.toarray())
        np.fill_diagonal(pairs, 0)
        return pairs

    @property
    def served_px(self) -> NDArray[np.int64]:
        """Pixels where each cell is the strongest, shape (C,)."""
        return np.array(self._served)


def neighbours(
    overlap_px: NDArray[np.int64],
    served_px: NDArray[np.int64],
    *,
    least_px: int = 1,
    least_share: float = 0.01,
) -> BoolArray:
    """Decide which cells are neighbours.

    Parameters
    ----------
    overlap_px : ndarray of int64, shape (C, C)
        Pixels where two cells are both candidates, from :class:`NeighbourCounts`.
    served_px : ndarray of int64, shape (C,)
        Pixels where each cell is the strongest.
    least_px : int
        Fewest common pixels.
    least_share : float
        Smallest common area relative to the smaller of the two served areas.

    Returns
    -------
    ndarray of bool, shape (C, C)
        Symmetric.

    Examples
    --------
    >>> overlap = np.array([[0, 5, 1], [5, 0, 0], [1, 0, 0]])
    >>> neighbours(overlap, np.array([100, 400, 900]), least_share=0.05).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    smaller = np.minimum.outer(served_px, served_px)
    found: BoolArray = (overlap_px >= max(least_px, 1)) & (overlap_px >= least_share * smaller)
    np.fill_diagonal(found, False)
    return found


@dataclass(frozen=True)
class PciConflict:
    """Two cells whose physical identities conflict.

    Attributes
    ----------
    kind : {"collision", "confusion", "mod 3", "mod 30"}
        The rule, see the module.
    first, second : int
        Indices of the two cells, in ascending order.
    via : int or None
        Index of the cell that has both as neighbours, of a confusion.
    """

    kind: ConflictKind
    first: int
    second: int
    via: int | None = None


def pci_conflicts(
    pci: ArrayLike, groups: ArrayLike, are_neighbours: BoolArray
) -> tuple[PciConflict, ...]:
    """Find PCI collisions, confusions and equal remainders among neighbours on one carrier.

    A remainder is listed only where the identities differ, and that of 3 only where that of 30
    differs: equal identities have equal remainders.

    Parameters
    ----------
    pci : array_like of float, shape (C,)
        Physical cell identities; NaN where unknown.
    groups : array_like of int, shape (C,)
        Carriers, as :func:`rm_geo.planning.interference.carrier_groups` gives them.
    are_neighbours : ndarray of bool, shape (C, C)
        Symmetric, as :func:`neighbours` gives it.

    Returns
    -------
    tuple of PciConflict
        Collisions, then confusions, then equal remainders; in the order of the cells. A confusion
        is listed once for each cell that has both as neighbours.

    Examples
    --------
    >>> near = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    >>> [(c.kind, c.first, c.second, c.via) for c in pci_conflicts([7, 8, 7], [0, 0, 0], near)]
    [('confusion', 0, 2, 1)]
    >>> [(c.kind, c.first, c.second) for c in pci_conflicts([7, 10, 40], [0, 0, 0], near)]
    [('mod 3', 0, 1), ('mod 30', 1, 2)]
    """
    identity = np.asarray(pci, dtype=np.float64)
    carrier = np.asarray(groups, dtype=np.int64)
    usable = np.isfinite(identity) & (carrier >= 0)
    comparable = np.equal.outer(carrier, carrier) & np.logical_and.outer(usable, usable)
    same = comparable & np.equal.outer(identity, identity)
    found: list[PciConflict] = []
    found += _pairs(same & are_neighbours, "collision")
    for via, row in enumerate(are_neighbours):
        around = np.flatnonzero(row)
        equal = np.triu(same[np.ix_(around, around)], 1)
        found += [
            PciConflict("confusion", int(around[a]), int(around[b]), via)
            for a, b in zip(*np.nonzero(equal), strict=True)
        ]
    with np.errstate(invalid="ignore"):
        mod_30 = np.equal.outer(identity % 30, identity % 30)
        mod_3 = np.equal.outer(identity % 3, identity % 3)
    nearby = comparable & are_neighbours & ~same
    found += _pairs(nearby & mod_3 & ~mod_30, "mod 3")
    found += _pairs(nearby & mod_30, "mod 30")
    rank = {kind: number for number, kind in enumerate(("collision", "confusion", "mod 3"))}
    return tuple(sorted(found, key=lambda c: (rank.get(c.kind, 2), c.first, c.second)))


def _pairs(where: BoolArray, kind: ConflictKind) -> Iterator[PciConflict]:
    """Each pair of a symmetric matrix once."""
    for first, second in zip(*np.nonzero(np.triu(where, 1)), strict=True):
        yield PciConflict(kind, int(first), int(second))


def conflict_rows(
    conflicts: Sequence[PciConflict],
    names: Sequence[str],
    pci: ArrayLike,
    overlap_px: NDArray[np.int64],
    *,
    pixel_m2: float,
    site_xy: ArrayLike | None = None,
) -> list[dict[str, object]]:
    """Describe conflicts as the rows of a table.

    Parameters
    ----------
    conflicts : sequence of PciConflict
        From :func:`pci_conflicts`.
    names : sequence of str, shape (C,)
        Names of the cells.
    pci : array_like of float, shape (C,)
        Physical cell identities.
    overlap_px : ndarray of int64, shape (C, C)
        Pixels where two cells overlap.
    pixel_m2 : float
        Area of a pixel.
    site_xy : array_like of float, shape (C, 2), optional
        Positions of the sites in metres; NaN where unknown.

    Returns
    -------
    list of dict
        Columns ``conflict``, ``cell``, ``other_cell``, ``via``, ``pci``, ``other_pci``,
        ``overlap_km2``, ``distance_km`` (None where a site is unknown).

    Examples
    --------
    >>> overlap = np.array([[0, 50], [50, 0]])
    >>> conflict_rows([PciConflict("collision", 0, 1)], ["A", "B"], [7, 7], overlap, pixel_m2=400.0)
    [{'conflict': 'collision', 'cell': 'A', 'other_cell': 'B', 'via': '', 'pci': 7, \
'other_pci': 7, 'overlap_km2': 0.02, 'distance_km': None}]
    """
    identity = np.asarray(pci, dtype=np.float64)
    xy = np.full((len(names), 2), np.nan) if site_xy is None else np.asarray(site_xy, dtype=float)
    rows: list[dict[str, object]] = []
    for conflict in conflicts:
        a, b = conflict.first, conflict.second
        apart_km = float(np.hypot(*(xy[a] - xy[b]))) / 1000.0
        rows.append(
            {
                "conflict": conflict.kind,
                "cell": names[a],
                "other_cell": names[b],
                "via": "" if conflict.via is None else names[conflict.via],
                "pci": int(identity[a]),
                "other_pci": int(identity[b]),
                "overlap_km2": float(overlap_px[a, b]) * pixel_m2 / 1e6,
                "distance_km": round(apart_km, 3) if np.isfinite(apart_km) else None,
            }
        )
    return rows


class _Stream:
    """Overlaps of cells in the making."""

    def __init__(self, context: PlanContext) -> None:
        overlap = context.settings.overlap
        self._context = context
        self._counts = NeighbourCounts(
            len(context.maps.cells), margin_db=overlap.margin_db, floor_dbm=overlap.floor_dbm
        )

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        self._counts.add(band, ranking)
        return {}

    def finish(self) -> ProductResult:
        """Give the conflicts of neighbours."""
        settings, cells = self._context.settings, self._context.maps.cells
        pixel_m2 = self._context.grid.spacing_m**2
        overlap_px = self._counts.overlap_px
        near = neighbours(
            overlap_px,
            self._counts.served_px,
            least_px=int(np.ceil(settings.neighbours.min_area_m2 / pixel_m2)),
            least_share=settings.neighbours.min_share,
        )
        pci = [np.nan if cell.pci is None else float(cell.pci) for cell in cells]
        groups = carrier_groups(
            [cell.carrier for cell in cells], same_carrier=settings.interference.same_carrier
        )
        conflicts = pci_conflicts(pci, groups, near)
        rows = conflict_rows(
            conflicts,
            [cell.name for cell in cells],
            pci,
            overlap_px,
            pixel_m2=pixel_m2,
            site_xy=site_positions(cells),
        )
        kinds = Counter(conflict.kind for conflict in conflicts)
        left_out = [
            cell.title
            for cell, group, number in zip(cells, groups, pci, strict=True)
            if group < 0 or np.isnan(number)
        ]
        warnings: tuple[str, ...] = ()
        if left_out:
            warnings = (
                f"The PCI or the carrier of {len(left_out)} of {len(cells)} cells is unknown: they "
                f"are left out of the conflicts ({quoted(left_out)}).",
            )
        return ProductResult(
            {
                "neighbour_pairs": int(np.count_nonzero(np.triu(near))),
                **{kind.replace(" ", "_"): kinds.get(kind, 0) for kind in get_args(ConflictKind)},
            },
            {CONFLICTS_FILE: rows},
            warnings=warnings,
        )


def _refusal(context: PlanContext) -> str | None:
    """Refuse maps of which no PCI or no carrier is known."""
    cells = context.maps.cells
    if all(cell.pci is None for cell in cells):
        return (
            "the physical identity of no cell is known; give a site table (`sites`) with a column "
            "'pci', or name the maps by it, such as 154_rsrp.tif."
        )
    try:
        carrier_groups(
            [cell.carrier for cell in cells],
            same_carrier=context.settings.interference.same_carrier,
        )
    except InputError as error:
        return str(error)
    return None


PRODUCTS: Final = (
    Product(
        "pci_conflicts",
        "Neighbours on one carrier whose physical identities collide or are confused.",
        "Neighbours are cells that serve the same places, as in `overlap`. Collision: two "
        "neighbours on one carrier have the same PCI. Confusion: a cell has two neighbours on one "
        "carrier with the same PCI. Mod 3 and mod 30: the PCI of two neighbours on one carrier "
        "have the same remainder, and so the same primary synchronisation signal or uplink "
        "sequence group (3GPP TS 36.211 6.11 and 5.5.1, TS 38.211 7.4.2 and 6.4.1.1).",
        (CONFLICTS_FILE,),
        refusal=_refusal,
        stream=_Stream,
    ),
)
"""Products of this module."""
