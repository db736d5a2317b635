"""Jobs of planning: the same bytes as the commands, and what the plugin styles layers by."""

import json
import os
import sys

import pytest
from click.testing import CliRunner

from qgis_plugin.worker_client import Listener, WorkerError, run_job
from rm_geo.cli.group import rm_geo
from tests.support.radio_maps import CONE_GRID, write_cones


def ask(**request):
    return run_job(sys.executable, request, Listener(), environment=dict(os.environ))


def command(*arguments):
    result = CliRunner().invoke(rm_geo, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return write_cones(tmp_path_factory.mktemp("maps"))


@pytest.fixture(scope="module")
def planned(maps, tmp_path_factory):
    out = tmp_path_factory.mktemp("job") / "plan"
    settings = {"preset": "nr-fr1", "coverage": {"threshold_dbm": -100.0}}
    answer = ask(request="plan", output=str(out), maps=[str(maps)], settings=settings, report=True)
    return out, answer


def test_plan_gives_the_files_of_the_command(planned, maps, tmp_path):
    out, answer = planned
    command("plan", maps, "-o", tmp_path / "plan", "--preset", "nr-fr1", "--threshold", "-100")
    mine, theirs = contents(out), contents(tmp_path / "plan")
    assert set(mine) == set(theirs)
    for name in mine:
        # SQLite writes the time of the change into GeoPackages, the report its own.
        if not name.endswith((".gpkg", ".html")):
            assert mine[name] == theirs[name], name
    assert answer["report"] == "report.html"
    assert "Radio map report: job" in mine["report.html"].decode()


def test_layers_say_what_they_show_with_classes_colours_and_areas(planned):
    out, answer = planned
    rasters = {layer["kind"]: layer for layer in answer["rasters"]}
    vectors = {layer["kind"]: layer for layer in answer["vectors"]}
    assert {"composite_rsrp", "best_server", "coverage", "probability", "servers"} <= set(rasters)
    assert {"best_server", "coverage", "holes", "contours"} <= set(vectors)
    pixel_m2 = CONE_GRID.spacing_m**2
    known = (60 * 84 - 16) * pixel_m2
    for kind in ("best_server", "coverage", "servers"):
        assert sum(c["area_m2"] for c in rasters[kind]["classes"]) == known
    assert [c["name"] for c in rasters["best_server"]["classes"]] == ["a", "b"]
    colours = {
        layer: {c["value"]: c["colour"] for c in group[layer]["classes"]}
        for layer, group in (("best_server", vectors), ("sectors", vectors))
    }
    assert colours["best_server"] == colours["sectors"]
    assert colours["best_server"] == {
        c["value"]: c["colour"] for c in rasters["best_server"]["classes"]
    }
    assert rasters["composite_rsrp"]["classes"] == []
    assert rasters["composite_rsrp"]["path"] == str(out / "composite_rsrp.tif")
    assert rasters["composite_rsrp"]["tags"]["planning_product"] == "composite"
    assert answer["not_made"] == json.loads((out / "plan.json").read_text())["not_made"]


def test_single_products_complete_a_plan_and_a_full_plan_replaces_it(maps, tmp_path):
    out = tmp_path / "plan"
    ask(request="plan", output=str(out), maps=[str(maps)], only=["dominance"])
    (out / "of the user.txt").write_text("stays")
    answer = ask(
        request="plan",
        output=str(out),
        maps=[str(maps)],
        only=["best_server"],
        settings={"servers": {"ranks": 2}},
    )
    products = json.loads((out / "plan.json").read_text())["products"]
    assert {"dominance", "composite", "best_server"} == set(products)
    assert (out / "dominance.tif").exists()
    assert "dominance" not in answer["products"]
    assert (out / "best_server_2.tif").exists()
    ask(request="plan", output=str(out), maps=[str(maps)])
    assert not (out / "best_server_2.tif").exists()
    assert (out / "dominance.tif").exists()
    assert (out / "of the user.txt").exists()


def test_settings_of_the_request_take_precedence_over_the_file(maps, tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("preset: lora\nholes: {min_area_m2: 5}")
    ask(
        request="plan",
        output=str(tmp_path / "out"),
        maps=[str(maps)],
        only=["coverage"],
        settings_file=str(file),
        settings={"coverage": {"threshold_dbm": -90.0}},
    )
    settings = json.loads((tmp_path / "out" / "plan.json").read_text())["parameters"]["settings"]
    assert settings["preset"] == "lora"
    assert settings["holes"]["min_area_m2"] == 5
    assert settings["coverage"]["threshold_dbm"] == -90.0


@pytest.mark.parametrize(
    ("request_values", "words"),
    [
        ({"settings": {"coverage": {"treshold": 1}}}, "threshold_dbm"),
        ({"only": ["hole"]}, "holes"),
        ({"maps": []}, "maps"),
        ({"inputs": {"roads": "/no/such.gpkg"}}, "does not exist"),
        ({"inputs": {"rods": "x"}}, "no option rods"),
    ],
)
def test_bad_requests_leave_nothing(maps, tmp_path, request_values, words):
    with pytest.raises(WorkerError, match=words):
        ask(
            **{"request": "plan", "output": str(tmp_path / "x"), "maps": [str(maps)]}
            | request_values
        )
    assert list(tmp_path.iterdir()) == []


def test_a_geopackage_that_is_open_is_refused_before_the_work(maps, tmp_path):
    (tmp_path / "holes.gpkg-wal").write_text("")
    with pytest.raises(WorkerError, match="in QGIS, remove the layer"):
        ask(request="plan", output=str(tmp_path), maps=[str(maps)], only=["holes"])
    assert [path.name for path in tmp_path.iterdir()] == ["holes.gpkg-wal"]


def test_compare_gives_the_files_of_the_command(maps, tmp_path):
    other = write_cones(tmp_path / "after", shift_db=9.0)
    out, theirs = tmp_path / "job", tmp_path / "cli"
    command("compare", maps, other, "-o", theirs, "--within", "3")
    answer = ask(
        request="compare",
        output=str(out),
        first=str(maps),
        second=str(other),
        options={"within_db": 3.0},
    )
    mine, expected = contents(out), contents(theirs)
    assert set(mine) == set(expected)
    assert mine["comparison.csv"] == expected["comparison.csv"]
    assert mine["a_difference.tif"] == expected["a_difference.tif"]
    assert answer["all"]["bias_db"] == pytest.approx(9.0, abs=0.01)
    kinds = {(layer["kind"], layer["cell"]) for layer in answer["rasters"]}
    assert kinds == {(k, c) for k in ("difference", "change") for c in ("a", "b")}
    again = ask(
        request="compare",
        output=str(out),
        first=str(maps / "a_rsrp.tif"),
        second=str(other / "a_rsrp.tif"),
    )
    assert {layer["kind"] for layer in again["rasters"]} == {"difference", "change"}
    assert not (out / "b_difference.tif").exists(), "of the earlier comparison"


def test_exports_are_those_of_the_command(planned, maps, tmp_path):
    out, _ = planned
    given = [str(maps / "a_rsrp.tif"), str(maps / "b_rsrp.tif")]
    command("export-map", *given, "--to", "bil", "-o", tmp_path / "cli")
    for path in given:
        answer = ask(request="export_map", output=str(tmp_path / "job"), maps=[path], to="bil")
    assert answer["made"] == ["b_rsrp.bil"]
    assert contents(tmp_path / "job") == contents(tmp_path / "cli")
    answer = ask(
        request="export_map",
        output=str(tmp_path / "earth"),
        maps=[str(out / "coverage.tif")],
        to="kmz",
        features=[str(out / "holes.gpkg")],
    )
    assert [path.name for path in (tmp_path / "earth").iterdir()] == answer["made"]


def test_report_is_one_file(planned, maps, tmp_path):
    out, _ = planned
    answer = ask(
        request="report",
        output=str(tmp_path),
        name="my report.html",
        folders=[str(out)],
        options={"title": "Two cones"},
    )
    (page,) = tmp_path.iterdir()
    assert page.name == "my report.html"
    assert answer["bytes"] == page.stat().st_size
    assert "Two cones" in page.read_text("utf-8")
