"""PCI conflicts among neighbours: rules by hand, counts against a plain loop."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rm_geo.grid import Grid
from rm_geo.planning.map_set import CellMap, MapSetBand, RadioMapSet
from rm_geo.planning.pci import PRODUCTS, NeighbourCounts, neighbours, pci_conflicts
from rm_geo.planning.product import PlanContext
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.settings import PlanSettings
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

(PRODUCT,) = PRODUCTS


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (5, 4, 6),
        elements=st.one_of(st.just(float("nan")), st.integers(-125, -60).map(float)),
    )
)
def test_overlaps_are_those_of_a_plain_loop(levels):
    counts = NeighbourCounts(7, margin_db=5.0, floor_dbm=-110.0)
    cells = np.array([0, 2, 3, 5, 6])
    for start in (0, 2):
        part = levels[:, start : start + 2]
        band = MapSetBand(slice(start, start + 2), slice(0, 6), cells, part)
        counts.add(band, rank_cells(band))
    overlap, served = np.zeros((7, 7), int), np.zeros(7, int)
    for place in np.ndindex(4, 6):
        here = levels[(slice(None), *place)]
        if np.isnan(here).all() or np.nanmax(here) < -110:
            continue
        best = np.nanmax(here)
        served[cells[int(np.nanargmax(here))]] += 1
        near = [c for c, value in zip(cells, here, strict=True) if value >= max(best - 5, -110)]
        for a, b in combinations(near, 2):
            overlap[a, b] += 1
            overlap[b, a] += 1
    np.testing.assert_array_equal(counts.overlap_px, overlap)
    np.testing.assert_array_equal(counts.served_px, served)


def test_each_rule_by_hand():
    # a - b - c - d in a row; a and c, b and d are second neighbours.
    near = np.zeros((4, 4), bool)
    for a, b in ((0, 1), (1, 2), (2, 3)):
        near[a, b] = near[b, a] = True

    def found(pci, groups=(0, 0, 0, 0)):
        return {(c.kind, c.first, c.second, c.via) for c in pci_conflicts(pci, groups, near)}

    assert found([1, 5, 12, 20]) == set()
    assert found([1, 1, 12, 20]) == {("collision", 0, 1, None)}
    assert found([7, 5, 7, 20]) == {("confusion", 0, 2, 1)}
    assert found([7, 5, 7, 20], (0, 0, 1, 0)) == set()
    assert found([7, 10, 12, 20]) == {("mod 3", 0, 1, None)}
    assert found([7, 37, 12, 20]) == {("mod 30", 0, 1, None)}
    assert found([7, np.nan, 7, 20]) == {("confusion", 0, 2, 1)}
    assert found([7, 7, 7, 20], (-1, -1, -1, -1)) == set()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=6, max_size=6),
    hnp.arrays(bool, (6, 6)),
    st.permutations(range(6)),
)
def test_conflicts_do_not_depend_on_the_order_of_the_cells(pci, upper, order):
    near = np.triu(upper, 1)
    near = near | near.T
    order = np.array(order)

    def named(conflicts, names):
        return {
            (
                c.kind,
                frozenset((names[c.first], names[c.second])),
                None if c.via is None else names[c.via],
            )
            for c in conflicts
        }

    one = named(pci_conflicts(pci, [0] * 6, near), range(6))
    other = pci_conflicts(np.array(pci)[order], [0] * 6, near[np.ix_(order, order)])
    assert one == named(other, order.tolist())


def test_neighbours_need_enough_common_area():
    overlap = np.array([[0, 30], [30, 0]])
    served = np.array([1000, 5000])
    assert neighbours(overlap, served, least_share=0.03)[0, 1]
    assert not neighbours(overlap, served, least_share=0.031)[0, 1]
    assert not neighbours(overlap, served, least_px=31)[0, 1]
    assert not neighbours(np.zeros((2, 2), int), served, least_share=0.0).any()


def cells(pci, channel=1300):
    grid = Grid.create(500_000, 5_000_000, (40, 60), 10.0, 32633)
    x, _ = grid.to_world(np.zeros((40, 60)), np.indices((40, 60))[1] + 0.5)
    made = []
    for place, number in enumerate(pci):
        site = Site(500_000 + 300.0 * place, 4_999_800.0)
        level = (-60 - 0.1 * np.abs(x - site.x)).astype(np.float32)
        tags = {"channel": str(channel), "pci": str(number)} if number is not None else {}
        made.append(CellMap.of(f"cell {place}", RadioMap(grid, level, site=site, tags=tags)))
    return RadioMapSet.of(made)


def result(maps, **options):
    context = PlanContext(maps, PlanSettings(**options))
    assert PRODUCT.refusal(context) is None
    stream = PRODUCT.stream(context)
    for band in maps.bands():
        assert stream.add(band, rank_cells(band)) == {}
    return stream.finish()


def test_the_table_names_cells_area_and_distance():
    made = result(cells([7, 8, 7]))
    assert made.statistics["neighbour_pairs"] == 2
    assert made.statistics["confusion"] == 1
    (row,) = made.tables["pci_conflicts.csv"]
    assert (row["conflict"], row["cell"], row["other_cell"], row["via"]) == (
        "confusion",
        "cell 0",
        "cell 2",
        "cell 1",
    )
    assert row["distance_km"] == pytest.approx(0.6)
    made = result(cells([7, 7, 9]))
    (row,) = made.tables["pci_conflicts.csv"]
    assert row["conflict"] == "collision"
    # Within 6 dB on both sides of the middle between two sites: 60 m of 600 m by 400 m.
    assert row["overlap_km2"] == pytest.approx(0.06 * 0.4, abs=0.005)


def test_cells_without_pci_are_left_out_and_named():
    made = result(cells([7, None, 7]), interference={"same_carrier": True})
    assert "'cell 1'" in made.warnings[0]
    assert [row["via"] for row in made.tables["pci_conflicts.csv"]] == ["cell 1"]


def test_no_pci_or_carrier_is_refused_with_what_to_give():
    none = cells([None, None])
    assert "'pci'" in PRODUCT.refusal(PlanContext(none))
    unknown = RadioMapSet.of(
        [CellMap.of("7", none.cells[0].radio_map), CellMap.of("8", none.cells[1].radio_map)]
    )
    assert "earfcn" in PRODUCT.refusal(PlanContext(unknown))
