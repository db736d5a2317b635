"""Exports, each read back by a reader other than the writer."""

import json
import zipfile

import fastkml
import fastkml.validator
import numpy as np
import pandas
import pyarrow.parquet
import pyogrio
import pytest
import rasterio
import shapely
from affine import loadsw
from click.testing import CliRunner
from PIL import Image
from pyproj import CRS, Transformer
from rasterio.warp import transform

from rm_geo.cli.group import rm_geo
from rm_geo.errors import CrsError, DependencyError, InputError, OutputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.features import FeatureTable, read_features, write_features
from rm_geo.planning.export import FORMATS, export_map
from rm_geo.planning.export_source import copy_with_driver, open_export_source
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

KML = "{http://www.opengis.net/kml/2.2}"
GRID = Grid.create(500_000.0, 5_400_000.0, (40, 60), 5.0, 32633)
SITE = Site(500_100.0, 5_399_900.0, frequency_mhz=2600.0, cell="7")


def levels(shape=GRID.shape) -> np.ndarray:
    rows, cols = np.indices(shape, dtype=np.float32)
    values = -75.0 - rows - 0.25 * cols
    values[:3, :5] = np.nan
    return values.astype(np.float32)


@pytest.fixture
def radio_map(tmp_path):
    (tmp_path / "maps").mkdir()
    path = tmp_path / "maps" / "7_rsrp.tif"
    RadioMap(
        GRID, levels(), std_db=np.full(GRID.shape, 4.0), site=SITE, tags={"method": "test"}
    ).write(path)
    return path


@pytest.fixture
def classes(tmp_path):
    values = np.tile(np.repeat(np.array([0, 1, 2], np.uint8), 20), (40, 1))
    path = tmp_path / "coverage.tif"
    write_raster(
        path,
        values,
        GRID,
        nodata=0,
        colormap={1: (255, 0, 0), 2: (0, 128, 0)},
        tags={"class_names": json.dumps({"1": "bad", "2": "good & <fine>"})},
    )
    return path


def holes(path, crs=32633):
    squares = [
        shapely.Polygon(
            [
                (500_010, 5_399_990),
                (500_050, 5_399_990),
                (500_050, 5_399_950),
                (500_010, 5_399_950),
            ],
            [[(500_020, 5_399_980), (500_030, 5_399_980), (500_030, 5_399_970)]],
        ),
        shapely.box(500_200, 5_399_850, 500_260, 5_399_900),
    ]
    geometry = np.array([shapely.MultiPolygon([square]) for square in squares], dtype=object)
    columns = {
        "rank": np.array([1, 2]),
        "nearest": np.array(["Zelle ü", None], dtype=object),
        "mean_rsrp_dbm": np.array([-121.25, np.nan]),
    }
    return write_features(
        path, [FeatureTable("holes", geometry, columns, CRS(crs), "MultiPolygon")]
    )


class TestAsciiGrid:
    def test_numpy_reads_the_levels_and_the_header_the_place(self, radio_map, tmp_path):
        files = export_map(radio_map, tmp_path / "a.asc", "asc")
        assert [file.name for file in files] == ["a.asc", "a.prj"]
        lines = files[0].read_text().splitlines()
        header = dict(line.split() for line in lines[:6])
        read = np.loadtxt(lines[6:])
        read[read == float(header["NODATA_value"])] = np.nan
        np.testing.assert_allclose(read, levels(), atol=0.0051)
        assert float(header["xllcorner"]), float(header["yllcorner"]) == GRID.bounds[:2]
        assert float(header["cellsize"]) == 5.0
        assert CRS.from_wkt(files[1].read_text()).is_projected

    def test_classes_are_whole_numbers(self, classes, tmp_path):
        (path, _) = export_map(classes, tmp_path / "a.asc", "asc")
        words = set(path.read_text().split("NODATA_value")[1].split())
        assert words == {"-9999", "1", "2"}


class TestBil:
    def test_header_values_and_index(self, radio_map, tmp_path):
        files = export_map(radio_map, tmp_path / "out" / "a.bil", "bil")
        assert [file.name for file in files] == ["a.bil", "a.hdr", "a.prj", "index.txt"]
        header = dict(line.split() for line in files[1].read_text().splitlines())
        assert (header["BYTEORDER"], header["PIXELTYPE"], header["NBITS"]) == ("I", "FLOAT", "32")
        read = np.fromfile(files[0], "<f4").reshape(int(header["NROWS"]), int(header["NCOLS"]))
        read[read == float(header["NODATA"])] = np.nan
        np.testing.assert_array_equal(read, levels())
        # ULXMAP and ULYMAP are the centre of the first pixel
        assert (float(header["ULXMAP"]), float(header["ULYMAP"])) == (500_002.5, 5_399_997.5)
        assert files[3].read_text() == "a.bil 500000 500300 5399800 5400000 5\n"

    def test_whole_numbers_of_16_bits(self, radio_map, tmp_path):
        path = export_map(radio_map, tmp_path / "a.bil", "bil", integer=True)[0]
        read = np.fromfile(path, "<i2").reshape(GRID.shape)
        expected = np.where(np.isfinite(levels()), np.rint(levels()), -9999)
        np.testing.assert_array_equal(read, expected)

    def test_the_index_keeps_other_grids_and_is_not_written_over_another_file(
        self, radio_map, tmp_path
    ):
        export_map(radio_map, tmp_path / "b.bil", "bil")
        export_map(radio_map, tmp_path / "a.bil", "bil")
        export_map(radio_map, tmp_path / "b.bil", "bil")
        lines = (tmp_path / "index.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines] == ["a.bil", "b.bil"]
        (tmp_path / "index.txt").write_text("Chapter 1 of my notes\n")
        with pytest.raises(OutputError, match="not an index of grids"):
            export_map(radio_map, tmp_path / "c.bil", "bil")
        assert not (tmp_path / "c.bil").exists()
        assert (tmp_path / "index.txt").read_text() == "Chapter 1 of my notes\n"


def writes_vertical_mapper(folder):
    """Whether this GDAL has MapInfo's code, without which it only reads such grids."""
    profile = {"driver": "NWT_GRD", "width": 2, "height": 2, "count": 1, "dtype": "float32"}
    try:
        with rasterio.open(folder / "probe.grd", "w", **profile):
            return True
    except rasterio.errors.RasterioError:
        return False


class TestVerticalMapper:
    def test_gdal_reads_it_or_the_missing_driver_is_named(self, radio_map, tmp_path):
        target = tmp_path / "out" / "a.grd"
        if not writes_vertical_mapper(tmp_path):
            with pytest.raises(DependencyError, match="NWT_GRD"):
                export_map(radio_map, target, "grd")
            assert not target.parent.exists()
            return
        path = export_map(radio_map, target, "grd")[0]
        with rasterio.open(path) as dataset:
            read = dataset.read(1, masked=True).filled(np.nan)
            np.testing.assert_allclose(read, levels(), atol=0.01)
            assert dataset.transform.almost_equals(GRID.transform)

    def test_a_driver_that_is_absent_is_named(self, radio_map, tmp_path):
        with pytest.raises(DependencyError, match="cannot write with its driver NO_SUCH"):
            copy_with_driver(radio_map, tmp_path / "a.x", "NO_SUCH")

    def test_a_driver_that_only_reads_is_named(self, radio_map, tmp_path):
        with pytest.raises(DependencyError, match="cannot write with its driver L1B"):
            copy_with_driver(radio_map, tmp_path / "a.x", "L1B")


class TestPng:
    def test_the_picture_has_the_colours_and_the_world_file_the_place(self, radio_map, tmp_path):
        path = export_map(radio_map, tmp_path / "a.png", "png")[0]
        read = np.asarray(Image.open(path).convert("RGBA"))
        expected = open_export_source(radio_map).style.rgba(levels())
        np.testing.assert_array_equal(read, expected)
        place = loadsw((tmp_path / "a.pgw").read_text())
        assert place.almost_equals(GRID.transform)
        with rasterio.open(path) as dataset:
            assert dataset.crs.to_epsg() == 32633
            assert dataset.transform.almost_equals(GRID.transform)
        assert Image.open(tmp_path / "a_legend.png").height > 100

    def test_classes_have_the_colours_of_their_table(self, classes, tmp_path):
        path = export_map(classes, tmp_path / "a.png", "png")[0]
        read = np.asarray(Image.open(path).convert("RGBA"))
        assert read[0, [0, 30, 59]].tolist() == [
            [0, 0, 0, 0],
            [255, 0, 0, 255],
            [0, 128, 0, 255],
        ]


class TestPoints:
    def test_xyz_has_the_known_pixels(self, radio_map, tmp_path):
        (path,) = export_map(radio_map, tmp_path / "a.csv", "xyz")
        frame = pandas.read_csv(path)
        known = np.isfinite(levels())
        assert len(frame) == known.sum()
        assert list(frame.columns) == ["x", "y", "z", "std_db"]
        rows, cols = GRID.to_pixel(frame.x, frame.y)
        found = levels()[np.floor(rows).astype(int), np.floor(cols).astype(int)]
        np.testing.assert_allclose(frame.z, found, rtol=1e-6)
        assert (frame.std_db == 4.0).all()

    def test_gdal_reads_the_xyz_file_as_a_grid(self, tmp_path):
        whole = np.linspace(-90, -80, GRID.shape[0] * GRID.shape[1], dtype=np.float32)
        RadioMap(GRID, whole.reshape(GRID.shape)).write(tmp_path / "8_rsrp.tif")
        (path,) = export_map(tmp_path / "8_rsrp.tif", tmp_path / "a.csv", "xyz")
        with rasterio.open(path) as dataset:
            assert dataset.driver == "XYZ"
            np.testing.assert_allclose(dataset.read(1), whole.reshape(GRID.shape), rtol=1e-6)
            assert dataset.transform.almost_equals(GRID.transform)

    def test_geoparquet_of_several_bands_has_points_values_and_the_crs(self, tmp_path):
        grid = Grid.create(500_000.0, 5_400_000.0, (600, 3), 1.0, 32633)
        values = np.arange(1800, dtype=np.float32).reshape(grid.shape) / -18.0
        RadioMap(grid, values).write(tmp_path / "8_rsrp.tif")
        (path,) = export_map(tmp_path / "8_rsrp.tif", tmp_path / "a.parquet", "geoparquet")
        table = pyarrow.parquet.read_table(path)
        described = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]
        assert described["bbox"] == list(grid.bounds)
        assert CRS.from_json_dict(described["crs"]) == CRS(32633)
        points = shapely.from_wkb(table["geometry"].to_numpy())
        rows, cols = grid.to_pixel(shapely.get_x(points), shapely.get_y(points))
        np.testing.assert_array_equal(rows % 1, 0.5)
        found = values[np.floor(rows).astype(int), np.floor(cols).astype(int)]
        np.testing.assert_array_equal(table["rsrp_dbm"].to_numpy(), found)
        assert len(table) == 1800
        assert pyarrow.parquet.ParquetFile(path).num_row_groups == 3

    def test_classes_are_whole_numbers(self, classes, tmp_path):
        (path,) = export_map(classes, tmp_path / "a.csv", "xyz")
        frame = pandas.read_csv(path)
        assert frame.z.value_counts().to_dict() == {1: 800, 2: 800}

    @pytest.mark.parametrize("to", ["xyz", "geoparquet"])
    def test_nothing_known_is_refused_and_leaves_nothing(self, tmp_path, to):
        RadioMap(GRID, np.full(GRID.shape, np.nan)).write(tmp_path / "8_rsrp.tif")
        with pytest.raises(InputError, match="no known pixel"):
            export_map(tmp_path / "8_rsrp.tif", tmp_path / "out", to)
        assert not (tmp_path / "out").exists()


class TestFeatures:
    @pytest.mark.parametrize("to", ["tab", "mif"])
    def test_mapinfo_keeps_places_and_attributes(self, tmp_path, to):
        source = holes(tmp_path / "holes.gpkg")
        files = export_map(source, tmp_path / f"h.{to}", to)
        ends = {"tab": {".tab", ".dat", ".map", ".id"}, "mif": {".mif", ".mid"}}
        assert {file.suffix for file in files} == ends[to]
        frame = pyogrio.read_dataframe(files[0])
        expected = pyogrio.read_dataframe(source)
        assert frame.crs.to_epsg() == 32633
        assert list(frame["rank"]) == [1, 2]
        assert list(frame.nearest) == ["Zelle ü", ""]
        assert list(frame.mean_rsrp_dbm) == [-121.25, -9999.0]
        for one, other in zip(frame.geometry, expected.geometry, strict=True):
            assert one.hausdorff_distance(other) < 0.01
            assert one.area == pytest.approx(other.area, rel=1e-4)

    def test_the_text_of_a_mif_file_has_the_coordinates(self, tmp_path):
        source = holes(tmp_path / "holes.gpkg")
        text = export_map(source, tmp_path / "h.mif", "mif")[0].read_text("utf-8")
        assert text.count("Region") == 2
        lines = {line.strip() for line in text.splitlines()}
        assert "500010 5399990" in lines

    def test_geoparquet_of_features(self, tmp_path):
        source = holes(tmp_path / "holes.gpkg")
        (path,) = export_map(source, tmp_path / "h.parquet", "geoparquet")
        table = pyarrow.parquet.read_table(path)
        assert table["rank"].to_pylist() == [1, 2]
        areas = shapely.area(shapely.from_wkb(table["geometry"].to_numpy()))
        assert areas.tolist() == [1550.0, 3000.0]

    def test_one_of_several_layers_is_chosen(self, tmp_path):
        points = np.array([shapely.Point(500_000, 5_400_000)], dtype=object)
        tables = [
            FeatureTable(name, points, {"id": np.array([n])}, CRS(32633), "Point")
            for n, name in enumerate(("a", "b"))
        ]
        source = write_features(tmp_path / "two.gpkg", tables)
        with pytest.raises(InputError, match="2 layers: a, b"):
            export_map(source, tmp_path / "h.tab", "tab")
        export_map(source, tmp_path / "h.tab", "tab", layer="b")
        assert list(pyogrio.read_dataframe(tmp_path / "h.tab")["id"]) == [1]
        with pytest.raises(InputError, match="cannot be read"):
            export_map(source, tmp_path / "h.tab", "tab", layer="c")

    def test_layers_without_a_crs_or_features_that_are_none_are_refused(self, tmp_path):
        (tmp_path / "a.gpkg").write_text("no features")
        with pytest.raises(InputError, match="is not in a format that can be read"):
            read_features(tmp_path / "a.gpkg")
        with pytest.raises(InputError, match="There is no file"):
            read_features(tmp_path / "b.gpkg")


def opened_kmz(path, folder):
    """Unpack a KMZ; every document must follow the schema of KML 2.2 and parse with fastkml."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "doc.kml"
        archive.extractall(folder)
    for document in folder.rglob("*.kml"):
        assert fastkml.validator.validate(file_to_validate=document)
    return fastkml.KML.parse(folder / "doc.kml", validate=True)


def found(kml, kind):
    """All elements of a kind in a document."""
    todo, out = list(kml.features), []
    while todo:
        element = todo.pop(0)
        todo += list(getattr(element, "features", []))
        if isinstance(element, kind):
            out.append(element)
    return out


class TestKmz:
    def test_overlay_legend_sites_and_holes(self, radio_map, tmp_path):
        holes(radio_map.with_name("holes.gpkg"))
        (path,) = export_map(radio_map, tmp_path / "a.kmz", "kmz")
        kml = opened_kmz(path, tmp_path / "kmz")
        (overlay,) = found(kml, fastkml.GroundOverlay)
        (box,) = [overlay.lat_lon_box]
        west, south, east, north = Transformer.from_crs(
            32633, 4326, always_xy=True
        ).transform_bounds(*GRID.bounds, densify_pts=21)
        pixel = 5.0 / 70_000
        assert box.west == pytest.approx(west, abs=pixel)
        assert box.south == pytest.approx(south, abs=pixel)
        assert box.east == pytest.approx(east, abs=2 * pixel)
        assert box.north == pytest.approx(north, abs=pixel)
        placemarks = {mark.name: mark for mark in found(kml, fastkml.Placemark)}
        assert set(placemarks) == {"1", "2", "site"}
        longitude, latitude = placemarks["site"].geometry.coords[0]
        x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(longitude, latitude)
        assert (x, y) == pytest.approx((SITE.x, SITE.y), abs=0.02)
        hole = shapely.geometry.shape(placemarks["1"].geometry)
        assert hole.exterior.is_ccw
        assert len(hole.interiors) == 1
        values = {data.name: data.value for data in placemarks["1"].extended_data.elements}
        assert values == {"rank": "1", "nearest": "Zelle ü", "mean_rsrp_dbm": "-121.25"}
        assert (tmp_path / "kmz" / "legend.png").is_file()
        assert b"ScreenOverlay" in (tmp_path / "kmz" / "doc.kml").read_bytes()

    def test_each_known_pixel_lies_where_it_belongs(self, radio_map, tmp_path):
        (path,) = export_map(radio_map, tmp_path / "a.kmz", "kmz")
        assert len(zipfile.ZipFile(path).namelist()) == 3
        kml = opened_kmz(path, tmp_path / "kmz")
        (overlay,) = found(kml, fastkml.GroundOverlay)
        box = overlay.lat_lon_box
        picture = np.asarray(Image.open(tmp_path / "kmz" / "map.png").convert("RGBA"))
        rows, cols = np.nonzero(np.isfinite(levels()))
        x, y = GRID.to_world(rows + 0.5, cols + 0.5)
        longitude, latitude = map(np.array, transform(32633, 4326, x, y))
        across = (longitude - box.west) / (box.east - box.west) * picture.shape[1]
        down = (box.north - latitude) / (box.north - box.south) * picture.shape[0]
        shown = picture[np.floor(down).astype(int), np.floor(across).astype(int)].astype(int)
        style = open_export_source(radio_map).style
        exact = style.rgba(levels()[rows, cols]).astype(int)
        # nearest neighbours: at most the colour of the next pixel, 1.25 dB away
        assert np.abs(shown - exact).max(axis=-1).mean() < 6
        assert (shown[:, 3] == 255).mean() > 0.99

    def test_large_maps_become_tiles_that_gdal_reads(self, tmp_path):
        grid = Grid.create(500_000.0, 5_400_000.0, (900, 1100), 2.0, 32633)
        RadioMap(grid, levels(grid.shape) / 4).write(tmp_path / "8_rsrp.tif")
        (path,) = export_map(
            tmp_path / "8_rsrp.tif", tmp_path / "a.kmz", "kmz", largest_overlay_px=600
        )
        kml = opened_kmz(path, tmp_path / "kmz")
        (link,) = found(kml, fastkml.NetworkLink)
        assert link.link.href == "tiles/doc.kml"
        assert len(list((tmp_path / "kmz" / "tiles").rglob("*.png"))) >= 16
        style = open_export_source(tmp_path / "8_rsrp.tif").style
        with rasterio.open(tmp_path / "kmz" / "tiles" / "doc.kml") as dataset:
            assert dataset.driver == "KMLSUPEROVERLAY"
            for row, col in ((450, 550), (850, 40), (60, 1000)):
                x, y = grid.to_world(row + 0.5, col + 0.5)
                (longitude,), (latitude,) = transform(32633, 4326, [x], [y])
                colour = next(dataset.sample([(longitude, latitude)])).astype(int)
                expected = style.rgba((levels(grid.shape) / 4)[row, col]).astype(int)
                assert np.abs(colour - expected).max() <= 12

    def test_features_alone_have_the_colours_of_their_column(self, tmp_path):
        boxes = np.array([shapely.box(9, 50, 9.1, 50.1)] * 2, dtype=object)
        columns = {
            "class": np.array(["good & <fine>", "bad\x07"], dtype=object),
            "colour": np.array(["#1a9850", "#d73027"], dtype=object),
        }
        source = write_features(
            tmp_path / "c.gpkg", [FeatureTable("coverage", boxes, columns, CRS(4326))]
        )
        (path,) = export_map(source, tmp_path / "c.kmz", "kmz")
        kml = opened_kmz(path, tmp_path / "kmz")
        names = [mark.name for mark in found(kml, fastkml.Placemark)]
        assert names == ["good & <fine>", "bad"]
        text = (tmp_path / "kmz" / "doc.kml").read_text("utf-8")
        assert "ff50981a" in text
        assert "ff2730d7" in text

    def test_a_site_table_and_files_of_features_are_shown(self, classes, tmp_path):
        (tmp_path / "sites.csv").write_text("cell,x,y,azimuth\n7,500100,5399900,120\n")
        lines = np.array([shapely.LineString([(500_000, 5_400_000), (500_100, 5_399_900)])])
        roads = write_features(
            tmp_path / "roads.gpkg",
            [FeatureTable("roads", lines, {"rank": np.array([1])}, CRS(32633), "LineString")],
        )
        (path,) = export_map(
            classes, tmp_path / "a.kmz", "kmz", sites=tmp_path / "sites.csv", features=[roads]
        )
        kml = opened_kmz(path, tmp_path / "kmz")
        kinds = [mark.geometry.geom_type for mark in found(kml, fastkml.Placemark)]
        assert kinds == ["LineString", "Point"]


class TestBadInput:
    def test_features_and_rasters_are_not_mixed_up(self, radio_map, tmp_path):
        with pytest.raises(UsageError, match="is a raster"):
            export_map(radio_map, tmp_path / "a.tab", "tab")
        source = holes(tmp_path / "holes.gpkg")
        for to in ("grd", "bil", "asc", "xyz", "png"):
            with pytest.raises(UsageError, match="holds features"):
                export_map(source, tmp_path / f"a{FORMATS[to].ending}", to)

    def test_names(self, radio_map, tmp_path):
        with pytest.raises(UsageError, match="no format 'gif'"):
            export_map(radio_map, tmp_path / "a.gif", "gif")
        with pytest.raises(UsageError, match=r"does not end in \.kmz"):
            export_map(radio_map, tmp_path / "a.zip", "kmz")
        source = holes(tmp_path / "holes.tab")
        with pytest.raises(OutputError, match="is the input"):
            export_map(source, tmp_path / "holes.tab", "tab")

    def test_missing_damaged_and_geographic_rasters(self, tmp_path):
        with pytest.raises(InputError, match="There is no file"):
            export_map(tmp_path / "no.tif", tmp_path / "a.kmz", "kmz")
        (tmp_path / "bad.tif").write_bytes(b"II*\0")
        with pytest.raises(InputError, match="cannot be read as a raster"):
            export_map(tmp_path / "bad.tif", tmp_path / "a.kmz", "kmz")
        profile = {"driver": "GTiff", "width": 2, "height": 2, "count": 1, "dtype": "float32"}
        degrees = rasterio.transform.from_origin(9, 50, 0.1, 0.1)
        with rasterio.open(
            tmp_path / "deg.tif", "w", **profile, crs="EPSG:4326", transform=degrees
        ) as dataset:
            dataset.write(np.zeros((1, 2, 2), np.float32))
        with pytest.raises(CrsError, match="metres"):
            export_map(tmp_path / "deg.tif", tmp_path / "a.kmz", "kmz")
        assert not list(tmp_path.glob(".*"))

    def test_what_lay_there_stays_if_the_export_fails(self, radio_map, tmp_path, monkeypatch):
        (tmp_path / "a.asc").write_text("before")

        def fail(*_args, **_options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("rm_geo.planning.export.write_ascii_grid", fail)
        with pytest.raises(OutputError, match="disk is full"):
            export_map(radio_map, tmp_path / "a.asc", "asc")
        assert (tmp_path / "a.asc").read_text() == "before"
        assert not list(tmp_path.glob(".*"))


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(rm_geo, ["export-map", *map(str, arguments)])

    def test_several_maps_go_into_a_folder_with_one_index(self, radio_map, tmp_path):
        RadioMap(GRID, levels()).write(tmp_path / "8_rsrp.tif")
        result = self.run(
            radio_map, tmp_path / "8_rsrp.tif", "--to", "bil", "--json", "-o", tmp_path / "out"
        )
        assert result.exit_code == 0, result.output
        last = json.loads(result.stdout.splitlines()[-1])
        assert len(json.dumps(last)) > 0
        lines = (tmp_path / "out" / "index.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines] == ["7_rsrp.bil", "8_rsrp.bil"]

    def test_sites_of_a_table(self, radio_map, tmp_path):
        (tmp_path / "sites.csv").write_text("cell,longitude,latitude\n9,15.001,48.75\n")
        result = self.run(
            radio_map, "--to", "kmz", "-o", tmp_path / "a.kmz", "--sites", tmp_path / "sites.csv"
        )
        assert result.exit_code == 0, result.output
        kml = opened_kmz(tmp_path / "a.kmz", tmp_path / "kmz")
        assert [mark.name for mark in found(kml, fastkml.Placemark)] == ["9", "site"]

    def test_errors_are_one_message(self, radio_map, tmp_path):
        result = self.run(radio_map, "--to", "tab", "-o", tmp_path / "a.tab")
        assert result.exit_code == 2
        assert "is a raster" in result.stderr
        assert "Traceback" not in result.stderr

    def test_the_formats_of_the_help_are_those_of_the_library(self):
        from rm_geo.cli.export_map import FORMATS as OFFERED

        assert set(OFFERED) == set(FORMATS)
