"""Where to drive next: kriging variance against a plain Gaussian process, greedy choice, budget."""

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.grid import Grid
from rm_geo.planning.map_set import RadioMapSet
from rm_geo.planning.next_drive import (
    PRODUCTS,
    DriveModel,
    UncertainPlaces,
    VarianceBlocks,
    free_pieces,
    plan_drive,
    road_pieces,
)
from rm_geo.planning.product import PlanContext, PlanInputs
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.settings import PlanSettings
from rm_geo.products.radio_map import RadioMap
from rm_geo.workflows.plan import make_plan

(PRODUCT,) = PRODUCTS


def scattered(seed, count=60, side=300.0):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, side, (count, 2))
    return UncertainPlaces(xy, rng.uniform(1, 9, count), 25.0, np.ones(count, bool))


def left_by_hand(places, measured, range_m, noise_db):
    """Variance of a Gaussian process given all measurements at once."""
    away = np.linalg.norm(places.xy[:, None] - places.xy[None], axis=2)
    covariance = np.exp(-away / range_m) * np.outer(places.std_db, places.std_db)
    matrix = covariance[np.ix_(measured, measured)] + noise_db**2 * np.eye(len(measured))
    weights = np.linalg.solve(matrix, covariance[measured])
    return np.diag(covariance - covariance[:, measured] @ weights)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(150, 400), st.floats(0.5, 5))
def test_variance_after_several_pieces_is_that_of_a_plain_gaussian_process(seed, range_m, noise):
    places = scattered(seed)
    model = DriveModel(places, range_m=range_m, noise_db=noise)
    rng = np.random.default_rng(seed)
    order = rng.permutation(60)
    before = model.variance.copy()
    for part in (order[:4], order[4:5], order[5:12]):
        measured = np.sort(part)
        expected = model.gain(measured)
        assert model.drive(measured) == pytest.approx(expected)
        assert (model.variance <= before + 1e-9).all()
        assert before.sum() - model.variance.sum() == pytest.approx(expected, rel=1e-6)
        before = model.variance.copy()
    by_hand = left_by_hand(places, order[:12], range_m, noise)
    np.testing.assert_allclose(model.variance, by_hand, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("range_m", [15.0, 40.0, 200.0])
def test_first_gains_are_those_of_each_piece(range_m):
    places = scattered(2, 300, 600.0)
    rng = np.random.default_rng(0)
    pieces = [np.sort(rng.permutation(300)[:count]) for count in (1, 4, 4, 3, 7, 4)]
    model = DriveModel(places, range_m=range_m, noise_db=2.0)
    one_by_one = [model.gain(measured) for measured in pieces]
    np.testing.assert_allclose(model.first_gains(pieces), one_by_one, rtol=0.03)


@pytest.mark.parametrize("range_m", [15.0, 40.0])
def test_the_cut_off_changes_little(range_m):
    places = scattered(1, 400, 600.0)
    model = DriveModel(places, range_m=range_m, noise_db=2.0)
    order = np.random.default_rng(0).permutation(400)[:60]
    for part in np.array_split(order, 12):
        model.drive(np.sort(part))
    by_hand = left_by_hand(places, order, range_m, 2.0)
    np.testing.assert_allclose(model.variance, by_hand, atol=0.01 * 81)  # of the largest variance


def brute_force(places, lines, budget_m, range_m, noise_db):
    """Each time the piece with the largest gain for each metre, all evaluated anew."""
    measured, left, chosen = [], budget_m, []
    tree = [
        np.unique(
            np.argmin(
                np.linalg.norm(
                    places.xy[:, None]
                    - shapely.get_coordinates(
                        line.interpolate(
                            (np.arange(n := max(1, round(line.length / places.block_m))) + 0.5) / n,
                            normalized=True,
                        )
                    )[None],
                    axis=2,
                ),
                axis=0,
            )
        )
        for line in lines
    ]
    while True:
        before = left_by_hand(places, np.unique(measured).astype(int), range_m, noise_db).sum()
        best = None
        for number, line in enumerate(lines):
            if number in chosen or line.length > left or set(tree[number]) & set(measured):
                continue
            after = left_by_hand(
                places, np.array([*measured, *tree[number]]), range_m, noise_db
            ).sum()
            rate = (before - after) / line.length
            if best is None or rate > best[0] + 1e-12:
                best = rate, number
        if best is None:
            return chosen
        chosen.append(best[1])
        measured = [*measured, *tree[best[1]]]
        left -= lines[best[1]].length


def lattice(std):
    rows, cols = std.shape
    x, y = np.meshgrid(np.arange(cols) * 25.0 + 12.5, np.arange(rows) * 25.0 + 12.5)
    return UncertainPlaces(
        np.column_stack([x.ravel(), y.ravel()]), std.ravel(), 25.0, np.ones(std.size, bool)
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    places = lattice(rng.uniform(1, 9, (8, 8)))
    lines = [
        shapely.LineString([(x, y * 25.0 + 12.5), (x + 100.0, y * 25.0 + 12.5)])
        for x in (0.0, 100.0)
        for y in range(8)
    ]
    chosen = plan_drive(places, lines, budget_km=0.65, range_m=80.0, noise_db=2.0)
    numbers = [lines.index(segment.line) for segment in chosen]
    assert numbers == brute_force(places, lines, 650.0, 80.0, 2.0)
    rates = [segment.gain / segment.length_m for segment in chosen]
    assert rates == sorted(rates, reverse=True)
    rms = [segment.rms_std_db for segment in chosen]
    assert rms == sorted(rms, reverse=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 2.0))
def test_the_budget_is_kept_and_used(seed, budget_km):
    rng = np.random.default_rng(seed)
    places = lattice(rng.uniform(1, 9, (8, 12)))
    ends = rng.uniform(0, 200, (20, 2, 2))
    lines = [shapely.LineString(pair) for pair in ends]
    chosen = plan_drive(places, lines, budget_km=budget_km, range_m=50.0)
    length = sum(segment.length_m for segment in chosen)
    assert length <= 1000 * budget_km
    others = [line for line in lines if all(line is not one.line for one in chosen)]
    assert all(line.length > 1000 * budget_km - length for line in others)


def test_the_drive_ends_where_a_piece_gains_little():
    std = np.full((12, 12), 0.5)
    std[:, 4] = 8.0
    lines = [shapely.LineString([(x, 0), (x, 300)]) for x in np.arange(12) * 25.0 + 12.5]
    places = lattice(std)
    whole = plan_drive(places, lines, budget_km=10.0, range_m=20.0)
    short = plan_drive(places, lines, budget_km=10.0, range_m=20.0, least_gain_share=0.05)
    assert len(whole) == 12
    gains = [segment.gain / segment.length_m for segment in short]
    assert 1 <= len(short) < 12
    assert min(gains) >= 0.05 * gains[0]
    assert whole[len(short)].gain / whole[len(short)].length_m < 0.05 * gains[0]


def test_streets_are_driven_where_the_map_is_uncertain_first():
    std = np.full((8, 16), 1.0)
    std[:, 8:] = 9.0
    lines = free_pieces(lattice(std), 100.0)
    chosen = plan_drive(lattice(std), lines, budget_km=1.0, range_m=50.0)
    assert len(chosen) == 10
    assert all(segment.line.centroid.x > 190 for segment in chosen)


def test_places_that_are_free_of_buildings_are_crossed_by_pieces():
    places = lattice(np.ones((6, 6)))
    free = np.zeros((6, 6), bool)
    free[2, :5] = True
    free[:, 5] = True
    places = UncertainPlaces(places.xy, places.std_db, 25.0, free.ravel())
    pieces = free_pieces(places, 50.0)
    assert {piece.bounds for piece in pieces} == {
        (0.0, 62.5, 50.0, 62.5),
        (50.0, 62.5, 100.0, 62.5),
        (100.0, 62.5, 150.0, 62.5),
        (137.5, 0.0, 137.5, 50.0),
        (137.5, 50.0, 137.5, 100.0),
        (137.5, 100.0, 137.5, 150.0),
    }


def test_pieces_make_up_the_road_inside_the_map():
    grid = Grid.create(0, 1000, (100, 100), 10.0, 32633)
    road = shapely.MultiLineString(
        [[(-50, 500), (333, 700), (600, 200)], [(900, 900), (1500, 950)]]
    )
    pieces = road_pieces(np.array([road], dtype=object), grid, 80.0)
    inside = road.intersection(shapely.box(*grid.bounds))
    assert sum(piece.length for piece in pieces) == pytest.approx(inside.length)
    assert all(40.0 < piece.length < 120.0 for piece in pieces)
    assert shapely.union_all(pieces).within(inside.buffer(1e-6))


GRID = Grid.create(500_000, 5_000_000, (80, 120), 5.0, 32633)


def maps(with_buildings=False, std=None):
    values = np.full(GRID.shape, 2.0) if std is None else std
    built = np.zeros(GRID.shape)
    built[:, 50:70] = 0.9
    strong = RadioMap(
        GRID, np.full(GRID.shape, -80.0), built if with_buildings else None, std_db=values
    )
    weak = RadioMap(GRID, np.full(GRID.shape, -99.0), std_db=np.full(GRID.shape, 30.0))
    return RadioMapSet.of({"strong": strong, "weak": weak})


def made_of(map_set, roads=None, **options):
    context = PlanContext(map_set, PlanSettings(next_drive=options), PlanInputs(roads=roads))
    assert PRODUCT.refusal(context) is None
    stream = PRODUCT.stream(context)
    for band in map_set.bands(400_000, layers=PRODUCT.layers):
        stream.add(band, rank_cells(band))
    return stream.finish()


def test_blocks_hold_the_mean_variance_of_the_strongest_cell():
    std = np.random.default_rng(0).uniform(1, 9, GRID.shape).astype(np.float32)
    std[:20, :20] = np.nan
    map_set = maps(std=std)
    blocks = VarianceBlocks(GRID, 10)
    for band in map_set.bands(100_000):
        blocks.add(band, rank_cells(band))
    variance = np.square(std.astype(float)).reshape(8, 10, 12, 10)
    with np.errstate(invalid="ignore"):
        expected = np.sqrt(variance.mean(axis=(1, 3))).ravel()
    places = blocks.places()
    np.testing.assert_allclose(places.std_db, expected[np.isfinite(expected)], rtol=1e-5)
    assert places.xy[0].tolist() == [500_125.0, 4_999_975.0]


def test_the_product_follows_the_roads(tmp_path):
    std = np.full(GRID.shape, 2.0)
    std[:, 60:] = 8.0
    roads = [
        shapely.LineString([(500_000, 4_999_800), (500_600, 4_999_800)]),
        shapely.LineString([(500_450, 4_999_700), (500_450, 4_999_900)]),
    ]
    frame = geopandas.GeoDataFrame(geometry=roads, crs=GRID.crs)
    frame.to_crs(4326).to_file(tmp_path / "roads.gpkg")
    made = made_of(maps(std=std), tmp_path / "roads.gpkg", budget_km=0.45)
    (table,) = made.features["next_drive.gpkg"]
    assert table.columns["rank"].tolist() == [1, 2, 3, 4]
    assert table.columns["total_km"][-1] <= 0.45
    assert all(line.centroid.x > 500_290 for line in table.geometry)
    assert made.warnings == ()
    after, before = (made.statistics[f"rms_std_{when}_db"] for when in ("after", "before"))
    assert after < before == pytest.approx(np.sqrt((4 + 64) / 2), rel=1e-3)


def test_without_roads_pieces_lead_between_buildings():
    made = made_of(maps(with_buildings=True), budget_km=3.0)
    (table,) = made.features["next_drive.gpkg"]
    buildings = shapely.box(500_250, 4_999_600, 500_350, 5_000_000)
    assert len(table) == 30
    assert not any(line.intersects(buildings.buffer(-1.0)) for line in table.geometry)
    assert "`roads`" in made.warnings[0]


def test_range_and_noise_are_those_of_the_maps_unless_they_are_set():
    h = np.array([4.0, 12.0, 25.0, 50.0, 90.0, 150.0])
    std = np.sqrt(1.0 + 25.0 * (1.0 - np.exp(-2.0 * h / 120.0)))
    tags = {
        "std_by_distance": ", ".join(
            f"{m:.0f} m {db:.1f} dB" for m, db in zip(h, std, strict=True)
        ),
        "noise_db": "3.50",
    }
    flat = {"std_by_distance": "4 m 3.0 dB, 12 m 3.0 dB, 25 m 3.0 dB, 50 m 3.0 dB"}

    def used(own, **options):
        level, deviation = np.full(GRID.shape, -80.0), np.full(GRID.shape, 4.0)
        map_set = RadioMapSet.of({"a": RadioMap(GRID, level, std_db=deviation, tags=own)})
        statistics = made_of(map_set, budget_km=0.1, **options).statistics
        return statistics["range_m"], statistics["noise_db"]

    assert used(tags) == (pytest.approx(120.0, rel=0.15), 3.5)
    assert used(tags, range_m=30.0, noise_db=0.0) == (30.0, 0.0)
    assert used(flat) == used({"std_by_distance": "unknown"}) == (50.0, 2.0)


def test_roads_of_another_place_are_named(tmp_path):
    far = geopandas.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (9, 9)])], crs=GRID.crs)
    far.to_file(tmp_path / "far.gpkg")
    made = made_of(maps(), tmp_path / "far.gpkg")
    assert "far.gpkg" in made.warnings[0]
    assert made.statistics["segments"] == 0


def test_roads_that_cannot_be_read_leave_the_rest_of_the_plan(tmp_path):
    (tmp_path / "roads.gpkg").write_text("no layer")
    plan = make_plan(
        maps(),
        tmp_path / "plan",
        only=["composite", "next_drive"],
        inputs=PlanInputs(roads=tmp_path / "roads.gpkg"),
    )
    assert list(plan.products) == ["composite"]
    assert "roads.gpkg" in plan.not_made["next_drive"]
    assert not (tmp_path / "plan" / "next_drive.gpkg").exists()


def test_maps_without_deviations_are_refused():
    without = RadioMapSet.of({"a": RadioMap(GRID, np.full(GRID.shape, -80.0))})
    assert "`uncertainty`" in PRODUCT.refusal(PlanContext(without))
