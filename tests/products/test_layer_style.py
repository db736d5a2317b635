"""Colours and legends of rasters."""

import json

import numpy as np
import pytest

from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.raster_reader import open_raster
from rm_geo.products.colormap import RSRP_RAMP, rgb_of
from rm_geo.products.layer_style import CLASS_NAMES_TAG, MISSING_INDEX, LegendEntry, style_of
from rm_geo.products.legend import draw_legend

GRID = Grid.create(500_000, 5_000_000, (4, 5), 1.0, 32633)


def written(path, values, **options):
    write_raster(path, values, GRID, **options)
    return path


def test_levels_have_the_colours_of_the_ramp_and_unknown_pixels_are_transparent(tmp_path):
    values = np.linspace(-118, -72, 20, dtype=np.float32).reshape(4, 5)
    values[1, 1] = np.nan
    style = style_of(written(tmp_path / "a_rsrp.tif", values, unit="dBm"))
    colours = style.rgba(values).astype(int)
    known = np.isfinite(values)
    assert (colours[known, 3] == 255).all()
    assert colours[1, 1].tolist() == [0, 0, 0, 0]
    # 253 steps over 50 dB: half a step from the exact colour
    assert np.abs(colours[known, :3] - RSRP_RAMP.rgb(values[known])).max() <= 4
    assert style.legend()[1] == LegendEntry(RSRP_RAMP.colours[-1], "-70 dBm")


def test_values_beyond_the_ramp_have_colours_of_their_own(tmp_path):
    values = np.full(GRID.shape, -150.0, np.float32)
    values[0] = -40.0
    style = style_of(written(tmp_path / "a.tif", values, unit="dBm"))
    colours = style.rgba(values)
    assert tuple(colours[0, 0, :3]) == rgb_of(RSRP_RAMP.above)
    assert tuple(colours[1, 0, :3]) == rgb_of(RSRP_RAMP.below)
    texts = style.value_texts()
    assert texts[style.indices(values)[0, 0]] == "above -70 dBm"
    assert texts[MISSING_INDEX] == ""


def test_the_text_of_an_index_is_its_value(tmp_path):
    values = np.array([-119.0, -95.0, -71.0], np.float32)
    style = style_of(written(tmp_path / "a.tif", np.full(GRID.shape, -90, np.float32), unit="dBm"))
    texts = [style.value_texts()[index] for index in style.indices(values)]
    assert np.allclose([float(text.split()[0]) for text in texts], values, atol=0.15)


def test_a_colour_table_is_used_with_the_names_of_its_classes(tmp_path):
    values = np.array([[1, 2, 3, 0, 1]] * 4, np.uint8)
    colours = {1: (255, 0, 0), 2: (0, 0, 0), 3: (0, 0, 255)}
    path = written(
        tmp_path / "c.tif",
        values,
        nodata=0,
        colormap=colours,
        tags={CLASS_NAMES_TAG: json.dumps({"1": "good", "2": "bad", "3": "fair"})},
    )
    style = style_of(path)
    assert style.legend() == (
        LegendEntry("#ff0000", "good"),
        LegendEntry("#000000", "bad"),
        LegendEntry("#0000ff", "fair"),
    )
    read = open_raster(path, classes=True).read(slice(0, 4), slice(0, 5))
    assert style.rgba(read)[0].tolist() == [
        [255, 0, 0, 255],
        [0, 0, 0, 255],
        [0, 0, 255, 255],
        [0, 0, 0, 0],
        [255, 0, 0, 255],
    ]


def test_a_colour_table_without_names_gives_its_numbers(tmp_path):
    path = written(
        tmp_path / "c.tif",
        np.ones(GRID.shape, np.uint8),
        nodata=0,
        colormap={1: (9, 8, 7), 5: (1, 2, 3)},
    )
    assert [entry.label for entry in style_of(path).legend()] == ["1", "5"]


def test_names_without_a_colour_table_get_colours(tmp_path):
    names = json.dumps({str(number): f"cell {number}" for number in range(1, 400)})
    path = written(
        tmp_path / "s.tif",
        np.full(GRID.shape, 399, np.uint16),
        nodata=0,
        tags={"class_names": names},
    )
    style = style_of(path)
    assert len(style.legend()) == 399
    assert style.rgba(np.array([399.0]))[0, 3] == 255
    assert style.rgba(np.array([400.0]))[0, 3] == 0


@pytest.mark.parametrize(
    ("name", "unit", "first"),
    [("sinr", "dB", "30 dB"), ("40_uncertainty", "dB", "12 dB"), ("probability", None, "1")],
)
def test_the_quantity_decides_the_ramp(tmp_path, name, unit, first):
    path = written(tmp_path / f"{name}.tif", np.zeros(GRID.shape, np.float32), unit=unit)
    assert style_of(path).legend()[0].label == first


def test_a_few_whole_numbers_are_classes_and_other_values_a_ramp_over_their_range(tmp_path):
    counts = np.array([[0, 1, 2, 3, 3]] * 4, np.float32)
    style = style_of(written(tmp_path / "servers.tif", counts))
    assert [entry.label for entry in style.legend()] == ["0", "1", "2", "3"]
    values = np.linspace(2.5, 7.5, 20, dtype=np.float32).reshape(4, 5)
    style = style_of(written(tmp_path / "other.tif", values))
    assert style.ramp is not None
    assert 2.5 <= style.ramp.lowest < 3.5
    nothing = style_of(written(tmp_path / "none.tif", np.full(GRID.shape, np.nan, np.float32)))
    assert (nothing.rgba(np.full((2, 2), np.nan))[..., 3] == 0).all()


def test_a_file_that_is_no_raster_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(InputError, match="cannot be read as a raster"):
        style_of(tmp_path / "a.tif")
    with pytest.raises(InputError, match="There is no file"):
        style_of(tmp_path / "b.tif")


def test_a_legend_shows_its_colours_and_stays_bounded():
    entries = [LegendEntry("#ff0000", "one"), LegendEntry("#00ff00", "W" * 400)]
    drawn = np.asarray(draw_legend("Heading", entries))
    assert (drawn[..., :3] == (255, 0, 0)).all(axis=-1).sum() > 200
    assert drawn.shape[1] <= 440
    many = draw_legend("Heading", entries * 400)
    assert many.height < 1000
