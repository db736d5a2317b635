"""Interference: hand-made oracles, 3GPP's relations between the quantities, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rm_geo.errors import InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.planning.interference import PRODUCTS, Carrier, carrier_groups, interference
from rm_geo.planning.map_set import CellMap, RadioMapSet
from rm_geo.planning.product import PlanContext
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.settings import InterferenceSettings, PlanSettings
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

(PRODUCT,) = PRODUCTS
LEVELS = hnp.arrays(
    np.float32,
    (4, 3, 5),
    elements=st.one_of(st.just(float("nan")), st.floats(-130, -50, width=32)),
)


def strongest(levels):
    filled = np.where(np.isnan(levels), -np.inf, levels)
    return np.where(np.isfinite(filled.max(0)), filled.argmax(0), -1).astype(np.int32)


def by_hand(levels, server, groups, carrier, loads):
    """Straight from the definitions, in double precision, pixel by pixel."""
    share = carrier.reference_share
    noise = 10 ** (carrier.noise_dbm / 10)
    made = {name: np.full(server.shape, np.nan) for name in ("rssi", "ci", "sinr", "rsrq")}
    for place in np.ndindex(server.shape):
        own = server[place]
        if own < 0 or groups[own] < 0:
            continue
        power = {
            cell: 10 ** (float(levels[(cell, *place)]) / 10)
            for cell in range(len(levels))
            if groups[cell] == groups[own] and np.isfinite(levels[(cell, *place)])
        }
        used = {cell: share + (1 - share) * loads[cell] for cell in power}
        other = sum(used[cell] * power[cell] for cell in power if cell != own)
        rssi = 12 * carrier.resource_blocks * (used[own] * power[own] + other + noise)
        made["rssi"][place] = 10 * np.log10(rssi)
        made["sinr"][place] = 10 * np.log10(power[own] / (other + noise))
        made["rsrq"][place] = 10 * np.log10(carrier.resource_blocks * power[own] / rssi)
        if other:
            made["ci"][place] = 10 * np.log10(power[own] / other)
    return made


@settings(max_examples=60, deadline=None)
@given(LEVELS, st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4), st.data())
def test_all_quantities_are_those_of_the_definitions(levels, groups, data):
    loads = data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4))
    carrier = Carrier.lte(5.0, noise_figure_db=7.0)
    server = strongest(levels)
    found = interference(levels, server, groups, carrier, load=loads)
    expected = by_hand(levels, server, groups, carrier, loads)
    np.testing.assert_allclose(found.rssi_dbm, expected["rssi"], atol=1e-3)
    np.testing.assert_allclose(found.ci_db, expected["ci"], atol=1e-3)
    np.testing.assert_allclose(found.sinr_db, expected["sinr"], atol=1e-3)
    np.testing.assert_allclose(found.rsrq_db, expected["rsrq"], atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(LEVELS, st.integers(0, 3))
def test_sinr_never_falls_when_an_interferer_is_removed_and_rises_where_it_was_heard(levels, away):
    server = strongest(levels)
    groups = np.zeros(4, int)
    before = interference(levels, server, groups).sinr_db
    fewer = levels.copy()
    fewer[away] = np.where(server == away, levels[away], np.nan)
    after = interference(fewer, server, groups).sinr_db
    known = np.isfinite(before)
    assert (after[known] >= before[known]).all()
    # Within 30 dB of the server it weighs more than the rounding of the sum.
    level = np.nanmax(np.where(np.isnan(levels), -999, levels), axis=0)
    heard = known & (server != away) & (levels[away] > np.maximum(level - 30, -115))
    assert (after[heard] > before[heard]).all()


@settings(max_examples=40, deadline=None)
@given(LEVELS)
def test_at_full_load_rsrq_and_sinr_are_two_faces_of_one_quantity(levels):
    found = interference(levels, strongest(levels), np.zeros(4, int))
    known = np.isfinite(found.sinr_db)
    rsrq, sinr = (10 ** (v[known].astype(float) / 10) for v in (found.rsrq_db, found.sinr_db))
    np.testing.assert_allclose(1 / (12 * rsrq), 1 + 1 / sinr, rtol=1e-3)


@pytest.mark.parametrize(("load", "rsrq"), [(1.0, -10.79), (0.0, -3.01)])
def test_rsrq_of_a_single_cell_is_that_of_the_textbooks(load, rsrq):
    levels = np.full((1, 1, 1), -60.0, np.float32)
    found = interference(levels, np.zeros((1, 1), int), [0], Carrier.lte(20.0, load=load))
    assert found.rsrq_db[0, 0] == pytest.approx(rsrq, abs=0.01)
    assert np.isnan(found.ci_db[0, 0])


def test_more_load_means_less_sinr():
    levels = np.array([[[-80.0]], [[-85.0]]], np.float32)
    sinr = [
        float(
            interference(levels, np.zeros((1, 1), int), [0, 0], Carrier.lte(load=a)).sinr_db[0, 0]
        )
        for a in (0.0, 0.3, 1.0)
    ]
    assert sinr == sorted(sinr, reverse=True)
    assert sinr[2] == pytest.approx(5.0, abs=0.01)


def test_thermal_noise_and_resource_blocks_of_the_standards():
    assert Carrier.lte(noise_figure_db=0.0).noise_dbm == pytest.approx(-132.2, abs=0.05)
    assert Carrier.nr(100.0, 30.0).resource_blocks == 273
    assert Carrier.nr(20.0, 15.0).resource_blocks == 106
    assert Carrier.nr(60.0, 60.0).resource_blocks == 79
    with pytest.raises(UsageError, match="no channel bandwidth of 7 MHz"):
        Carrier.lte(7.0)
    with pytest.raises(UsageError, match="15 kHz has no channel bandwidth of 100 MHz"):
        Carrier.nr(100.0, 15.0)
    with pytest.raises(UsageError, match=r"`load` must be in 0\.\.1"):
        Carrier(load=1.5)


def test_settings_name_the_carrier():
    assert Carrier.of(InterferenceSettings(technology="nb-iot")).resource_blocks == 1
    nr = PlanSettings(preset="nr-fr1").interference
    assert Carrier.of(nr) == Carrier.nr(100.0, 30.0)


GRID = Grid.create(500_000, 5_000_000, (60, 40), 5.0, 32633)


def cell(name, channel, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(-90, 8, GRID.shape).astype(np.float32)
    tags = {} if channel is None else {"channel": str(channel)}
    return CellMap.of(name, RadioMap(GRID, values, tags=tags))


def streamed(maps, **options):
    context = PlanContext(maps, PlanSettings(interference=options))
    stream = PRODUCT.stream(context)
    rasters = {
        layer.file: np.full(maps.grid.shape, np.nan, np.float32)
        for layer in PRODUCT.rasters(context)
    }
    for band in maps.bands(max_bytes=200_000):
        for file, values in stream.add(band, rank_cells(band)).items():
            rasters[file][band.rows, band.cols] = values
    return rasters, stream.finish()


def test_the_product_in_bands_is_that_of_the_whole_maps():
    maps = RadioMapSet.of([cell("a", 1300, 0), cell("b", 1300, 1), cell("c", 55990, 2)])
    rasters, result = streamed(maps, bandwidth_mhz=20.0, load=0.5)
    levels = np.stack([one.radio_map.rsrp_dbm for one in maps.cells])
    whole = interference(levels, strongest(levels), [0, 0, 1], Carrier.lte(20.0, load=0.5))
    np.testing.assert_array_equal(rasters["sinr.tif"], whole.sinr_db)
    np.testing.assert_array_equal(rasters["rssi.tif"], whole.rssi_dbm)
    np.testing.assert_array_equal(rasters["rsrq.tif"], whole.rsrq_db)
    np.testing.assert_array_equal(rasters["ci.tif"], whole.ci_db)
    assert result.statistics["carriers"] == 2
    below = result.statistics["share_of_sinr_below"]["0 dB"]
    assert below == pytest.approx(float((whole.sinr_db < 0).mean()))
    assert result.warnings == ()


def test_a_load_in_the_site_table_is_that_of_the_cell():
    cells = [cell("a", 1300, 0), cell("b", 1300, 1), cell("c", 1300, 2)]
    sites = [Site(500_100.0, 4_999_900.0, cell="a", load=0.2), Site(0.0, 0.0, cell="b")]
    rasters, result = streamed(RadioMapSet.of(cells, sites=sites), load=0.7)
    levels = np.stack([one.radio_map.rsrp_dbm for one in cells])
    whole = interference(levels, strongest(levels), [0, 0, 0], load=[0.2, 0.7, 0.7])
    np.testing.assert_array_equal(rasters["sinr.tif"], whole.sinr_db)
    np.testing.assert_array_equal(rasters["rsrq.tif"], whole.rsrq_db)
    assert result.statistics["cells_with_own_load"] == 1
    assert result.statistics["load"] == pytest.approx((0.2 + 0.7 + 0.7) / 3)


def test_cells_without_a_carrier_are_left_out_and_named():
    maps = RadioMapSet.of([cell("a", 1300, 0), cell("x", None, 1)])
    rasters, result = streamed(maps, quantities=["sinr"])
    assert list(rasters) == ["sinr.tif"]
    a, x = (one.radio_map.rsrp_dbm for one in maps.cells)
    np.testing.assert_array_equal(np.isnan(rasters["sinr.tif"]), x > a)
    assert "1 of 2 cells is unknown" in result.warnings[0]
    assert "'x'" in result.warnings[0]


def test_no_carrier_at_all_is_refused_with_what_to_give():
    maps = RadioMapSet.of([cell("a", None, 0), cell("b", None, 1)])
    reason = PRODUCT.refusal(PlanContext(maps))
    assert "earfcn" in reason
    assert "same_carrier" in reason
    assert PRODUCT.refusal(PlanContext(maps, PlanSettings(preset="lora"))) is not None
    chosen = PlanSettings(interference={"same_carrier": True})
    assert PRODUCT.refusal(PlanContext(maps, chosen)) is None
    with pytest.raises(InputError, match="carrier of no cell"):
        carrier_groups([None, None])
