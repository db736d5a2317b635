"""Reports: what they say, that they stand alone, and how they behave in a browser."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from PIL import Image
from pyproj import CRS

from rm_geo.cli.group import rm_geo
from rm_geo.errors import DependencyError, InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.features import FeatureTable, write_features
from rm_geo.products.radio_map import RadioMap
from rm_geo.products.summary import CellResult, write_summary
from rm_geo.report.map_features import feature_layer
from rm_geo.report.map_layers import Frame, raster_layer
from rm_geo.report.page import write_report
from rm_geo.report.sources import read_sources
from rm_geo.report.tables import Table, cells_section, coverage_section
from rm_geo.sites.site import Site
from rm_geo.workflows.compare import compare
from tests.support.browser import open_browser

GRID = Grid.create(500_000.0, 5_400_000.0, (120, 200), 2.0, 32633)
CLASSES = [
    {"name": "good", "from_dbm": -90.0, "colour": "#1a9850"},
    {"name": "weak", "from_dbm": -110.0, "colour": "#fee08b"},
    {"name": "none", "from_dbm": None, "colour": "#d73027"},
]
HOSTILE = "</script><img src=x onerror=alert(1)>"


def levels(first, grid=GRID):
    _, cols = np.indices(grid.shape, dtype=np.float32)
    values = np.float32(first) - cols / 5
    values[:10, :10] = np.nan
    return values


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """What predict writes of two cells, and a third that failed."""
    folder = tmp_path_factory.mktemp("maps")
    results = []
    for name, first in (("7", -80.0), ("8", -95.0)):
        site = Site(500_100.0, 5_399_900.0, frequency_mhz=1815.0)
        tags = {
            "method": "idw",
            "software": "rm_geo 0",
            "input": "drive.csv",
            "measurements_dropped": "12",
            "trust_rmse_db": "5.1 4.6 4.25",
        }
        RadioMap(GRID, levels(first), std_db=np.full(GRID.shape, 4.0), site=site, tags=tags).write(
            folder / f"{name}_rsrp.tif"
        )
        results.append(
            CellResult(
                name,
                "mapped",
                f"cell {name}",
                measurements=1234,
                mapped_pixels=23_900,
                rows=120,
                cols=200,
                spacing_m=2.0,
                crs="EPSG:32633",
                rsrp_min_dbm=first - 40,
                rsrp_mean_dbm=first - 20,
                rsrp_max_dbm=first,
                transmitter="site table",
                method="idw",
                warnings=("Its site is far away.",) if name == "8" else (),
            )
        )
    results.append(CellResult("9", "failed", HOSTILE, "No place is known."))
    write_summary(results, folder)
    return folder


def holes(count):
    centres = np.linspace(20, 380, count)
    squares = [
        shapely.MultiPolygon([shapely.box(500_000 + x, 5_399_800, 500_008 + x, 5_399_812)])
        for x in centres
    ]
    return FeatureTable(
        "holes",
        np.array(squares, dtype=object),
        {
            "rank": np.arange(1, count + 1),
            "area_m2": np.full(count, 96.0),
            "mean_rsrp_dbm": np.linspace(-120, -111, count),
            "population": np.full(count, np.nan),
            "nearest_site": np.array(["7"] * count, dtype=object),
        },
        CRS(32633),
        "MultiPolygon",
    )


@pytest.fixture
def plan(tmp_path):
    """A plan folder, written by hand as its contract says."""
    folder = tmp_path / "plan"
    folder.mkdir()
    best = levels(-80.0)
    write_raster(folder / "composite_rsrp.tif", best, GRID, unit="dBm", tags={"quantity": "RSRP"})
    number = np.where(best >= -90, 1, np.where(best >= -110, 2, 3))
    number = np.where(np.isfinite(best), number, 0).astype(np.uint8)
    colours = {1: (26, 152, 80), 2: (254, 224, 139), 3: (215, 48, 39)}
    write_raster(folder / "coverage.tif", number, GRID, nodata=0, colormap=colours)
    server = np.where(np.isfinite(best), 1, 0).astype(np.uint8)
    write_raster(folder / "best_server.tif", server, GRID, nodata=0, colormap={1: (9, 9, 9)})
    total = np.count_nonzero(number)
    rows = ["cell,value,class,from_dbm,below_dbm,area_km2,share"]
    for cell in ("all", "7"):
        for value, (name, low, high) in enumerate(
            (("good", -90, ""), ("weak", -110, -90), ("none", "", -110)), start=1
        ):
            pixels = np.count_nonzero(number == value)
            rows.append(f"{cell},{value},{name},{low},{high},{pixels * 4 / 1e6},{pixels / total}")
    (folder / "coverage.csv").write_text("\n".join(rows) + "\n")
    (folder / "best_server.csv").write_text(
        "value,cell,cell_name,area_km2,share,mean_rsrp_dbm\n1,7,,0.0956,1,-100\n"
    )
    (folder / "pci_conflicts.csv").write_text(f"cell,other\n7,{HOSTILE}\n")
    write_features(folder / "holes.gpkg", [holes(5)])
    products = {
        "composite": {
            "files": ["composite_rsrp.tif"],
            "definition": "RSRP of the strongest cell.",
            "statistics": {
                "area_km2": 0.0956,
                "mean_dbm": -100.0,
                "min_dbm": -120.0,
                "max_dbm": -80,
            },
        },
        "best_server": {
            "files": ["best_server.tif", "best_server.csv"],
            "statistics": {"serving_cells": 1},
        },
        "coverage": {
            "files": ["coverage.tif", "coverage.csv"],
            "statistics": {"share_by_class": {"good": 0.25, "weak": 0.5, "none": 0.25}},
        },
        "pci": {"files": ["pci_conflicts.csv"], "summary": "Neighbours.", "statistics": {}},
        "holes": {
            "files": ["holes.gpkg"],
            "statistics": {"holes": 5, "area_km2": 0.00048, "largest": [{"area_m2": 96.0}]},
        },
    }
    index = {
        "version": 1,
        "parameters": {
            "settings": {
                "preset": "lte",
                "coverage": {"threshold_dbm": -110.0, "classes": CLASSES},
            }
        },
        "grid": {
            "crs": "EPSG:32633",
            "rows": 120,
            "cols": 200,
            "spacing_m": 2.0,
            "bounds": list(GRID.bounds),
        },
        "cells": [
            {
                "name": "7",
                "cell_name": "cell 7",
                "value": 1,
                "colour": "#123456",
                "frequency_mhz": 1815.0,
                "site": {"x": 500_100.0, "y": 5_399_900.0, "azimuth_deg": 90.0},
            }
        ],
        "products": products,
        "not_made": {"probability": "no map has a standard deviation."},
        "warnings": ["1 map has other pixels than the rest."],
        "provenance": {"software": "rm_geo 0"},
    }
    (folder / "plan.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def validation(tmp_path):
    folder = tmp_path / "validation"
    folder.mkdir()
    score = {"cell": "all", "block_m": 50.0, "points": 806, "mae_db": 4.0, "bias_db": 0.1}
    score |= {"correlation": 0.9, "within_6_db": 0.7, "interval_90": None, "p_value": 0.001}
    methods = {
        name: {
            "pooled": {**score, "method": name, "rmse_db": rmse},
            "pooled_by_block_m": {"50": {**score, "method": name, "rmse_db": rmse}},
        }
        for name, rmse in (("knn", 8.6), ("default", 5.7))
    }
    methods["reported"] = {"pooled": {**score, "method": "reported", "rmse_db": None}}
    document = {
        "methods": methods,
        "noise_floor": {"within_pass_db": 3.6, "between_passes_db": None},
        "left_out": {"9": "too few places"},
        "settings": {"hold_out": "target"},
    }
    (folder / "validation.json").write_text(json.dumps(document))
    return folder


class Page(HTMLParser):
    """The text of a page by section, and everything that it would load."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.tags, self._hidden = [], [], 0
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in {"script", "style"}
        for name, value in attrs:
            if name in {"src", "href", "data", "srcset", "action", "poster"} and value:
                self.loaded.append(value)

    def handle_endtag(self, tag):
        self._hidden -= tag in {"script", "style"}

    def handle_data(self, data):
        if not self._hidden:
            self.text += " " + " ".join(data.split())


def page_data(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


class TestContent:
    def test_a_plan_with_its_maps_and_a_validation(self, plan, maps, validation):
        text = write_report([plan, maps, validation]).read_text("utf-8")
        shown = Page(text).text
        for expected in (
            "0.0956 km² mapped; 120 x 200 pixels of 2 m, EPSG:32633",
            "good 25.0 %, weak 50.0 %, none 25.0 %",
            "5 below -110 dBm, 0.00048 km² together; the first has 96 m²",
            "RMSE 5.7 dB in held-out blocks of 50 m (default, 806 places)",
            "2,468 measurements; method idw",
            "1 map has other pixels than the rest.",
            "Cell 8 (cell 8): Its site is far away.",
            "12 rows of the measurements were not used.",
            "no map has a standard deviation.",
            "-110 to -90 dBm",
            "Noise floor of the measurements: 3.6 dB within a pass.",
            "drive.csv",
        ):
            assert expected in shown, expected
        assert shown.count("Show") == 5

    def test_the_summary_has_at_most_ten_lines(self, plan, maps, validation):
        text = write_report([plan, maps, validation]).read_text("utf-8")
        summary = text.split('<section id="summary">')[1].split("</section>")[0]
        assert 5 <= summary.count("<dt>") <= 10

    def test_maps_alone_get_a_composite_and_coverage(self, maps, tmp_path):
        text = write_report(maps, tmp_path / "r.html").read_text("utf-8")
        shown = Page(text).text
        assert "Share of the area by class" in shown
        layers = page_data(text)["layers"]
        assert layers[0]["title"] == "Level of the strongest cell"
        assert len(layers) == 5
        # the stronger cell at each pixel is always 7
        picture = decoded(layers[0])
        assert picture.shape[:2] == GRID.shape
        np.testing.assert_array_equal(picture, decoded(layers[1]))
        assert "RMSE 4.2 dB in held-out blocks of the measured places" in shown

    def test_a_validation_alone_has_no_map(self, validation):
        text = write_report(validation).read_text("utf-8")
        assert "Hold-out errors" in text
        assert 'id="map"' not in text
        assert "leaflet" not in text.lower().replace("leaflet-", "").split("<body>")[1]

    def test_held_out_errors_are_ordered_and_to_scale(self, validation):
        text = write_report(validation).read_text("utf-8")
        chart = text.split('class="chart"')[1]
        widths = [float(width) for width in re.findall(r"width:([\d.]+)%", chart)]
        assert widths == pytest.approx([100 * 5.7 / 8.6, 100], abs=0.01)
        assert chart.index("default (50 m)") < chart.index("knn (50 m)")

    def test_the_shares_of_a_chart_fill_its_bar(self, plan):
        text = write_report(plan).read_text("utf-8")
        bar = text.split('class="bar"')[1].split("</span>")[0]
        widths = [float(width) for width in re.findall(r"width:([\d.]+)%", bar)]
        assert len(widths) == 3
        assert sum(widths) == pytest.approx(100, abs=0.01)

    def test_names_cannot_bring_in_markup(self, plan, maps):
        text = write_report([plan, maps]).read_text("utf-8")
        page = Page(text)
        assert not [tag for tag, _ in page.tags if tag == "img"]
        assert HOSTILE in page.text

    def test_the_same_input_gives_the_same_bytes(self, plan, maps, tmp_path):
        one, two = (write_report([plan, maps], tmp_path / name) for name in ("a.html", "b.html"))
        assert one.read_bytes() == two.read_bytes()

    def test_nothing_is_loaded_from_elsewhere(self, plan, maps, validation):
        text = write_report([plan, maps, validation]).read_text("utf-8")
        page = Page(text)
        assert page.loaded == []
        (policy,) = [
            attrs["content"]
            for tag, attrs in page.tags
            if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy.startswith("default-src 'none'")
        styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
        assert all(url.startswith("data:") for url in re.findall(r"url\(([^)]*)\)", styles))
        assert "@import" not in styles


def decoded(layer):
    data = layer["image"].split(",", 1)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


class TestMap:
    def test_pictures_lie_on_their_pixels_and_colours_have_values(self, plan):
        data = page_data(write_report(plan).read_text("utf-8"))
        assert data["origin"] == [500_000.0, 5_399_760.0]
        layer = next(one for one in data["layers"] if one["name"] == "composite_rsrp.tif")
        assert layer["bounds"] == [0.0, 0.0, 400.0, 240.0]
        picture = decoded(layer)
        assert (picture[:10, :10, 3] == 0).all()
        texts = {tuple(entry[:3]): entry[3] for entry in layer["values"]}
        for col in (20, 100, 190):
            value = float(texts[tuple(picture[60, col, :3])].split()[0])
            assert value == pytest.approx(-80 - col / 5, abs=0.15)

    def test_classes_and_servers_have_the_colours_and_names_of_the_plan(self, plan):
        data = page_data(write_report(plan).read_text("utf-8"))
        legends = {layer["name"]: layer["legend"] for layer in data["layers"]}
        assert legends["coverage.tif"] == [
            ["#1a9850", "good: -90 dBm and more"],
            ["#fee08b", "weak: -110 to -90 dBm"],
            ["#d73027", "none: below -110 dBm"],
        ]
        assert legends["best_server.tif"] == [["#123456", "cell 7"]]
        assert data["layers"][0]["name"] == "coverage.tif"

    def test_large_rasters_are_reduced_to_the_size_that_is_asked_for(self, tmp_path):
        grid = Grid.create(500_000.0, 5_400_000.0, (2000, 2500), 1.0, 32633)
        noise = np.random.default_rng(0).uniform(-120, -70, grid.shape).astype(np.float32)
        write_raster(tmp_path / "a.tif", noise, grid, unit="dBm")
        layer = raster_layer(tmp_path / "a.tif", Frame.of(grid), "a", "b", max_bytes=10**9)
        assert max(decoded(layer.to_json()).shape) == 1600
        assert layer.reduced_to_m == pytest.approx(1.56, abs=0.01)
        small = raster_layer(tmp_path / "a.tif", Frame.of(grid), "a", "b", max_bytes=60_000)
        assert len(small.png) <= 60_000
        assert small.bounds == layer.bounds == (0.0, 0.0, 2500.0, 2000.0)

    def test_the_size_of_the_file_is_bounded(self, maps, tmp_path):
        path = write_report(maps, tmp_path / "r.html", max_mb=0.1)
        assert path.stat().st_size < 500_000  # Leaflet has 150 kB

    def test_a_raster_in_another_crs_is_warped(self, tmp_path):
        # 180 m to the east in UTM 33 is some 6 degrees west of the middle of zone 32
        profile = {"driver": "GTiff", "width": 40, "height": 40, "count": 1, "dtype": "float32"}
        values = np.full((40, 40), -90.0, np.float32)
        with rasterio.open(
            tmp_path / "a.tif",
            "w",
            **profile,
            crs="EPSG:25832",
            transform=rasterio.transform.from_origin(941_000, 5_411_000, 50, 50),
        ) as dataset:
            dataset.write(values, 1)
        layer = raster_layer(tmp_path / "a.tif", Frame.of(GRID), "a", "b", max_bytes=10**6)
        corners = rasterio.warp.transform_bounds(
            "EPSG:25832", "EPSG:32633", 941_000, 5_409_000, 943_000, 5_411_000
        )
        found = np.add(layer.bounds, [500_000, 5_399_760] * 2)
        np.testing.assert_allclose(found, corners, atol=60)

    def test_many_holes_are_cut_off_and_counted(self, plan):
        write_features(plan / "holes.gpkg", [holes(700)])
        text = write_report(plan).read_text("utf-8")
        data = page_data(text)
        layer = next(one for one in data["features"] if one["name"] == "holes")
        assert (len(layer["features"]), layer["total"]) == (500, 700)
        assert "of 700 holes; all are in holes.gpkg" in Page(text).text

    def test_outlines_with_too_much_detail_are_simplified(self, tmp_path):
        rng = np.random.default_rng(0)
        corners = rng.uniform((500_000, 5_399_760), (500_400, 5_400_000), (30_000, 2))
        squares = shapely.box(*corners.T, *(corners + rng.exponential(0.5, (30_000, 1))).T)
        large = shapely.Point(500_200, 5_399_900).buffer(80, quad_segs=2000)
        features = np.array(
            [shapely.MultiPolygon(list(squares)), shapely.MultiPolygon([large])], dtype=object
        )
        table = FeatureTable("overlap", features, {"rank": [1, 2]}, CRS(32633), "MultiPolygon")
        write_features(tmp_path / "o.gpkg", [table])
        layer = feature_layer(tmp_path / "o.gpkg", Frame.of(GRID), "Overlap", is_shown=True)
        shapes = [shapely.geometry.shape(feature) for feature in layer.features]
        assert len(shapes) == 2
        assert 1_000 < shapely.get_num_coordinates(shapes).sum() <= 60_010
        assert shapes[1].area == pytest.approx(large.area, rel=0.01)
        assert shapes[1].centroid.distance(shapely.Point(200, 140)) < 1


class TestComparison:
    @pytest.fixture
    def comparison(self, tmp_path):
        """The maps of one cell: 12 dB lower in the west after the change."""
        after = levels(-80.0)
        after[:, :60] -= 12.0
        std = np.full(GRID.shape, 2.0)
        pair = [RadioMap(GRID, values, std_db=std) for values in (levels(-80.0), after)]
        compare(*pair, tmp_path / "comparison")
        return tmp_path / "comparison"

    def test_it_shows_map_areas_and_tables(self, comparison, maps):
        text = write_report([comparison, maps]).read_text("utf-8")
        layers = {layer["name"]: layer for layer in page_data(text)["layers"]}
        assert layers["change.tif"]["title"] == "Significant change"
        assert [name for _, name in layers["change.tif"]["legend"]] == [
            "lower",
            "no significant change",
            "higher",
        ]
        assert layers["difference.tif"]["bounds"] == layers["7_rsrp.tif"]["bounds"]
        (areas,) = (one for one in page_data(text)["features"] if one["name"] == "changes")
        assert [area["title"] for area in areas["features"]] == ["lower"]
        assert areas["features"][0]["colour"] == "#b2182b"
        shown = Page(text).text
        assert "Coverage at -110 dBm" in shown
        assert "significantly lower on 29.7 %, higher on 0 % (by chance 5.0 %)" in shown

    def test_two_comparisons_and_a_damaged_one(self, comparison, tmp_path):
        shutil.copytree(comparison, tmp_path / "other")
        with pytest.raises(InputError, match="2 comparisons"):
            write_report([comparison, tmp_path / "other"])
        (comparison / "comparison.json").write_text('{"cells": []}')
        with pytest.raises(InputError, match="not the index of a comparison"):
            write_report(comparison)


class TestBadInput:
    def test_folders_without_results(self, tmp_path, plan, maps):
        with pytest.raises(InputError, match="There is no folder"):
            write_report(tmp_path / "nothing")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="holds no results"):
            write_report(tmp_path / "empty")
        shutil.copytree(plan, tmp_path / "plan2")
        with pytest.raises(InputError, match="2 plans"):
            write_report([plan, tmp_path / "plan2"])
        with pytest.raises(UsageError, match="max_mb"):
            write_report(maps, tmp_path / "r.html", max_mb=0)

    @pytest.mark.parametrize("text", ["{", "[]", '{"cells": 3}'])
    def test_damaged_indices(self, tmp_path, text):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(InputError, match=r"summary\.json"):
            write_report(tmp_path)
        assert not (tmp_path / "report.html").exists()

    def test_missing_and_damaged_files_are_named_in_the_report(self, plan):
        (plan / "coverage.tif").unlink()
        (plan / "composite_rsrp.tif").write_bytes(b"II*\0")
        (plan / "holes.gpkg").write_bytes(b"no features")
        shown = Page(write_report(plan).read_text("utf-8")).text
        assert "Files of the plan are missing: coverage.tif." in shown
        assert "composite_rsrp.tif is not on the map" in shown
        assert "No list of holes" in shown

    def test_missing_leaflet_says_what_to_install(self, plan, monkeypatch):
        monkeypatch.setattr("rm_geo.report.page._LEAFLET", "xstatic.pkg.no_such")
        (plan / "report.html").write_text("before")
        with pytest.raises(DependencyError, match="Leaflet"):
            write_report(plan)
        assert (plan / "report.html").read_text() == "before"

    def test_sources_of_an_empty_run(self, tmp_path):
        write_summary([], tmp_path)
        assert read_sources(tmp_path).predict.cells == []
        assert "Cells" in write_report(tmp_path).read_text("utf-8")


class TestTables:
    def test_columns_without_values_are_left_out(self):
        table = Table.of(["a", "b", "c"], [[1, None, "x"], [2.5, None, "y"]])
        assert table.columns == ("a", "c")
        assert table.numeric == {0}

    def test_coverage_of_cells_that_serve_nowhere_is_left_out(self):
        rows = [
            {"cell": cell, "class": "good", "area_km2": area, "share": 1.0}
            for cell, area in (("all", 1.0), ("7", 1.0), ("8", 0.0))
        ]
        section = coverage_section(rows, {}, "")
        assert [bar.label for bar in section.bars] == ["all cells", "7"]
        assert coverage_section([], {}, "") is None


class TestCommand:
    def test_it_writes_into_the_first_folder(self, plan, maps):
        result = CliRunner().invoke(rm_geo, ["report", str(plan), str(maps), "--json"])
        assert result.exit_code == 0, result.output
        assert (plan / "report.html").is_file()

    def test_errors_are_one_message(self, tmp_path):
        result = CliRunner().invoke(rm_geo, ["report", str(tmp_path)])
        assert result.exit_code == 1
        assert "holds no results" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def browser():
    with open_browser() as started:
        yield started


@pytest.fixture
def opened(browser, plan, maps, validation):
    """The report in a browser without a network; fails on any error or request of the page."""
    path = write_report([plan, maps, validation])
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("data:", path.as_uri()))
            else problems.append(request.url)
        ),
    )
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=yes]", state="attached")
    yield page
    assert problems == []
    context.close()


def map_colours(page):
    """Colours in a screenshot of the map."""
    picture = Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB")
    return np.asarray(picture).reshape(-1, 3).astype(int)


def share_near(colours, wanted, tolerance=25):
    return (np.abs(colours - wanted).max(axis=1) <= tolerance).mean()


class TestBrowser:
    def test_the_map_shows_the_classes(self, opened):
        opened.locator("#opacity").fill("100")
        colours = map_colours(opened)
        for colour in ((26, 152, 80), (254, 224, 139), (215, 48, 39)):
            assert share_near(colours, colour) > 0.05

    def test_another_layer_has_another_picture_and_legend(self, opened):
        before = map_colours(opened)
        opened.select_option("#layer", label="Best server")
        assert "cell 7" in opened.inner_text("#legend")
        opened.locator("#opacity").fill("100")
        opened.wait_for_timeout(300)
        assert share_near(map_colours(opened), (0x12, 0x34, 0x56)) > 0.2
        assert share_near(before, (0x12, 0x34, 0x56)) < 0.01

    def test_the_pointer_reads_place_and_value(self, opened):
        opened.select_option("#layer", label="Composite: level of the strongest cell")
        opened.wait_for_timeout(300)
        opened.locator("#map").scroll_into_view_if_needed()
        box = opened.locator("#map").bounding_box()
        opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        text = opened.inner_text("#readout")
        east, north, value = re.match(r"E ([\d.]+)\s+N ([\d.]+)\s+· (-[\d.]+) dBm", text).groups()
        assert float(north) == pytest.approx(5_399_880, abs=2)
        assert float(value) == pytest.approx(-80 - (float(east) - 500_000) / 10, abs=0.4)

    def test_a_hole_of_the_list_is_shown_on_the_map(self, opened):
        opened.locator("button.jump").nth(3).click()
        popup = opened.locator(".leaflet-popup-content")
        assert "hole 4" in popup.inner_text()
        assert opened.locator("tr.chosen").count() == 1
        box = opened.locator("#map").bounding_box()
        assert box["y"] < 400  # the page is scrolled to the map
        opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        east = float(re.match(r"E ([\d.]+)", opened.inner_text("#readout"))[1])
        # popups move the map a little, so that they fit
        assert east == pytest.approx(500_000 + 290 + 4, abs=40)

    def test_features_can_be_hidden(self, opened):
        assert opened.locator(".hole-label").count() == 5
        opened.locator("#overlays input[data-layer=holes]").uncheck()
        opened.locator(".hole-label").first.wait_for(state="detached")
        assert opened.locator(".hole-label").count() == 0
        assert opened.locator(".site").count() == 1

    def test_it_prints_as_a_pdf_with_the_whole_map(self, opened, tmp_path):
        target = tmp_path / "report.pdf"
        opened.pdf(path=target, prefer_css_page_size=True, print_background=True)
        assert target.read_bytes().startswith(b"%PDF")
        assert target.stat().st_size > 20_000
        # the map has its size on the screen again
        assert opened.locator("#map").bounding_box()["width"] > 800

    def test_narrow_screens_need_no_sideways_scrolling(self, opened):
        opened.set_viewport_size({"width": 400, "height": 800})
        opened.wait_for_timeout(200)
        wide = opened.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400


DRIVE = "drive.csv"


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A small log of two cells along two streets."""
    folder = tmp_path_factory.mktemp("drive")
    rng = np.random.default_rng(3)
    lines = ["longitude,latitude,pci,rsrp_dbm"]
    for pci, first in ((7, -75.0), (8, -90.0)):
        for step in range(220):
            east, north = (step, 30.0) if step < 110 else (110.0, step - 80.0)
            level = first - 0.1 * step + rng.normal(0, 2)
            lines.append(
                f"{15 + east / 73_000:.7f},{48.75 + north / 111_000:.7f},{pci},{level:.1f}"
            )
    (folder / DRIVE).write_text("\n".join(lines) + "\n")
    return folder / DRIVE


class TestFlags:
    def run(self, *arguments):
        result = CliRunner().invoke(rm_geo, [*map(str, arguments), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[-1])

    def test_predict_and_plan(self, drive, tmp_path):
        maps = tmp_path / "maps"
        self.run("predict", drive, "-o", maps, "--method", "knn", "--report", "--plan")
        text = (maps / "report.html").read_text("utf-8")
        names = {layer["name"] for layer in page_data(text)["layers"]}
        assert {"coverage.tif", "best_server.tif", "7_rsrp.tif", "8_rsrp.tif"} <= names
        assert "440 measurements; method knn" in Page(text).text
        result = self.run("plan", maps, "-o", tmp_path / "plan", "--threshold", "-85")
        assert result["report"] == str(tmp_path / "plan" / "report.html")
        shown = Page((tmp_path / "plan" / "report.html").read_text("utf-8")).text
        assert "below -85 dBm" in shown
        assert "440 measurements" in shown

    def test_a_plan_of_some_products_or_without_a_report(self, maps, tmp_path):
        out = tmp_path / "plan"
        assert self.run("plan", maps, "-o", out, "--only", "composite")["report"] is None
        assert self.run("plan", maps, "-o", out, "--no-report")["report"] is None
        assert not (out / "report.html").exists()
        chosen = self.run("plan", maps, "-o", out, "--only", "coverage", "--report")
        assert chosen["report"] == str(out / "report.html")

    def test_compare(self, maps, tmp_path):
        out = tmp_path / "comparison"
        given = [maps / "7_rsrp.tif", maps / "8_rsrp.tif"]
        assert self.run("compare", *given, "-o", out, "--report")["report"] == str(
            out / "report.html"
        )
        assert "8_rsrp.tif minus 7_rsrp.tif: -15.0 dB" in (out / "report.html").read_text("utf-8")

    def test_validate(self, drive, tmp_path):
        out = tmp_path / "validation"
        self.run("validate", drive, "-o", out, "--methods", "knn,idw", "--block", "30", "--report")
        shown = Page((out / "report.html").read_text("utf-8")).text
        assert "Blocks of 30 m held out" in shown
        assert "knn (30 m)" in shown


def test_an_error_that_all_cells_share_is_said_to_be_theirs_together():
    assert "theirs together" in cells_section([], {"101": 4.25, "102": 4.25}).text
    assert cells_section([], {"101": 4.25, "102": 5.0}).text == ""
    assert cells_section([], {"101": 4.25}).text == ""
